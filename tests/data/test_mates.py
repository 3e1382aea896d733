"""Overlapping mates: the rule by hand, and samtools' own qualities on real reads."""

import re
from collections import defaultdict

import numpy as np
import pysam
import pytest
from sam_files import write_sam

from diffbio_eqx.data.cigar import parse_cigars
from diffbio_eqx.data.mates import merge_mates
from diffbio_eqx.data.read_records import ReadRecords
from diffbio_eqx.io.bam import AlignmentFile
from diffbio_eqx.io.read_filters import ReadFilters


def pair(first, second, qualities, *, keeps, starts=(0, 2), cigars=None):
    """Rows of two mates before and after they are merged."""
    reads = [first, second]
    counts, ops, lengths = parse_cigars(cigars or [f"{len(r)}M" for r in reads])
    sizes = np.array([len(r) for r in reads])
    records = ReadRecords(
        start=np.array(starts),
        end=np.array(starts) + sizes,
        mapping_quality=np.full(2, 60, np.uint8),
        reverse=np.array([False, True]),
        name=np.array([7, 7], np.uint64),
        mergeable=np.ones(2, bool),
        first_keeps=np.full(2, keeps),
        op_count=counts,
        query_begin=np.cumsum(sizes) - sizes,
        query_length=sizes,
        ops=ops,
        op_lengths=lengths,
        query_bases=np.array(["ACGTN".index(c) for c in first + second], np.uint8),
        query_qualities=np.array(qualities, np.uint8),
    )
    return records.rows(merge=False), records.rows()


@pytest.mark.parametrize("keeps", [True, False])
def test_agreeing_bases_give_the_sum_to_one_mate(keeps):
    before, after = pair("ACGTA", "GTAC", [30] * 5 + [20, 21, 22, 23], keeps=keeps)
    merged, silent = ([50, 51, 52], [0, 0, 0])
    one, two = (merged, silent) if keeps else (silent, merged)
    assert after.qualities[0, :5].tolist() == [30, 30, *one]
    assert after.qualities[1, :4].tolist() == [*two, 23]
    assert after.mate.tolist() == [1, 0]
    assert (after.bases == before.bases).all()
    assert (after.query_qualities == before.query_qualities).all()


def test_the_sum_stops_at_200():
    _, after = pair("AC", "AC", [150, 90, 93, 93], keeps=True, starts=(4, 4))
    assert after.qualities[:, :2].tolist() == [[200, 183], [0, 0]]


def test_the_better_of_two_differing_bases_keeps_four_fifths():
    _, after = pair("AAA", "CCC", [37, 10, 25, 20, 33, 25], keeps=True, starts=(4, 4))
    assert after.qualities[:, :3].tolist() == [[29, 0, 20], [0, 26, 0]]
    _, after = pair("AAA", "CCC", [37, 10, 25, 20, 33, 25], keeps=False, starts=(4, 4))
    assert after.qualities[:, :3].tolist() == [[29, 0, 0], [0, 26, 20]]


@pytest.mark.parametrize("keeps", [True, False])
def test_over_a_deletion_the_keeper_has_four_fifths(keeps):
    _, after = pair(
        "AAAAA", "AAA", [40] * 8, keeps=keeps, starts=(0, 0), cigars=["5M", "1M2D2M"]
    )
    assert after.qualities[0, 1:3].tolist() == ([32, 32] if keeps else [0, 0])
    assert after.qualities[1, 1:3].tolist() == [0, 0]


def test_mates_that_do_not_meet_stay_as_they_are():
    before, after = pair("AAA", "CCC", [30] * 6, keeps=True, starts=(0, 3))
    assert after.mate.tolist() == [-1, -1]
    assert (after.qualities == before.qualities).all()


def test_pieces_of_two_cut_mates_meet_piece_by_piece():
    first = "ACGT" * 10
    _, whole = pair(first, first[6:], [30] * 74, keeps=True, starts=(0, 6))
    records_rows = _cut_pair(first)
    shown = defaultdict(list)
    for rows in (whole, records_rows):
        for row in range(len(rows)):
            for column in range(int(rows.end[row] - rows.start[row])):
                key = int(rows.start[row]) + column
                shown[id(rows)].append((key, int(rows.qualities[row, column])))
    assert sorted(shown[id(whole)]) == sorted(shown[id(records_rows)])
    assert (records_rows.mate >= 0).sum() > 2


def _cut_pair(first):
    sizes = np.array([40, 34])
    records = ReadRecords(
        start=np.array([0, 6]),
        end=np.array([40, 40]),
        mapping_quality=np.full(2, 60, np.uint8),
        reverse=np.zeros(2, bool),
        name=np.array([7, 7], np.uint64),
        mergeable=np.ones(2, bool),
        first_keeps=np.ones(2, bool),
        op_count=np.ones(2, np.int64),
        query_begin=np.cumsum(sizes) - sizes,
        query_length=sizes,
        ops=np.zeros(2, np.uint8),
        op_lengths=sizes,
        query_bases=np.array(["ACGT".index(c) for c in first + first[6:]], np.uint8),
        query_qualities=np.full(74, 30, np.uint8),
    )
    return records.rows(row_limit=9)


