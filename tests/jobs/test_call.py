"""The caller on files: what it writes does not depend on how it got there."""

import logging

import jax
import numpy as np
import pytest
from call_files import assert_same_calls, body, records_of

from diffbio_eqx.data.variant_records import called_genotype, genotype_index
from diffbio_eqx.jobs import calling_capacities, calling_windows
from diffbio_eqx.jobs.call import call_variants
from diffbio_eqx.metrics.variant_scoring import score_variants

pysam = pytest.importorskip("pysam")


def index_of(record):
    return genotype_index(record.genotype)


def test_finds_nearly_all_variants(run, simulation, genome):
    path, summary = run()
    reference = "".join("ACGT"[code] for code in genome.reference)
    fetch = lambda contig, start, end: reference[start:end]
    truth = records_of(simulation.truth)
    inside = {"chr1": np.array([[200, 8800]])}
    score = score_variants(truth, records_of(path), fetch, regions=inside)
    assert score.snp.f1 > 0.97 and score.indel.f1 > 0.9
    assert summary.counts["records"] == len(records_of(path)) > 80
    assert summary.counts["substitutions"] > summary.counts["indels"] > 15
    assert summary.reads.kept == summary.reads.seen == 2250
    assert "variants" in str(summary)


@pytest.mark.parametrize("theta", [0.001, None])
def test_every_field_comes_from_one_array(run, theta):
    records = records_of(run(theta=theta)[0])
    positions = [r.position for r in records]
    assert positions == sorted(positions) and len(records) > 80
    for record in records:
        alleles = 1 + len(record.alts)
        assert len(record.pl) == len(record.gp) == alleles * (alleles + 1) // 2
        assert len(record.ad) == alleles and record.dp >= sum(record.ad)
        assert min(record.pl) == 0
        assert index_of(record) == called_genotype(np.array(record.gp))
        assert index_of(record) > 0 and set(record.genotype) | {0} == set(
            range(alleles)
        )
        if theta is None:
            assert record.pl[index_of(record)] == 0
        assert abs(sum(record.gp) - 1) < 1e-4
        if record.gp[0] > 1e-37:  # as a float32, which a VCF's numbers are read as
            expected = -10 * np.log10(record.gp[0])
            assert record.qual == pytest.approx(expected, abs=0.02)
        sure = 1 - record.gp[index_of(record)]
        if sure > 1e-4:
            assert record.gq == pytest.approx(-10 * np.log10(sure), abs=0.6)
        assert record.filters == (("PASS",) if record.qual >= 3 else ("LowQual",))


def test_the_prior_moves_calls_that_the_reads_leave_open(run):
    strict = {r.label for r in records_of(run()[0])}
    flat = {r.label: r for r in records_of(run(theta=None)[0])}
    assert strict <= flat.keys()
    for label in strict:
        assert flat[label].qual > 0


@pytest.mark.parametrize("window", [9000, 1200])
def test_the_window_does_not_matter(run, window):
    assert_same_calls(run(window=window)[0], run()[0])


def test_a_window_that_overflows_is_split_and_nothing_changes(
    run, simulation, tmp_path, monkeypatch
):
    """Capacities are those of the first window and may not grow."""
    exact = dict.fromkeys(calling_capacities._ROOM, (1.0, 1))
    monkeypatch.setattr(calling_capacities, "_ROOM", exact)
    monkeypatch.setattr(calling_capacities, "_rounded", lambda size, step: int(size))
    monkeypatch.setattr(calling_windows, "_SMALLEST", 500)
    monkeypatch.setattr(calling_windows, "_FIRST", 1)
    path = tmp_path / "split.vcf.gz"
    summary = call_variants(simulation.reads, simulation.reference, path, window=1500)
    assert summary.shapes <= 3 and summary.windows > 6
    assert_same_calls(path, run()[0])


def test_cram_gives_the_output_of_the_bam(run, simulation, tmp_path):
    cram = tmp_path / "reads.cram"
    pysam.view(
        "-C", "-T", str(simulation.reference), "-o", str(cram), str(simulation.reads),
        catch_stdout=False,
    )  # fmt: skip
    pysam.index(str(cram))
    assert body(run(reads=cram)[0]) == body(run()[0])


