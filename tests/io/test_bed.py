"""BED files and regions written as text."""

import gzip

import pytest

from diffbio_eqx.io.bed import read_bed
from diffbio_eqx.io.regions import parse_region

TEXT = """# a comment
track name=x
browser position chr1
chr2\t50\t60\tname\t0\t+
chr1\t10\t20
chr1\t5\t12\r

chr1\t20\t25
chr1\t40\t40
chr2 70 80
"""


@pytest.mark.parametrize("packed", [False, True])
def test_intervals_are_merged_by_contig(tmp_path, packed):
    path = tmp_path / ("a.bed.gz" if packed else "a.bed")
    path.write_bytes(gzip.compress(TEXT.encode()) if packed else TEXT.encode())
    found = read_bed(path)
    assert list(found) == ["chr2", "chr1"]
    assert found["chr1"].start.tolist() == [5] and found["chr1"].end.tolist() == [25]
    assert found["chr2"].start.tolist() == [50, 70]
    assert found["chr2"].end.tolist() == [60, 80]


@pytest.mark.parametrize(
    "line", ["chr1\t10", "chr1\tx\t20", "chr1\t20\t10", "chr1\t-1\t4", "chr1"]
)
def test_bad_lines_are_named(tmp_path, line):
    path = tmp_path / "a.bed"
    path.write_text(f"chr1\t1\t2\n{line}\n")
    with pytest.raises(ValueError, match=r"a\.bed:2: expected contig, start and end"):
        read_bed(path)


def test_missing_empty_and_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="BED file not found"):
        read_bed(tmp_path / "none.bed")
    path = tmp_path / "a.bed.gz"
    path.write_bytes(gzip.compress(TEXT.encode())[:-12])
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_bed(path)
    path.write_bytes(b"")
    assert read_bed(path) == {}


def test_real_confident_regions(data_root):
    folder = data_root / "data/genomics/illumina-na12878"
    found = read_bed(folder / "test_nist.b37_chr20_100kbp_at_10mb.bed")
    assert sum(part.size for part in found.values()) == 8999


LENGTHS = {"chr20": 5000, "HLA:1": 300}


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("chr20", ("chr20", 0, 5000)),
        ("chr20:1-5000", ("chr20", 0, 5000)),
        ("chr20:1,000-2,000", ("chr20", 999, 2000)),
        ("chr20:77", ("chr20", 76, 5000)),
        ("chr20:77-", ("chr20", 76, 5000)),
        ("chr20:77-77", ("chr20", 76, 77)),
        ("chr20:4000-9999999", ("chr20", 3999, 5000)),
        ("HLA:1", ("HLA:1", 0, 300)),
        ("HLA:1:2-9", ("HLA:1", 1, 9)),
    ],
)
def test_regions(text, region):
    assert parse_region(text, LENGTHS) == region


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("20:5-9", "contig '20' is not in the reads.*'chr20'"),
        ("chr9", "contig 'chr9' is not in the reads"),
        ("chr20:9-5", "must lie in chr20:1-5000"),
        ("chr20:0-5", "must lie in chr20:1-5000"),
        ("chr20:5001-6000", "must lie in chr20:1-5000"),
        ("chr20:a-b", "must look like chr20:1000-2000"),
    ],
)
def test_bad_regions(text, match):
    with pytest.raises(ValueError, match=match):
        parse_region(text, LENGTHS)