def test_reads_that_may_not_merge_do_not():
    before, _ = pair("AC", "AC", [30] * 4, keeps=True, starts=(4, 4))
    same = merge_mates(
        before,
        np.array([0, 1]),
        np.array([7, 7], np.uint64),
        np.zeros(2, bool),
        np.ones(2, bool),
    )
    assert (same.qualities == before.qualities).all() and same.mate.max() == -1


def samtools_qualities(path, region):
    """{position: sorted base qualities} by `samtools mpileup`, deletions left out."""
    found = {}
    text = pysam.mpileup("-Q0", "-B", "-d", "100000", "-r", region, path)
    for line in text.splitlines():
        columns = line.split("\t")
        bases = re.sub(r"\^.|\$", "", columns[4])
        kept, at = [], 0
        while at < len(bases):
            if bases[at] in "+-":
                size = re.match(r"\d+", bases[at + 1 :])[0]
                at += 1 + len(size) + int(size)
            else:
                kept.append(bases[at])
                at += 1
        qualities = [ord(letter) - 33 for letter in columns[5]]
        pairs = zip(kept, qualities, strict=True)
        found[int(columns[1]) - 1] = sorted(q for base, q in pairs if base not in "*#")
    return {position: q for position, q in found.items() if q}


def our_qualities(rows, start, end):
    """The same from rows; samtools prints no quality above 93."""
    position = rows.start[:, None] + np.arange(rows.width)
    shown = (rows.bases < 5) & (position >= start) & (position < end)
    found = defaultdict(list)
    qualities = np.minimum(rows.qualities[shown], 93)
    for where, quality in zip(position[shown].tolist(), qualities.tolist()):
        found[where].append(quality)
    return {where: sorted(qualities) for where, qualities in found.items()}


def random_pairs(rng, pairs):
    """SAM records of overlapping mates with clips, insertions and deletions.

    At most one mate of a pair has a deletion: where both have one, one after the
    other, samtools goes on to compare bases of different positions.
    """
    fields = []
    for number in range(pairs):
        start = int(rng.integers(1, 200))
        mate = start + int(rng.integers(0, 30))
        events = [rng.choice(["", "2I"]), rng.choice(["", "3D", "2I", "1I2D"])]
        spans = []
        for flag, event in zip((99, 147), rng.permutation(events)):
            clip, a, b, end = rng.integers((1, 3, 3, 1), (3, 12, 23, 4))
            cigar = f"{clip}S{a}M{event}{b}M{end}S"
            parts = [(int(n), op) for n, op in re.findall(r"(\d+)([MIDS])", cigar)]
            length = sum(n for n, op in parts if op != "D")
            spans.append(sum(n for n, op in parts if op in "MD"))
            bases = "".join(rng.choice(list("AC"), length))
            quality = "".join(chr(33 + q) for q in rng.integers(2, 60, length))
            own, other = (start, mate) if flag == 99 else (mate, start)
            head = f"read{number} {flag} c {own} 60 {cigar} = {other}"
            fields.append((own, f"{head} SIZE {bases} {quality} RG:Z:a"))
        template = mate + spans[1] - start
        for back, size in ((2, template), (1, -template)):
            at, line = fields[-back]
            fields[-back] = at, line.replace("SIZE", str(size))
    fields.sort(key=lambda field: field[0])
    return "\n".join(line for _, line in fields)


def test_every_quality_of_short_overlapping_pairs_is_samtools(tmp_path):
    path = write_sam(
        tmp_path / "pairs.bam", random_pairs(np.random.default_rng(5), 200)
    )
    rows = AlignmentFile(path).read_rows("c")
    assert (rows.mate >= 0).sum() > 200
    ours, theirs = our_qualities(rows, 0, 1000), samtools_qualities(path, "c")
    assert ours == theirs
    # The comparison can fail: without the rule it does.
    loose = AlignmentFile(path, filters=ReadFilters(merge_mates=False))
    assert our_qualities(loose.read_rows("c"), 0, 1000) != theirs


def test_every_quality_of_real_reads_is_samtools(data_root):
    folder = data_root / "data/genomics/illumina-na12878"
    path = str(folder / "NA12878_S1.chr20.10_10p1mb.bam")
    start, end = 10_040_000, 10_046_000
    rows = AlignmentFile(path).read_rows("chr20", start, end)
    theirs = samtools_qualities(path, f"chr20:{start + 1}-{end}")
    assert our_qualities(rows, start, end) == theirs
