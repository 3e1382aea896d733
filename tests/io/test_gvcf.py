"""The gVCF covers every callable base once, and bcftools can expand and merge it."""

import shutil
import subprocess

import numpy as np
import pytest

from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io.vcf import VcfWriter, read_vcf, record_spans, reference_blocks

needs_bcftools = pytest.mark.skipif(
    shutil.which("bcftools") is None, reason="bcftools is absent"
)
LENGTH = 400
CODES = np.random.default_rng(5).integers(0, 4, LENGTH).astype(np.uint8)
TEXT = "".join("ACGT"[code] for code in CODES)
NONE = np.zeros((0, 2), np.int64)


def columns(seed=0, genotypes=3):
    """Depth, GQ in runs, PL and a callable mask of the contig."""
    random = np.random.default_rng(seed)
    depth = random.integers(0, 40, LENGTH)
    gq = np.repeat(random.integers(0, 90, LENGTH // 10), 10)
    pl = np.cumsum(random.integers(0, 30, (LENGTH, genotypes)), axis=1)
    pl[:, 0] = 0
    mask = np.ones(LENGTH, bool)
    mask[100:120] = mask[300] = False
    return depth, gq, pl, mask


def blocks_of(seed=0, start=0, stop=LENGTH, excluded=NONE, genotypes=3, **kwargs):
    cut = slice(start, stop)
    table = [column[cut] for column in columns(seed, genotypes)]
    return reference_blocks(start, *table, excluded, reference=CODES[cut], **kwargs)


RECORDS = [
    VariantRecord(
        "c",
        0,
        TEXT[0],
        ("ACGT"["CGTA".index(TEXT[0])],),
        qual=30.0,
        genotype=(0, 1),
        gq=20,
        dp=9,
        ad=(4, 5),
        pl=(30, 0, 40),
    ),
    VariantRecord(
        "c",
        52,
        TEXT[52:60],
        (TEXT[52],),
        qual=30.0,
        genotype=(1, 1),
        gq=20,
        dp=9,
        ad=(0, 9),
        pl=(90, 20, 0),
    ),
    VariantRecord(
        "c",
        57,
        TEXT[57],
        ("ACGT"["CGTA".index(TEXT[57])],),
        qual=3.0,
        genotype=(0, 1),
        gq=2,
        dp=9,
        ad=(7, 2),
        pl=(1, 0, 90),
    ),
    VariantRecord(
        "c",
        399,
        TEXT[399],
        (TEXT[399] + "AC",),
        qual=30.0,
        genotype=(0, 1),
        gq=20,
        dp=9,
        ad=(4, 5),
        pl=(30, 0, 40),
    ),
]


def write(path, *, records=(), window=LENGTH, seed=0, sample="S"):
    spans = record_spans(records)
    with VcfWriter(path, {"c": LENGTH}, sample, gvcf=True) as out:
        for start in range(0, LENGTH, window):
            here = [r for r in records if start <= r.position < start + window]
            out.write_window("c", here, blocks_of(seed, start, start + window, spans))
    return path


def test_every_free_callable_base_is_in_exactly_one_block():
    depth, gq, pl, mask = columns()
    spans = np.array([[5, 9], [8, 30], [95, 101], [390, 500], [-5, 1]])
    blocks = blocks_of(excluded=spans)
    cover = np.zeros(LENGTH, int)
    bands = np.array([0, 5, 20, 60, 1000])
    for i in range(len(blocks)):
        here = slice(blocks.start[i], blocks.end[i])
        cover[here] += 1
        low, high = bands[blocks.band[i]], bands[blocks.band[i] + 1]
        assert np.all((gq[here] >= low) & (gq[here] < high))
        assert blocks.gq[i] == gq[here].min()
        assert blocks.min_depth[i] == depth[here].min()
        assert blocks.depth[i] == np.rint(depth[here].mean())
        assert blocks.pl[i].tolist() == pl[here].min(axis=0).tolist()
        assert blocks.ref[i] == TEXT[blocks.start[i]]
    expected = mask.copy()
    for start, end in spans:
        expected[max(start, 0) : end] = False
    assert cover.tolist() == expected.astype(int).tolist()


def test_blocks_are_as_long_as_they_can_be():
    blocks = blocks_of(bands=(5, 20, 60))
    touching = blocks.end[:-1] == blocks.start[1:]
    assert touching.any()
    assert np.all(blocks.band[:-1][touching] != blocks.band[1:][touching])
    assert len(blocks_of(bands=())) == 3
    assert len(blocks_of(bands=(5,))) < len(blocks)


def test_smallest_likelihood_of_a_block_is_zero():
    pl = np.array([[3, 0, 50], [4, 0, 60]])
    two = np.array([7, 8])
    free = np.ones(2, bool)
    blocks = reference_blocks(9, two, two, pl, free, NONE, reference=CODES[:2])
    assert (blocks.start.tolist(), blocks.end.tolist()) == ([9], [11])
    assert blocks.pl.tolist() == [[3, 0, 50]]
    pl = np.array([[3, 5, 50], [4, 2, 60]])
    blocks = reference_blocks(9, two, two, pl, free, NONE, reference=CODES[:2])
    assert blocks.pl.tolist() == [[1, 0, 48]]


def test_nothing_callable_gives_no_block():
    depth, gq, pl, mask = columns()
    nothing = reference_blocks(
        0, depth, gq, pl, np.zeros_like(mask), NONE, reference=CODES
    )
    assert len(nothing) == 0 and nothing.pl.shape == (0, 3)
    assert len(blocks_of(start=5, stop=5)) == 0


def test_wrong_columns_and_bands():
    depth, gq, pl, mask = columns()
    with pytest.raises((ValueError, TypeError), match="gq"):
        reference_blocks(0, depth, gq[1:], pl, mask, NONE, reference=CODES)
    with pytest.raises(ValueError, match="increasing GQ edges"):
        blocks_of(bands=(20, 5))


@pytest.mark.parametrize("window", [LENGTH, 100, 37])
def test_windows_of_any_size_write_the_same_coverage(tmp_path, window):
    path = write(tmp_path / "x.g.vcf.gz", records=RECORDS, window=window)
    found = read_vcf(path)
    cover = np.zeros(LENGTH, int)
    for record in found:
        if record.alts == ("<*>",):
            assert record.genotype == (0, 0) and record.pl[0] == 0
            cover[record.position : record.end] += 1
    variants = [r for r in found if r.alts != ("<*>",)]
    assert variants == RECORDS
    spans = record_spans(variants)
    assert all(cover[start:end].max() == 0 for start, end in spans)
    for start, end in spans:
        cover[start:end] = 1
    assert cover.tolist() == columns()[3].astype(int).tolist()
    whole = read_vcf(write(tmp_path / "whole.g.vcf.gz", records=RECORDS))
    places = [(r.position, r.end, r.gq, r.pl) for r in whole]
    assert [(r.position, r.end, r.gq, r.pl) for r in found] == places


def test_min_depth_is_written(tmp_path):
    path = write(tmp_path / "x.vcf")
    lines = [x for x in path.read_text().splitlines() if not x.startswith("#")]
    fields = [dict(zip(*(x.split("\t")[i].split(":") for i in (8, 9)))) for x in lines]
    assert all(int(f["MIN_DP"]) <= int(f["DP"]) for f in fields)
    assert [int(f["MIN_DP"]) for f in fields] == blocks_of().min_depth.tolist()


def test_a_haploid_block(tmp_path):
    blocks = blocks_of(genotypes=2)
    with VcfWriter(tmp_path / "x.vcf", {"c": LENGTH}, "S", gvcf=True) as out:
        out.write_blocks("c", blocks)
    assert {record.genotype for record in read_vcf(tmp_path / "x.vcf")} == {(0,)}


def test_blocks_and_records_may_not_overlap(tmp_path):
    deletion, blocks = RECORDS[1], blocks_of()
    with pytest.raises(ValueError, match=r"block c:\d+: expected a start at or after"):
        with VcfWriter(tmp_path / "x.vcf", {"c": LENGTH}, "S", gvcf=True) as out:
            out.write(VariantRecord("c", 0, TEXT[:30], (TEXT[0],), genotype=(0, 1)))
            out.write_blocks("c", blocks)
    with pytest.raises(ValueError, match="record c:53.*where the last reference block"):
        with VcfWriter(tmp_path / "x.vcf", {"c": LENGTH}, "S", gvcf=True) as out:
            out.write_window("c", [deletion], blocks)
    with pytest.raises(ValueError, match="gvcf=True"):
        with VcfWriter(tmp_path / "x.vcf", {"c": LENGTH}, "S") as out:
            out.write_blocks("c", blocks)
    assert list(tmp_path.iterdir()) == []


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [x for x in done.stdout.splitlines() if x and not x.startswith("##")]


@needs_bcftools
def test_bcftools_expands_merges_and_checks_it(tmp_path):
    (tmp_path / "r.fa").write_text(f">c\n{TEXT}\n")
    write(tmp_path / "a.g.vcf.gz", records=RECORDS, window=100, sample="A")
    write(tmp_path / "b.g.vcf.gz", seed=1, sample="B")
    for name in ("a.g.vcf.gz", "b.g.vcf.gz"):
        run(tmp_path, "bcftools", "norm", "-c", "x", "-f", "r.fa", name)
        run(tmp_path, "bcftools", "stats", name)
        run(tmp_path, "bcftools", "index", "-f", name)
    expand = ("bcftools", "convert", "--gvcf2vcf", "-f", "r.fa", "a.g.vcf.gz")
    sites = [row.split("\t") for row in run(tmp_path, *expand)[1:]]
    places = [int(row[1]) for row in sites if row[4] in (".", "<*>")]
    free = columns()[3].copy()
    for start, end in record_spans(RECORDS):
        free[start:end] = False
    assert places == (np.flatnonzero(free) + 1).tolist()
    assert all(row[3] == TEXT[int(row[1]) - 1] for row in sites if len(row[3]) == 1)
    names = ("a.g.vcf.gz", "b.g.vcf.gz")
    merged = run(tmp_path, "bcftools", "merge", "-g", "r.fa", *names)
    assert merged[0].endswith("A\tB")
    rows = {int(row.split("\t")[1]): row.split("\t") for row in merged[1:]}
    both = [rows[record.position + 1][9:] for record in RECORDS]
    assert [x[0].split(":")[0] for x in both] == ["0/1", "1/1", "0/1", "0/1"]
    assert {x[1].split(":")[0] for x in both} == {"0/0"}