def test_a_region_is_a_part_of_the_whole(run):
    whole = body(run()[0])
    position = lambda line: int(line.split("\t")[1])
    inside = [line for line in whole if 2101 <= position(line) <= 5237]
    assert body(run(region="chr1:2101-5237")[0]) == inside
    assert len(inside) > 20


def test_a_region_may_begin_and_end_at_a_variant(run):
    lines = body(run()[0])
    for line in (lines[10], next(x for x in lines if len(x.split("\t")[3]) > 1)):
        position = line.split("\t")[1]
        part = body(run(region=f"chr1:{position}-{position}")[0])
        assert line in part and all(x.split("\t")[1] == position for x in part)


def test_targets_are_a_part_of_the_whole(run, tmp_path):
    bed = tmp_path / "targets.bed"
    bed.write_text("chr1\t1000\t2000\nchr1\t4000\t4500\nother\t0\t10\n")
    spans = [(1000, 2000), (4000, 4500)]
    position = lambda line: int(line.split("\t")[1]) - 1
    expected = [
        line
        for line in body(run()[0])
        if any(low <= position(line) < high for low, high in spans)
    ]
    assert body(run(targets=bed)[0]) == expected and len(expected) > 5


def test_haploid_calls_have_one_allele(run, genome):
    records = records_of(run(ploidy=1)[0])
    assert len(records) > 40
    for record in records:
        assert len(record.genotype) == 1 and record.genotype[0] == 1
        assert len(record.pl) == len(record.gp) == 2 and min(record.pl) == 0
    homozygous = {
        r.position for r in records_of(run()[0]) if r.genotype == (1, 1) and r.gq > 50
    }
    assert homozygous <= {r.position for r in records}
    with pytest.raises(ValueError, match="ploidy"):
        run(ploidy=3)


def test_alleles_of_a_small_share_are_left_out_when_asked(run):
    everything = records_of(run()[0])
    share = lambda r: min(r.ad[1:]) / max(sum(r.ad), 1)
    kept = records_of(run(min_allele_fraction=0.45)[0])
    assert {r.label for r in kept} < {r.label for r in everything}
    assert all(share(r) >= 0.44 for r in kept)
    lost = {r.label for r in everything if share(r) > 0.5} - {r.label for r in kept}
    assert not lost


def test_few_compilations_over_many_windows(simulation, tmp_path, caplog):
    with jax.log_compiles(), caplog.at_level(logging.WARNING, logger="jax"):
        summary = call_variants(
            simulation.reads, simulation.reference, tmp_path / "o.vcf", window=500
        )
    text = [record.getMessage() for record in caplog.records]
    compiled = [line for line in text if line.startswith("Compiling ")]
    assert summary.windows == 18
    assert summary.shapes == sum("_site_calls" in line for line in compiled)
    assert 1 <= len(compiled) <= 8, compiled


def test_other_endings_hold_the_same_records(run):
    expected = records_of(run()[0])
    for name in ("calls.vcf", "calls.bcf"):
        got = records_of(run(name)[0])
        assert [(r.label, r.genotype, r.pl) for r in got] == [
            (r.label, r.genotype, r.pl) for r in expected
        ]


def test_a_checkpoint_or_a_pipeline_calls_as_it_was_saved(run, simulation, tmp_path):
    import diffbio_eqx as dbx
    from diffbio_eqx.pipelines.variant_calling import create_variant_calling_pipeline

    made = dbx.set_mode(create_variant_calling_pipeline(), "hard")
    dbx.save(tmp_path / "model.eqx", made)
    path, _ = run(checkpoint=tmp_path / "model.eqx")
    assert body(path) == body(run()[0])
    with pytest.raises(ValueError, match="ploidy must be that of the checkpoint"):
        call_variants(
            simulation.reads,
            simulation.reference,
            tmp_path / "out.vcf",
            checkpoint=tmp_path / "model.eqx",
            ploidy=1,
        )
    assert not (tmp_path / "out.vcf").exists()
