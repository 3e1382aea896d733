"""A simulation on disk: readable by pysam, samtools and bcftools, whole or absent."""

import shutil
import subprocess

import numpy as np
import pytest

from diffbio_eqx.io import simulation
from diffbio_eqx.io.simulation import write_simulation
from diffbio_eqx.simulate.genomes import simulate_genome
from diffbio_eqx.simulate.read_options import ReadOptions
from diffbio_eqx.simulate.reads import simulate_reads

pysam = pytest.importorskip("pysam")
GENOME = simulate_genome(
    20_000, seed=4, snv_rate=3e-3, indel_rate=6e-4, compound_share=0.0
)
READS = simulate_reads(
    GENOME, ReadOptions(coverage=30, short_inserts=0.05, read_length=101), seed=4
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_simulation(
        tmp_path_factory.mktemp("made") / "sim", GENOME, READS, contig="chr7"
    )


def test_records_read_back_are_the_arrays(files):
    codes = {base: code for code, base in enumerate("ACGTN")}
    with pysam.AlignmentFile(str(files.reads)) as bam:
        assert bam.header["RG"][0]["SM"] == "SIM"
        records = list(bam.fetch(until_eof=True))
        inside = sum(1 for _ in bam.fetch("chr7", 5000, 5001))
    assert len(records) == len(READS)
    assert inside == ((READS.start <= 5000) & (READS.end > 5000)).sum() > 5
    for row in range(0, len(records), 7):
        record = records[row]
        assert record.reference_start == READS.start[row]
        assert record.reference_end == READS.end[row]
        assert record.flag == READS.flag[row]
        assert record.mapping_quality == READS.mapping_quality[row]
        assert record.next_reference_start == READS.mate_start[row]
        assert record.template_length == READS.template_length[row]
        assert record.get_tag("RG") == "SIM"
        assert int(record.query_name[3:]) == READS.fragment[row]
        assert [codes[b] for b in record.query_sequence] == READS.bases[row].tolist()
        assert list(record.query_qualities) == READS.qualities[row].tolist()
        piece = slice(READS.cigar_begin[row], READS.cigar_begin[row + 1])
        assert record.cigartuples == list(
            zip(
                READS.cigar_operation[piece].tolist(),
                READS.cigar_length[piece].tolist(),
                strict=True,
            )
        )


def test_reference_truth_and_bed_read_back(files):
    with pysam.FastaFile(str(files.reference)) as fasta:
        text = fasta.fetch("chr7")
    assert text == "".join("ACGT"[code] for code in GENOME.reference)
    with pysam.VariantFile(str(files.truth)) as vcf:
        rows = list(vcf.fetch("chr7"))
    assert len(rows) == len(GENOME.variants) > 40
    for row, record in enumerate(rows):
        assert record.start == GENOME.variants.start[row]
        assert record.alleles == GENOME.variants.alleles(row)
        assert record.samples[0]["GT"] == tuple(GENOME.variants.genotype[row])
        assert record.samples[0].phased
    assert files.confident.read_text() == "chr7\t200\t19800\n"


def test_bcftools_accepts_the_files_and_finds_the_truth(files):
    if not (shutil.which("bcftools") and shutil.which("samtools")):
        pytest.skip("needs bcftools and samtools")
    subprocess.run(["samtools", "quickcheck", str(files.reads)], check=True)
    fasta = str(files.reference)
    check = ["bcftools", "norm", "-c", "x", "-f", fasta, str(files.truth)]
    normal = subprocess.run(check, check=True, capture_output=True, text=True)
    assert f"skipped:\t{len(GENOME.variants)}/0/0/0" in normal.stderr
    call = (
        f"bcftools mpileup -f {fasta} {files.reads} | bcftools call -mv"
        f" | bcftools norm -f {fasta} | bcftools query -f '%POS %REF %ALT\\n'"
    )
    made = subprocess.run(call, shell=True, check=True, capture_output=True, text=True)
    called = {tuple(line.split()) for line in made.stdout.splitlines()}
    found = []
    for row in range(len(GENOME.variants)):
        start, alleles = GENOME.variants.start[row], GENOME.variants.alleles(row)
        if 200 <= start < 19_800:
            found.append((str(start + 1), *alleles) in called)
    assert np.mean(found) > 0.95
    assert len(called) < 1.1 * len(GENOME.variants)


def test_a_folder_with_files_is_refused_and_a_failure_leaves_nothing(
    tmp_path, monkeypatch
):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="new or empty"):
        write_simulation(tmp_path / "there", GENOME, READS)
    with pytest.raises(ValueError, match="margin"):
        write_simulation(tmp_path / "new", GENOME, READS, margin=10_000)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(simulation, "_write_truth", broken)
    with pytest.raises(OSError, match="disk full"):
        write_simulation(tmp_path / "new", GENOME, READS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]
