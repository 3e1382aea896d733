"""Alignment files to rows: fields, filters, regions, windows, against pysam."""

import dataclasses
import warnings

import numpy as np
import pysam
import pytest
from sam_files import write_sam

from diffbio_eqx.io import _bam_stream
from diffbio_eqx.io.bam import AlignmentFile
from diffbio_eqx.io.read_filters import ReadCounts, ReadFilters

SIMPLE = """
q1 0 c 11 60 5M * 0 0 ACGTN ABCDE RG:Z:a
q2 16 c 13 7 2S3M1D2M1S * 0 0 GGACRTTC IIIIIIII RG:Z:a
q3 0 c 20 255 3M * 0 0 AcG * RG:Z:a
"""


def random_reads(seed, count, *, contigs=("c", "d"), size=400):
    """SAM records with every kind of operation, sorted."""
    rng = np.random.default_rng(seed)
    lines = []
    for contig in contigs:
        for start in np.sort(rng.integers(1, size, count)):
            a, b, c = rng.integers(2, 9, 3)
            middle = rng.choice(["", "2I", "3D", "1I2D", "30N", "4D1I", "2X1="])
            cigar = f"{rng.integers(1, 4)}S{a}M{middle}{b}M1I{c}={rng.integers(1, 3)}S"
            template = pysam.AlignedSegment()
            template.cigarstring = cigar
            length = template.infer_query_length()
            bases = "".join(rng.choice(list("ACGTN"), length))
            quality = "".join(chr(33 + q) for q in rng.integers(0, 60, length))
            flag = rng.choice([0, 16, 2048])
            name = f"r{len(lines)}{'x' * int(rng.integers(0, 20))}"
            lines.append(
                f"{name} {flag} {contig} {start} {rng.integers(0, 255)} {cigar} "
                f"* 0 0 {bases} {quality} RG:Z:a"
            )
    return "\n".join(lines)


