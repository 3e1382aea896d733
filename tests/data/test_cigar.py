"""CIGARs to rows: each operation by hand, and cuts, against a loop over columns."""

import numpy as np
import pytest

from diffbio_eqx.data.cigar import parse_cigars, rows_from_alignments

LETTERS = "ACGTN-.#"


def expand(cigars, starts, reads=None, qualities=None, row_limit=None):
    """Rows of texts; reads default to a run of A C G T of the right length."""
    counts, ops, lengths = parse_cigars(cigars)
    on_query = np.array([1, 1, 0, 0, 1, 0, 0, 1, 1])[ops] * lengths
    ends = np.cumsum(counts)
    sizes = np.array([on_query[e - n : e].sum() for n, e in zip(counts, ends)])
    begin = np.cumsum(sizes) - sizes
    if reads is None:
        flat = np.concatenate([np.arange(n) % 4 for n in sizes]).astype(np.uint8)
    else:
        flat = np.array(["ACGTN".index(c) for c in "".join(reads)], np.uint8)
    if qualities is None:
        qualities = (10 + np.arange(len(flat)) % 50).astype(np.uint8)
    rows, row_read = rows_from_alignments(
        start=np.array(starts, np.int64),
        op_count=counts,
        ops=ops,
        op_lengths=lengths,
        query_begin=begin.astype(np.int64),
        query_length=sizes.astype(np.int64),
        query_bases=flat,
        query_qualities=qualities,
        row_limit=row_limit,
    )
    return rows, row_read


def text(rows, row):
    return "".join(LETTERS[code] for code in rows.bases[row]).rstrip("#")


def events(rows):
    return list(
        zip(
            rows.event_row.tolist(),
            rows.event_position.tolist(),
            rows.event_length.tolist(),
            rows.event_query.tolist(),
        )
    )


def test_parse_cigars_gives_flat_operations():
    counts, ops, lengths = parse_cigars(["10M", "*", "5S3M1I12D4N2H1P7=8X", ""])
    assert counts.tolist() == [1, 0, 9, 0]
    assert ops.tolist() == [0, 4, 0, 1, 2, 3, 5, 6, 7, 8]
    assert lengths.tolist() == [10, 5, 3, 1, 12, 4, 2, 1, 7, 8]


@pytest.mark.parametrize("bad", ["M", "10", "10M5", "3Q", "10M-2I", "1 0M", "M10"])
def test_bad_cigar_text_is_named(bad):
    with pytest.raises(ValueError, match="read 1.*MIDNSHP=X"):
        parse_cigars(["10M", bad])


def test_a_number_does_not_run_over_from_one_text_to_the_next():
    with pytest.raises(ValueError, match="read 0"):
        parse_cigars(["10", "M"])


@pytest.mark.parametrize("cigar", ["6M", "6=", "2=1X3=", "3M3M", "2H6M1H", "3M2P3M"])
def test_matches_of_every_spelling_are_one_plain_row(cigar):
    rows, _ = expand([cigar], [100], ["ACGTNA"])
    assert text(rows, 0) == "ACGTNA"
    assert (rows.start[0], rows.end[0]) == (100, 106)
    assert rows.qualities[0, :6].tolist() == [10, 11, 12, 13, 14, 15]
    assert not rows.qualities[0, 6:].any() and (rows.bases[0, 6:] == 7).all()
    assert len(rows.event_row) == 0


def test_soft_clips_stay_in_the_query_only():
    rows, _ = expand(["2S3M1S"], [50], ["GGACTC"])
    assert text(rows, 0) == "ACT"
    assert (rows.query_begin[0], rows.query_end[0], rows.query_first[0]) == (0, 6, 2)


def test_insertion_and_deletion_are_columns_and_events():
    rows, _ = expand(["3M2I2M3D2M"], [10], ["ACGTTACGT"])
    assert text(rows, 0) == "ACG" + "AC" + "---" + "GT"
    assert events(rows) == [(0, 13, 2, 3), (0, 15, -3, 7)]
    assert rows.qualities[0, 5:8].tolist() == [0, 0, 0]
    assert rows.qualities[0, 8] == rows.query_qualities[7]


def test_adjacent_events_keep_their_order():
    rows, _ = expand(["3M1I2D3M", "3M2D1I3M"], [10, 10], ["ACGTACG", "ACGTACG"])
    assert events(rows) == [
        (0, 13, 1, 3),
        (0, 13, -2, 4),
        (1, 13, -2, 10),
        (1, 15, 1, 10),
    ]
    assert text(rows, 0) == text(rows, 1) == "ACG--ACG"


def test_split_operations_are_joined():
    rows, _ = expand(["3M1I1P2I2M1D1D2M"], [0], ["ACGTTTACGT"])
    assert events(rows) == [(0, 3, 3, 3), (0, 5, -2, 8)]


def test_insertions_at_the_ends_of_a_read():
    rows, _ = expand(["2I3M", "1S1I3M2I"], [20, 30], ["TTACG", "GTACGTT"])
    assert text(rows, 0) == text(rows, 1) == "ACG"
    assert events(rows) == [(0, 20, 2, 0), (1, 30, 1, 6), (1, 33, 2, 10)]
    assert rows.query_first.tolist() == [2, 7]


