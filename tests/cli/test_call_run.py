"""Real runs of `call` on a small simulation."""

import re
import shutil
import subprocess

import pytest

pytest.importorskip("pysam")


@pytest.fixture
def called(run, simulation, tmp_path):
    """Runs `call`; (how it ended, the records of the file it wrote)."""
    from diffbio_eqx.io import read_vcf

    def go(*options, output="calls.vcf.gz"):
        done = run(
            *("call", simulation.reads, "--reference", simulation.reference),
            *("-o", tmp_path / output, *options),
        )
        assert done.code == 0, done.err
        return done, read_vcf(tmp_path / output)

    return go


def genotypes(records):
    return {
        (r.position, r.ref, r.alts): tuple(sorted(r.genotype))
        for r in records
        if any(r.genotype)
    }


def test_the_calls_are_the_truth(called, simulation, tmp_path):
    from diffbio_eqx.io import read_vcf

    done, records = called()
    truth = genotypes(read_vcf(simulation.truth))
    found = genotypes(records)
    shared = sum(found.get(key) == value for key, value in truth.items())
    assert len(truth) >= 10
    assert shared >= 0.95 * len(truth) and len(found) <= shared + 1
    assert (tmp_path / "calls.vcf.gz.tbi").exists()
    assert done.out == "" and "warning" not in done.err
    assert re.search(r"^\d+ reads: \d+ kept", done.lines[0])
    assert done.lines[-1] == f"written to {tmp_path / 'calls.vcf.gz'}"


def test_the_header_says_how_it_was_made(called, tmp_path):
    called("--region", "chr1:2000-4000", output="calls.vcf")
    head = (tmp_path / "calls.vcf").read_text().splitlines()
    command = next(line for line in head if line.startswith("##commandline="))
    assert command.startswith("##commandline=diffbio-eqx call ")
    assert command.endswith("--region chr1:2000-4000")
    columns = next(line for line in head if line.startswith("#CHROM"))
    assert columns.endswith("\tSIM")


def test_region_and_targets_limit_what_is_written(called, tmp_path):
    _, every = called()
    _, inside = called("--region", "chr1:2001-4000")
    place = lambda records: [(r.position, r.ref, r.alts) for r in records]
    assert inside and place(inside) == [
        key for key in place(every) if 2000 <= key[0] < 4000
    ]
    bed = tmp_path / "targets.bed"
    bed.write_text("chr1\t1000\t3000\nchr1\t5000\t5500\n")
    _, wanted = called("--targets", bed)
    assert wanted and place(wanted) == [
        key for key in place(every) if 1000 <= key[0] < 3000 or 5000 <= key[0] < 5500
    ]


def test_a_flat_prior_calls_the_most_likely_genotype(called):
    _, records = called("--theta", "flat")
    from diffbio_eqx.data.variant_records import genotype_index

    assert records
    for record in records:
        assert record.pl[genotype_index(tuple(sorted(record.genotype)))] == 0


def test_one_copy(called):
    _, records = called("--ploidy", "1")
    assert records and all(len(record.genotype) == 1 for record in records)


def test_fewer_reads_and_alleles_where_asked(called):
    done, records = called("--min-allele-fraction", "0.4", "--low-quality", "400")
    assert all(max(r.ad[1:]) >= 0.4 * sum(r.ad) for r in records)
    labels = {r.filters for r in records}
    assert labels == {("PASS",), ("LowQual",)}
    assert all((r.qual < 400) == (r.filters == ("LowQual",)) for r in records)


def test_reference_blocks(called):
    _, records = called("--gvcf")
    blocks = [r for r in records if r.alts == ("<*>",)]
    variants = [r for r in records if r.alts != ("<*>",)]
    assert blocks and variants
    assert all(max(r.genotype) == 0 for r in blocks)


def test_the_report_is_one_page_with_the_counts(called, tmp_path):
    _, records = called("--report", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.startswith("<!doctype html>") and text.count("<svg") == 3
    assert "http" not in text.replace("http-equiv", "")
    cell = re.search(r"<td>records</td><td class='number'>(\d+)</td>", text)
    assert int(cell[1]) == len(records)


def test_a_saved_model_calls_what_it_would_call(called, tmp_path):
    import diffbio_eqx as dbx

    model = dbx.set_mode(dbx.create_variant_calling_pipeline(), "hard")
    dbx.save(tmp_path / "model.eqx", model)
    _, plain = called(output="a.vcf")
    _, loaded = called("--checkpoint", tmp_path / "model.eqx", output="b.vcf")
    assert plain and genotypes(plain) == genotypes(loaded)


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not here")
@pytest.mark.parametrize("option", [[], ["--gvcf"]])
def test_bcftools_accepts_the_file(called, simulation, tmp_path, option):
    called(*option)
    path, fasta = str(tmp_path / "calls.vcf.gz"), str(simulation.reference)
    for command in (
        ["view", path],
        ["norm", "-c", "x", "-f", fasta, path],
        ["stats", path],
        ["index", "-f", path],
    ):
        done = subprocess.run(
            ["bcftools", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not re.search(r"\[[EW]::|[Ww]arning|[Ee]rror", done.stderr), done.stderr