def assert_same_rows(one, two):
    """Everything but the flat places, which depend on where gaps are."""
    for field in dataclasses.fields(one):
        if field.name.startswith("query_") or field.name == "event_query":
            continue
        assert np.array_equal(getattr(one, field.name), getattr(two, field.name)), (
            field.name
        )
    for name in ("query_begin", "query_end", "query_first"):
        a, b = getattr(one, name), getattr(two, name)
        assert np.array_equal(a - one.query_begin, b - two.query_begin)
    for row in range(0, len(one), max(1, len(one) // 50)):
        a = one.query_bases[one.query_begin[row] : one.query_end[row]]
        b = two.query_bases[two.query_begin[row] : two.query_end[row]]
        assert np.array_equal(a, b)


def test_fields_of_a_read(tmp_path):
    file = AlignmentFile(write_sam(tmp_path / "a.bam", SIMPLE))
    assert (file.kind, file.sample, file.samples) == ("BAM", "s", ("s",))
    assert file.lengths == {"c": 1000, "d": 500}
    assert file.read_groups == {"a": "s"} and file.index.endswith(".bai")
    rows = file.read_rows("c")
    assert rows.start.tolist() == [10, 12, 19] and rows.end.tolist() == [15, 18, 22]
    assert rows.mapping_quality.tolist() == [60, 7, 255]
    assert rows.reverse.tolist() == [False, True, False]
    assert rows.bases[0, :5].tolist() == [0, 1, 2, 3, 4]
    assert rows.qualities[0, :5].tolist() == [32, 33, 34, 35, 36]
    # IUPAC codes read as N; the deletion has code 5 and no quality.
    assert rows.bases[1, :6].tolist() == [0, 1, 4, 5, 3, 3]
    assert rows.qualities[1, :6].tolist() == [40, 40, 40, 0, 40, 40]
    # A read without qualities has what bcftools takes for it.
    assert rows.qualities[2, :3].tolist() == [60, 60, 60]
    assert rows.event_length.tolist() == [-1] and rows.event_position.tolist() == [15]
    assert str(file.counts) == "3 reads: 3 kept"


def test_rows_equal_pysams_aligned_pairs(tmp_path):
    path = write_sam(tmp_path / "a.bam", random_reads(1, 120))
    rows = AlignmentFile(path).read_rows("c")
    ours = []
    for row in range(len(rows)):
        for column in range(int(rows.end[row] - rows.start[row])):
            code, quality = rows.bases[row, column], rows.qualities[row, column]
            strand, place = bool(rows.reverse[row]), int(rows.start[row]) + column
            ours.append((place, int(code), int(quality), strand))
    theirs = []
    with pysam.AlignmentFile(path) as file:
        for read in file.fetch("c"):
            skipped = set()
            at = read.reference_start
            for op, length in read.cigartuples:
                if op == 3:
                    skipped |= set(range(at, at + length))
                at += length if op in (0, 2, 3, 7, 8) else 0
            for query, place in read.get_aligned_pairs():
                if place is None or place in skipped:
                    continue
                base = "-" if query is None else read.query_sequence[query]
                quality = 0 if query is None else read.query_qualities[query]
                code = "ACGTN-".index(base)
                theirs.append((place, code, quality, read.is_reverse))
    assert sorted(ours) == sorted(theirs) and len(ours) > 1500


@pytest.mark.parametrize(
    ("flag", "name", "filters"),
    [
        (4, "unmapped", ReadFilters()),
        (256, "secondary", ReadFilters()),
        (512, "qc_fail", ReadFilters()),
        (1024, "duplicate", ReadFilters()),
        (1 | 64, "improper_pair", ReadFilters()),
        (2048, "supplementary", ReadFilters(supplementary=True)),
        (0, "mapping_quality", ReadFilters(min_mapping_quality=31)),
    ],
)
def test_each_filter_drops_and_counts(tmp_path, flag, name, filters):
    text = f"""
    q1 0 c 11 60 4M * 0 0 ACGT IIII RG:Z:a
    q2 {flag} c 12 30 4M * 0 0 ACGT IIII RG:Z:a
    """
    path = write_sam(tmp_path / "a.bam", text)
    file = AlignmentFile(path, filters=filters)
    assert file.read_rows("c").start.tolist() == [10]
    assert file.counts == ReadCounts(seen=2, kept=1, **{name: 1})
    if name != "unmapped":
        off = {"min_mapping_quality": 0} if flag == 0 else {name: False}
        file = AlignmentFile(path, filters=dataclasses.replace(filters, **off))
        assert file.read_rows("c").start.tolist() == [10, 11]


def test_reads_without_sequence_or_alignment_are_counted(tmp_path):
    text = """
    q1 0 c 11 60 4M * 0 0 * * RG:Z:a
    q2 0 c 11 60 * * 0 0 ACGT IIII RG:Z:a
    q3 0 c 11 60 4S * 0 0 ACGT IIII RG:Z:a
    q4 0 c 11 60 4M * 0 0 ACGT IIII RG:Z:a
    """
    file = AlignmentFile(write_sam(tmp_path / "a.bam", text))
    assert len(file.read_rows("c")) == 1
    assert file.counts.no_sequence == 1 and file.counts.kept == 1
    assert file.counts.no_alignment + file.counts.unmapped == 2


def test_depth_is_capped_and_counted(tmp_path):
    starts = sorted([11] * 5 + [12, 13, 14, 15, 16, 17, 40, 41])
    text = "\n".join(
        f"q{i} 0 c {at} 60 4M * 0 0 ACGT IIII RG:Z:a" for i, at in enumerate(starts)
    )
    path = write_sam(tmp_path / "a.bam", text)
    file = AlignmentFile(path, filters=ReadFilters(max_depth=3))
    rows = file.read_rows("c")
    depth = np.zeros(60, int)
    for start, end in zip(rows.start, rows.end):
        depth[start:end] += 1
    assert depth.max() == 3 and depth[40] == 2
    # Three stay at 10; 11-13 find no room; at 14 the three have ended.
    assert rows.start.tolist() == [10, 10, 10, 14, 15, 16, 39, 40]
    assert file.counts == ReadCounts(seen=13, depth=5, kept=8)


def test_regions_hold_the_reads_that_overlap(tmp_path):
    path = write_sam(tmp_path / "a.bam", random_reads(2, 150))
    whole = AlignmentFile(path).read_rows("c")
    for start, end in ((20, 30), (57, 90), (200, 201), (399, 1000)):
        rows = AlignmentFile(path).read_rows("c", start, end)
        inside = (whole.start < end) & (whole.end > start)
        # A cut read brings all of its pieces.
        mine = (rows.start < end) & (rows.end > start)
        assert rows.start[mine].tolist() == whole.start[inside].tolist()
        assert (rows.reverse[mine] == whole.reverse[inside]).all()


@pytest.mark.parametrize("kind", ["csi", "none", "sam", "cram", "small chunks"])
def test_every_way_to_the_bytes_gives_the_same_rows(tmp_path, monkeypatch, kind):
    text = random_reads(3, 150)
    path = write_sam(tmp_path / "a.bam", text)
    want = {(c, r): AlignmentFile(path).read_rows(c, *r) for c, r in _REGIONS}
    reference = None
    if kind == "csi":
        (tmp_path / "a.bam.bai").unlink()
        pysam.index("-c", path)
    elif kind == "none":
        (tmp_path / "a.bam.bai").unlink()
    elif kind == "sam":
        path = write_sam(tmp_path / "b.sam", text)
    elif kind == "cram":
        reference = tmp_path / "ref.fa"
        reference.write_text(">c\n" + "ACGT" * 250 + "\n>d\n" + "A" * 500 + "\n")
        target = str(tmp_path / "a.cram")
        pysam.view("-C", "-T", str(reference), "-o", target, path, catch_stdout=False)
        pysam.index(target)
        path = target
    else:
        monkeypatch.setattr(_bam_stream, "CHUNK", 300)
    for (contig, (start, end)), rows in want.items():
        file = AlignmentFile(path, reference=reference)
        if kind in ("none", "sam"):
            with pytest.warns(UserWarning, match="no index.*samtools index"):
                assert_same_rows(file.read_rows(contig, start, end), rows)
        else:
            assert (file.index is None) == (kind in ("none", "sam"))
            assert_same_rows(file.read_rows(contig, start, end), rows)


_REGIONS = [("c", (0, 1000)), ("d", (0, 500)), ("c", (100, 140)), ("d", (399, 420))]


@pytest.mark.parametrize(("size", "halo"), [(37, 0), (100, 13), (5000, 50)])
@pytest.mark.parametrize("indexed", [True, False])
def test_windows_hold_the_rows_of_one_whole_read(tmp_path, size, halo, indexed):
    path = write_sam(tmp_path / "a.bam", random_reads(4, 200), index=indexed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = {c: AlignmentFile(path).read_rows(c) for c in ("c", "d")}
    file, seen = AlignmentFile(path), []
    for window in file.windows(size=size, halo=halo):
        seen.append((window.contig, window.start, window.end))
        low, high = window.start - halo, window.end + halo
        rows, all_rows = window.rows, whole[window.contig]
        mine = (rows.start < high) & (rows.end > low)
        inside = (all_rows.start < high) & (all_rows.end > low)
        assert rows.start[mine].tolist() == all_rows.start[inside].tolist()
        width = min(rows.width, all_rows.width)
        place = rows.start[mine, None] + np.arange(width)
        shown = (place >= low) & (place < high)
        for name in ("bases", "qualities"):
            ours = getattr(rows, name)[mine, :width]
            theirs = getattr(all_rows, name)[inside, :width]
            assert (ours == theirs)[shown].all()
    assert seen == [
        (c, at, min(at + size, n))
        for c, n in (("c", 1000), ("d", 500))
        for at in range(0, n, size)
    ]
    assert file.counts == ReadCounts(seen=400, kept=400)


def test_windows_of_a_part_of_a_contig(tmp_path):
    path = write_sam(tmp_path / "a.bam", random_reads(4, 50))
    windows = list(AlignmentFile(path).windows("c", 100, 250, size=100, halo=10))
    assert [(w.start, w.end) for w in windows] == [(100, 200), (200, 250)]
    whole = AlignmentFile(path).read_rows("c")
    for window, low, high in zip(windows, (90, 190), (210, 260)):
        rows = window.rows
        mine = rows.start[(rows.start < high) & (rows.end > low)]
        inside = whole.start[(whole.start < high) & (whole.end > low)]
        assert mine.tolist() == inside.tolist() and len(mine) > 4


def test_cigars_of_more_than_65535_operations(tmp_path):
    count = 33_000
    header = "@HD VN:1.6 SO:coordinate\n@SQ SN:c LN:40000\n@RG ID:a SM:s"
    text = (
        f"long 0 c 11 60 {'1M1I' * count} * 0 0 {'AC' * count} {'5?' * count} RG:Z:a\n"
        "next 0 c 20 60 3M * 0 0 GTA III RG:Z:a"
    )
    path = write_sam(tmp_path / "a.bam", text, header=header)
    rows = AlignmentFile(path).read_rows("c")
    shown = rows.bases < 4
    assert (rows.bases[shown] == 0).sum() == count + 1
    assert len(rows.event_row) == count and (rows.event_length == 1).all()
    assert (rows.query_bases[rows.event_query] == 1).all()


def test_one_of_several_samples(tmp_path):
    header = "@HD VN:1.6\n@SQ SN:c LN:100\n@RG ID:a SM:s\n@RG ID:b SM:t\n@RG ID:e SM:t"
    text = """
    q1 0 c 11 60 4M * 0 0 ACGT IIII RG:Z:a
    q2 0 c 12 60 4M * 0 0 ACGT IIII RG:Z:b
    q3 0 c 13 60 4M * 0 0 ACGT IIII RG:Z:e
    """
    path = write_sam(tmp_path / "a.bam", text, header=header)
    with pytest.raises(ValueError, match="2 samples.*s, t"):
        AlignmentFile(path)
    with pytest.raises(ValueError, match="sample 'u' is not in.*s, t"):
        AlignmentFile(path, sample="u")
    assert AlignmentFile(path, sample="s").read_rows("c").start.tolist() == [10]
    file = AlignmentFile(path, sample="t")
    assert file.sample == "t"
    assert file.read_rows("c").start.tolist() == [11, 12]


def test_real_short_reads_equal_pysams_coverage(data_root):
    folder = data_root / "data/genomics/illumina-na12878"
    path = str(folder / "NA12878_S1.chr20.10_10p1mb.bam")
    start, end = 10_020_000, 10_022_000
    file = AlignmentFile(path)
    rows = file.read_rows("chr20", start, end)
    assert np.array_equal(base_counts(rows, start, end), coverage(path, start, end))
    cram = AlignmentFile(
        folder / "NA12878_S1.chr20.10_10p1mb.cram",
        reference=folder / "ucsc.hg19.chr20.unittest.fasta.gz",
    )
    assert_same_rows(cram.read_rows("chr20", start, end), rows)
    assert cram.counts == file.counts


def test_real_long_reads_equal_pysams_coverage(data_root):
    folder = data_root / "data/genomics/longread-hifi-hg003-no-truth"
    path = str(folder / "test_pacbio.chr20_100kbp_at_9mb.bam")
    start, end = 9_040_000, 9_042_000
    rows = AlignmentFile(path).read_rows("chr20", start, end)
    assert rows.width == 512
    assert np.array_equal(base_counts(rows, start, end), coverage(path, start, end))


def base_counts(rows, start, end):
    """A C G T at each position, from rows."""
    place = rows.start[:, None] + np.arange(rows.width)
    inside = (place >= start) & (place < end)
    return np.stack(
        [
            np.bincount(
                place[inside & (rows.bases == base)] - start, minlength=end - start
            )
            for base in range(4)
        ]
    )


def coverage(path, start, end):
    """The same by pysam, with mpileup's filters."""

    def keep(read):
        return not read.flag & 0x704 and (not read.is_paired or read.is_proper_pair)

    with pysam.AlignmentFile(path) as file:
        counted = file.count_coverage(
            "chr20", start, end, quality_threshold=0, read_callback=keep
        )
    return np.array(counted)
