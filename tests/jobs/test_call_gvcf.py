"""Reference blocks, contig ends, empty input, and what bcftools says of the files."""

import shutil

import numpy as np
import pytest
from call_files import bcftools, body, coverage_of, records_of
from sam_files import write_sam

from diffbio_eqx.jobs import calling_capacities
from diffbio_eqx.jobs.call import call_variants

pysam = pytest.importorskip("pysam")
needs_bcftools = pytest.mark.skipif(
    shutil.which("bcftools") is None, reason="bcftools is absent"
)
RNG = np.random.default_rng(8)
TEXT = "".join(RNG.choice(list("ACGT"), 1000))
OTHER = "".join(RNG.choice(list("ACGT"), 500))


def variants(path):
    return [r for r in records_of(path) if r.alts != ("<*>",)]


def blocks(path):
    return [r for r in records_of(path) if r.alts == ("<*>",)]


@pytest.mark.parametrize("window", [3000, 1200, 9000])
def test_every_callable_base_is_covered_once(run, window):
    path, _ = run("calls.g.vcf.gz", gvcf=True, window=window)
    assert coverage_of(blocks(path), 9000).max() == 1
    joined = coverage_of(records_of(path), 9000)
    assert joined.min() == 1
    # Only variant records may lie over one another (an indel's anchor, for one).
    own = coverage_of(variants(path), 9000)
    assert np.array_equal(joined > 1, own > 1)
    plain = [(r.label, r.genotype, r.pl, r.gp, r.qual) for r in records_of(run()[0])]
    assert [(r.label, r.genotype, r.pl, r.gp, r.qual) for r in variants(path)] == plain


def test_blocks_do_not_depend_on_the_window(run):
    """Borders of windows cut no block: neighbours of one band are joined."""
    one = body(run("calls.g.vcf.gz", gvcf=True, window=9000)[0])
    many = body(run("calls.g.vcf.gz", gvcf=True, window=1200)[0])
    for line in set(one) ^ set(many):
        assert "<*>" in line and "END=" in line  # the mean depth may round elsewhere
    spans = [(r.position, r.end, r.gq, r.pl) for r in records_of_lines(one)]
    assert spans == [(r.position, r.end, r.gq, r.pl) for r in records_of_lines(many)]


def records_of_lines(lines):
    """Position, end, GQ and PL of the lines of a VCF."""
    out = []
    for line in lines:
        columns = line.split("\t")
        info = dict(x.split("=") for x in columns[7].split(";") if "=" in x)
        sample = dict(zip(columns[8].split(":"), columns[9].split(":"), strict=True))
        position = int(columns[1]) - 1
        end = int(info.get("END", position + len(columns[3])))
        out.append(_Line(position, end, sample["GQ"], sample["PL"]))
    return out


class _Line:
    def __init__(self, position, end, gq, pl):
        self.position, self.end, self.gq, self.pl = position, end, gq, pl


def test_a_block_says_what_the_reads_say(run):
    path, _ = run("calls.g.vcf.gz", gvcf=True)
    for record in blocks(path)[3:-3]:
        # The prior may outweigh reads that lean to a variant, but not by much.
        assert record.genotype == (0, 0) and record.pl[0] < 30
        assert min(record.pl) == 0
    long = max(blocks(path), key=lambda r: r.end - r.position)
    assert long.gq >= 20 and long.dp > 15 and long.pl[0] == 0


def test_a_haploid_gvcf_covers_every_base_once(run):
    path, _ = run("calls.g.vcf.gz", gvcf=True, ploidy=1)
    assert coverage_of(blocks(path), 9000).max() == 1
    assert coverage_of(records_of(path), 9000).min() == 1
    assert all(len(r.genotype) == 1 and len(r.pl) == 2 for r in blocks(path))


def test_a_gvcf_of_targets_covers_them_and_no_more(run, tmp_path):
    bed = tmp_path / "targets.bed"
    bed.write_text("chr1\t2900\t3100\nchr1\t5000\t5050\n")
    path, _ = run("calls.g.vcf.gz", gvcf=True, targets=bed)
    covered = coverage_of(blocks(path), 9000) + coverage_of(variants(path), 9000)
    inside = np.zeros(9000, bool)
    inside[2900:3100] = inside[5000:5050] = True
    assert covered[inside].min() == 1
    beyond = np.flatnonzero(coverage_of(blocks(path), 9000))
    assert inside[beyond].all()


@needs_bcftools
def test_bcftools_accepts_both_kinds(run, simulation, tmp_path):
    plain, _ = run()
    blocks, _ = run("calls.g.vcf.gz", gvcf=True)
    reference = simulation.reference
    for path in (plain, blocks):
        whole = bcftools("view", "-H", path).splitlines()
        assert len(whole) == len(body(path))
        bcftools("norm", "-c", "x", "-f", reference, "-o", tmp_path / "n.vcf", path)
        assert len(body(tmp_path / "n.vcf")) == len(whole)
        assert "SN\t0\tnumber of records:\t" in bcftools("stats", path)
        bcftools("index", "-f", "-t", "-o", tmp_path / "own.tbi", path)
        part = bcftools("view", "-H", "-r", "chr1:3000-4000", path).splitlines()
        assert 0 < len(part) < len(whole)
    expanded = tmp_path / "every.vcf"
    bcftools("convert", "--gvcf2vcf", "-f", reference, "-o", expanded, blocks)
    positions = {int(line.split("\t")[1]) for line in body(expanded)}
    deleted = coverage_of(variants(blocks), 9000) > 0
    assert positions | set(np.flatnonzero(deleted) + 1) == set(range(1, 9001))
    second = tmp_path / "second.g.vcf.gz"
    names = tmp_path / "names"
    names.write_text("other\n")
    bcftools("reheader", "-s", names, "-o", second, blocks)
    bcftools("index", "-t", second)
    merged = bcftools("merge", "-g", reference, blocks, second).splitlines()
    columns = [line.split("\t") for line in merged if not line.startswith("#")]
    assert columns and all(c[9].split(":")[0] == c[10].split(":")[0] for c in columns)