def test_a_skip_cuts_the_read():
    rows, row_read = expand(["3M10N2M1D1M5N2M"], [100], ["ACGTACGT"])
    assert row_read.tolist() == [0, 0, 0]
    assert [text(rows, r) for r in range(3)] == ["ACG", "TA-C", "GT"]
    assert rows.start.tolist() == [100, 113, 122]
    assert rows.query_begin.tolist() == [0, 3, 6]
    assert rows.query_end.tolist() == [3, 6, 8]
    assert events(rows) == [(1, 115, -1, 5)]


def test_an_insertion_beside_a_skip_belongs_to_the_side_it_is_written_on():
    rows, _ = expand(["3M1I10N3M", "3M10N1I3M"], [0, 0], ["ACGTACG", "ACGTACG"])
    by_start = dict(zip(rows.event_position.tolist(), rows.event_row.tolist()))
    assert rows.start[by_start[3]] == 0 and rows.start[by_start[13]] == 13


def test_reads_without_an_aligned_base_give_no_row():
    rows, row_read = expand(["*", "5S", "3I", "4M", "0M2S"], [0, 1, 2, 3, 4])
    assert row_read.tolist() == [3] and len(rows) == 1


def test_no_reads_give_no_rows():
    rows, row_read = expand([], [], [])
    assert len(rows) == 0 == len(row_read) and rows.bases.shape == (0, rows.width)


def test_rows_are_sorted_by_start():
    rows, row_read = expand(["4M5N4M", "4M", "2M1D1M"], [0, 2, 9])
    assert rows.start.tolist() == [0, 2, 9, 9]
    assert row_read.tolist() == [0, 1, 0, 2]


def columns(cigar, start):
    """{reference position: query index or None}, by a loop over single bases."""
    (_, ops, lengths), at, query, found = parse_cigars([cigar]), start, 0, {}
    for op, length in zip(ops.tolist(), lengths.tolist()):
        for _ in range(length):
            if op in (0, 7, 8):
                found[at] = query
            elif op == 2:
                found[at] = None
            at += op in (0, 2, 3, 7, 8)
            query += op in (0, 1, 4, 7, 8)
    return found


@pytest.mark.parametrize("row_limit", [1, 3, 7, 40, None])
def test_random_cigars_at_any_row_limit_equal_a_loop(row_limit):
    rng = np.random.default_rng(3)
    cigars, starts = [], []
    for _ in range(60):
        n = rng.integers(1, 12)
        body = "".join(
            f"{rng.integers(1, 9)}{rng.choice(list('MMMIDN=XP'))}" for _ in range(n)
        )
        cigars.append(f"{rng.integers(1, 4)}S{body}2M{rng.integers(1, 3)}S")
        starts.append(int(rng.integers(0, 50)))
    order = np.argsort(starts, kind="stable")
    cigars, starts = [cigars[i] for i in order], [starts[i] for i in order]
    rows, row_read = expand(cigars, starts, row_limit=row_limit)
    if row_limit is not None:
        assert (rows.end - rows.start).max() <= row_limit
    begin = np.array([rows.query_begin[row_read == r].min() for r in range(60)])
    seen = [{} for _ in cigars]
    for row, read in enumerate(row_read):
        for column in range(int(rows.end[row] - rows.start[row])):
            position = int(rows.start[row]) + column
            assert position not in seen[read]
            seen[read][position] = rows.bases[row, column], rows.qualities[row, column]
        assert (rows.bases[row, int(rows.end[row] - rows.start[row]) :] == 7).all()
    for read, cigar in enumerate(cigars):
        want = {}
        for position, query in columns(cigar, starts[read]).items():
            at = None if query is None else begin[read] + query
            want[position] = (
                (5, 0)
                if at is None
                else (rows.query_bases[at], rows.query_qualities[at])
            )
        assert seen[read] == want
        # The pieces share the read's bases out among them, in order.
        mine = np.flatnonzero(row_read == read)
        assert (rows.query_end[mine[:-1]] == rows.query_begin[mine[1:]]).all()
        gain = rows.event_length[np.isin(rows.event_row, mine)]
        _, ops, lengths = parse_cigars([cigar])
        assert -gain[gain < 0].sum() == lengths[ops == 2].sum()


def test_an_event_lies_in_the_piece_with_the_base_before_it():
    rows, _ = expand(["4M2I4M6D4M"], [0], row_limit=4)
    assert rows.start.tolist() == [0, 4, 8, 12, 16]
    assert events(rows) == [(0, 4, 2, 4), (2, 8, -6, 10)]
    assert rows.query_end[0] == 6 == rows.query_begin[1]


def test_one_long_deletion_does_not_widen_all_rows():
    rows, row_read = expand(["50M400D50M", "100M"], [0, 5])
    assert rows.width <= 160
    assert (rows.bases[row_read == 0] == 5).sum() == 400


def test_lengths_that_disagree_are_an_error():
    counts, ops, lengths = parse_cigars(["5M"])
    with pytest.raises(ValueError, match="speaks of 5 bases.*has 4"):
        rows_from_alignments(
            start=np.array([0]),
            op_count=counts,
            ops=ops,
            op_lengths=lengths,
            query_begin=np.array([0]),
            query_length=np.array([4]),
            query_bases=np.zeros(4, np.uint8),
            query_qualities=np.zeros(4, np.uint8),
        )