def indels_left_aligned(path):
    return [r for r in variants(path) if len(r.ref) != len(r.alts[0])]


@needs_bcftools
def test_indels_are_left_aligned_and_trimmed(run, simulation, tmp_path):
    out = tmp_path / "normal.vcf"
    bcftools("norm", "-c", "x", "-f", simulation.reference, "-o", out, run()[0])
    key = lambda lines: [line.split("\t")[:5] for line in lines]
    assert key(body(out)) == key(body(run()[0]))
    assert len(indels_left_aligned(run()[0])) > 15


@pytest.fixture(autouse=True)
def one_shape(monkeypatch, large_axes):
    """Files made here share the programs of the simulated genome."""
    monkeypatch.setattr(calling_capacities, "_rounded", large_axes)


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "ref.fa"
    path.write_text(f">c\n{TEXT}\n>d\n{OTHER}\n")
    pysam.faidx(str(path))
    return path


def lines_of(reads):
    """SAM lines of `(position, cigar, bases)`, sorted."""
    text = [
        f"r{k} {16 * (k % 2)} c {at + 1} 60 {cigar} * 0 0 {bases} {'I' * len(bases)}"
        for k, (at, cigar, bases) in enumerate(sorted(reads))
    ]
    return "\n".join(text)


def change(text, at):
    return text[:at] + "ACGT"[("ACGT".index(text[at]) + 1) % 4] + text[at + 1 :]


def test_ends_of_contigs_are_called(fasta, tmp_path):
    """A substitution at the first and the last base, and indels near them."""
    edited = change(change(TEXT, 0), 999)
    reads = [(0, "80M", edited[:80]) for _ in range(8)]
    reads += [(920, "80M", edited[920:]) for _ in range(8)]
    reads += [(0, "3S60M", "GGG" + edited[:60])]
    bam = write_sam(tmp_path / "ends.bam", lines_of(reads))
    summary = call_variants(bam, fasta, tmp_path / "e.g.vcf.gz", window=3000, gvcf=True)
    found = variants(tmp_path / "e.g.vcf.gz")
    assert [(r.position, r.genotype) for r in found] == [(0, (1, 1)), (999, (1, 1))]
    assert summary.counts["homozygous"] == 2
    records = records_of(tmp_path / "e.g.vcf.gz")
    for contig, length in (("c", 1000), ("d", 500)):
        own = [r for r in records if r.contig == contig]
        assert (coverage_of(own, length) == 1).all()
    empty = [r for r in records if r.contig == "d"]
    assert len(empty) == 1 and empty[0].dp == 0 and empty[0].gq < 60


def test_an_indel_at_the_end_of_a_contig_is_a_valid_record(fasta, tmp_path):
    """Deletion and insertion of the bases next to either end."""
    reads = [(0, "2M1D70M", TEXT[:2] + TEXT[3:73]) for _ in range(8)]
    reads += [(1, "2I70M", "TT" + TEXT[1:71]) for _ in range(4)]
    reads += [(920, "77M2D1M", TEXT[920:997] + TEXT[999]) for _ in range(8)]
    reads += [(930, "70M2I", TEXT[930:1000] + "AC") for _ in range(4)]
    bam = write_sam(tmp_path / "ends.bam", lines_of(reads))
    out = tmp_path / "ends.vcf.gz"
    call_variants(bam, fasta, out, window=3000)
    for record in variants(out):
        assert record.position >= 0 and record.end <= 1000
        assert record.ref == TEXT[record.position : record.end]
        assert all(set(alt) <= set("ACGT") for alt in record.alts)


def test_no_reads_warn_and_give_a_valid_empty_file(run, simulation, fasta, tmp_path):
    bam = write_sam(tmp_path / "few.bam", lines_of([(0, "80M", TEXT[:80])]))
    out = tmp_path / "none.vcf.gz"
    with pytest.warns(UserWarning, match="no reads in c:501-600"):
        summary = call_variants(bam, fasta, out, window=3000, region="c:501-600")
    assert records_of(out) == [] and summary.counts["records"] == 0
    assert (tmp_path / "none.vcf.gz.tbi").exists()
    with pytest.warns(UserWarning, match="no reads in d"):
        call_variants(bam, fasta, out, window=3000, region="d", gvcf=True)
    assert coverage_of(records_of(out), 500).tolist() == [1] * 500


def test_deep_sites_are_called_and_the_cap_is_reported(fasta, tmp_path):
    edited = change(TEXT, 300)
    reads = [(250 + k % 40, "50M", None) for k in range(1500)]
    reads = [
        (at, cigar, (edited if k % 2 else TEXT)[at : at + 50])
        for k, (at, cigar, _) in enumerate(reads)
    ]
    bam = write_sam(tmp_path / "deep.bam", lines_of(reads))
    summary = call_variants(bam, fasta, tmp_path / "deep.vcf.gz", window=3000)
    (record,) = records_of(tmp_path / "deep.vcf.gz")
    assert (record.position, record.genotype) == (300, (0, 1))
    assert 900 <= record.dp <= 1001 and record.gq == 99
    assert summary.reads.depth > 0 and "depth is at its cap" in str(summary)
