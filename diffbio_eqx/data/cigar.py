"""CIGAR strings turned into reference-coordinate rows, without a loop over reads."""

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from diffbio_eqx.data.read_rows import ReadRows

DELETION, PADDING = 5, 7
ROW_LIMIT = 512
"""Widest row in columns; longer alignments are cut into several rows."""
ROW_BUCKET = 32
"""Row widths are multiples of this, so that few array shapes occur."""
_SPARE = 48  # columns a row may grow by deletions before its read is cut
_LETTERS = b"MIDNSHP=X"
_MATCH, _INSERTION, _DELETION, _SKIP, _SOFT_CLIP = range(5)
_ON_QUERY = np.array([1, 1, 0, 0, 1, 0, 0, 1, 1], np.int64)
_ON_REFERENCE = np.array([1, 0, 1, 1, 0, 0, 0, 1, 1], np.int64)
# H and P leave the list (-1); = and X are M to a caller that looks at the bases.
_CANONICAL = np.array([0, 1, 2, 3, 4, -1, -1, 0, 0], np.int8)
_LETTER_CODE = np.full(256, 255, np.uint8)
_LETTER_CODE[np.frombuffer(_LETTERS, np.uint8)] = np.arange(9)
_BLOCK = 8192  # rows gathered at once: a block of uint8 rows stays in cache


def parse_cigars(
    cigars: list[str],
) -> tuple[
    Int64[np.ndarray, " reads"], UInt8[np.ndarray, " ops"], Int64[np.ndarray, " ops"]
]:
    """CIGAR texts to flat operations: counts per read, BAM codes, lengths.

    Codes are those of BAM: M I D N S H P = X are 0 to 8. `"*"` and `""` are reads
    without a CIGAR (count 0). Raises `ValueError` naming the first bad text.
    """
    texts = ["" if text == "*" else text for text in cigars]
    flat = np.frombuffer("".join(texts).encode("latin-1", "replace"), np.uint8)
    size = np.array([len(text) for text in texts], np.int64)
    ends = np.cumsum(size)
    owner = np.repeat(np.arange(len(texts)), size)
    code = _LETTER_CODE[flat]
    digit = (flat >= ord("0")) & (flat <= ord("9"))
    letter = code != 255
    bad = ~(digit | letter)
    # A letter needs a digit before it in the same text; a text ends in a letter.
    before = np.zeros(len(flat), bool)
    before[1:] = digit[:-1] & (owner[1:] == owner[:-1])
    bad |= letter & ~before
    last = ends[size > 0] - 1
    bad[last] |= ~letter[last]
    if bad.any():
        read = int(owner[np.argmax(bad)])
        raise ValueError(
            f"CIGAR of read {read} must be numbers each followed by one of "
            f"MIDNSHP=X, got {cigars[read]!r}. Write e.g. '5S95M'."
        )
    at = np.flatnonzero(letter)
    # A number is the sum of its digits times powers of ten, by distance to its letter.
    op = np.searchsorted(at, np.flatnonzero(digit))
    place = at[op] - np.flatnonzero(digit) - 1
    if place.size and place.max() > 9:
        read = int(owner[np.flatnonzero(digit)[np.argmax(place)]])
        raise ValueError(
            f"CIGAR lengths are below 2^28, got {cigars[read]!r} (read {read})."
        )
    lengths = np.zeros(len(at), np.int64)
    np.add.at(lengths, op, (flat[digit].astype(np.int64) - ord("0")) * 10**place)
    counts = np.bincount(owner[at], minlength=len(texts)).astype(np.int64)
    return counts, code[at], lengths


def sum_by_read(
    values: Int64[np.ndarray, " ops"], counts: Int64[np.ndarray, " reads"]
) -> Int64[np.ndarray, " reads"]:
    """Sum of each read's run of `values`; a read without operations has 0."""
    total = np.concatenate([[0], np.cumsum(values)])
    ends = np.cumsum(counts)
    return total[ends] - total[ends - counts]


def reference_spans(
    op_count: Int64[np.ndarray, " reads"],
    ops: UInt8[np.ndarray, " ops"],
    op_lengths: Int64[np.ndarray, " ops"],
) -> Int64[np.ndarray, " reads"]:
    """Reference bases under each alignment (M, =, X, D and N)."""
    return sum_by_read(op_lengths * _ON_REFERENCE[ops], op_count)


def query_spans(
    op_count: Int64[np.ndarray, " reads"],
    ops: UInt8[np.ndarray, " ops"],
    op_lengths: Int64[np.ndarray, " ops"],
) -> Int64[np.ndarray, " reads"]:
    """Read bases that each CIGAR speaks of (M, =, X, I and S)."""
    return sum_by_read(op_lengths * _ON_QUERY[ops], op_count)


def bucketed_width(columns: int) -> int:
    """The smallest multiple of `ROW_BUCKET` that holds `columns`."""
    return max(ROW_BUCKET, -(-columns // ROW_BUCKET) * ROW_BUCKET)


def rows_from_alignments(
    *,
    start: Int64[np.ndarray, " reads"],
    op_count: Int64[np.ndarray, " reads"],
    ops: UInt8[np.ndarray, " ops"],
    op_lengths: Int64[np.ndarray, " ops"],
    query_begin: Int64[np.ndarray, " reads"],
    query_length: Int64[np.ndarray, " reads"],
    query_bases: UInt8[np.ndarray, " bases"],
    query_qualities: UInt8[np.ndarray, " bases"],
    mapping_quality: UInt8[np.ndarray, " reads"] | None = None,
    reverse: Bool[np.ndarray, " reads"] | None = None,
    row_limit: int | None = None,
) -> tuple[ReadRows, Int64[np.ndarray, " rows"]]:
    """Alignments to `ReadRows`, with the read that each row came from.

    A read that is one run of M, = or X (soft and hard clips aside) becomes a row by
    one copy. The others go through one pass over their operations: M, = and X give
    bases, D gives code 5, I and D give events, S is kept in the query only, H and P
    give nothing. N cuts a read (a skip is no evidence, so no row covers it), and so
    does a length above `row_limit`. An event belongs to the piece with the base
    before it; a deletion over a cut is one event, in the piece where it begins.

    **Arguments:** `start` 0-based; `ops`, `op_lengths` flat over reads, BAM codes;
    read `r` owns `[query_begin[r], query_begin[r] + query_length[r])` of the flat
    bases (codes 0-4) and Phred qualities, in which gaps are allowed;
    `mapping_quality` 60 and `reverse` False where not given; `row_limit` in columns:
    by default the longest aligned read plus 48, at most 512.

    **Returns** the rows, sorted by start and then by read, mates not yet merged, and
    the read index of each row. Reads without an aligned column have no row.

    **Raises** `ValueError` where a CIGAR and its read differ in length.
    """
    reads = len(start)
    if mapping_quality is None:
        mapping_quality = np.full(reads, 60, np.uint8)
    if reverse is None:
        reverse = np.zeros(reads, bool)
    ops_known = ops <= 8
    if not ops_known.all():
        raise ValueError(
            f"CIGAR codes are 0 to 8 (M I D N S H P = X), got {int(ops.max())}."
        )
    _check_lengths(op_count, ops, op_lengths, query_length)
    op_count, ops, op_lengths = _merged_operations(op_count, ops, op_lengths)
    read = np.repeat(np.arange(reads), op_count)
    on_query, on_reference = (
        op_lengths * _ON_QUERY[ops],
        op_lengths * _ON_REFERENCE[ops],
    )
    op_query = _running(on_query, op_count, query_begin)
    op_start = _running(on_reference, op_count, start)
    match = ops == _MATCH
    spans = sum_by_read(on_reference, op_count)
    if row_limit is None:
        aligned = sum_by_read(op_lengths * (ops < _DELETION), op_count)
        longest = int(aligned.max(initial=0))
        row_limit = min(ROW_LIMIT, bucketed_width(longest + _SPARE))
    elif row_limit < 1:
        raise ValueError(f"row_limit must be at least 1 column, got {row_limit}.")
    plain = sum_by_read((match | (ops == _SOFT_CLIP)).astype(np.int64), op_count)
    simple = (plain == op_count) & (spans > 0) & (spans <= row_limit)
    simple &= sum_by_read(match.astype(np.int64), op_count) == 1
    simple_read = np.flatnonzero(simple)
    simple_first = op_query[match & simple[read]]

    pieces = _Pieces(
        ~simple[read], read, ops, op_lengths, op_start, op_query, row_limit
    )
    row_read = np.concatenate([simple_read, pieces.read])
    row_start = np.concatenate([start[simple_read], pieces.start])
    row_end = np.concatenate(
        [row_start[: len(simple_read)] + spans[simple], pieces.end]
    )
    order = np.lexsort((row_read, row_start)) if len(row_start) else np.arange(0)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))

    width = bucketed_width(int((row_end - row_start).max(initial=1)))
    first = np.concatenate([simple_first, pieces.query_first])[order]
    # All rows are copied as if they were simple; pieces (span 0 here) are filled in.
    shown = np.concatenate([spans[simple_read], np.zeros(len(pieces.read), np.int64)])
    bases = np.empty((len(order), width), np.uint8)
    qualities = np.empty((len(order), width), np.uint8)
    _copy_rows(bases, query_bases, first, shown[order], PADDING)
    _copy_rows(qualities, query_qualities, first, shown[order], 0)
    at = rank[len(simple_read) :]
    pieces.fill(bases, query_bases, at, DELETION)
    pieces.fill(qualities, query_qualities, at, 0)

    begin = np.concatenate([query_begin[simple_read], pieces.query_begin(query_begin)])
    query_stop = query_begin + query_length
    stop = np.concatenate([query_stop[simple_read], pieces.query_end(query_stop)])
    row_read = row_read[order]
    event_row = rank[len(simple_read) :][pieces.event_piece]
    by = np.lexsort((pieces.event_position, event_row))
    rows = ReadRows(
        start=row_start[order],
        end=row_end[order],
        bases=bases,
        qualities=qualities,
        mapping_quality=mapping_quality[row_read],
        reverse=reverse[row_read],
        query_bases=query_bases,
        query_qualities=query_qualities,
        query_begin=begin[order],
        query_end=stop[order],
        query_first=first,
        mate=np.full(len(order), -1, np.int64),
        event_row=event_row[by],
        event_position=pieces.event_position[by],
        event_length=pieces.event_length[by],
        event_query=pieces.event_query[by],
    )
    return rows, row_read


def _check_lengths(op_count, ops, op_lengths, query_length):
    told = query_spans(op_count, ops, op_lengths)
    wrong = (told != query_length) & (op_count > 0)
    if wrong.any():
        read = int(np.argmax(wrong))
        raise ValueError(
            f"the CIGAR of read {read} speaks of {told[read]} bases, but the read has "
            f"{query_length[read]}. The file or arrays are damaged: make them anew."
        )


def _merged_operations(op_count, ops, op_lengths):
    """=, X as M; H, P and empty operations gone; equal neighbours joined."""
    odd = (ops > _SOFT_CLIP) | (op_lengths == 0)
    read = np.repeat(np.arange(len(op_count)), op_count)
    if not odd.any():
        twice = (ops[1:] == ops[:-1]) & (read[1:] == read[:-1])
        if not twice.any():
            return op_count, ops, op_lengths
    ops = _CANONICAL[ops]
    keep = (ops >= 0) & (op_lengths > 0)
    ops, op_lengths, read = ops[keep], op_lengths[keep], read[keep]
    new = np.ones(len(ops), bool)
    new[1:] = (ops[1:] != ops[:-1]) | (read[1:] != read[:-1])
    at = np.flatnonzero(new)
    if len(at):
        op_lengths = np.add.reduceat(op_lengths, at)
    counts = np.bincount(read[at], minlength=len(op_count)).astype(np.int64)
    return counts, ops[at].astype(np.uint8), op_lengths


def _running(steps, counts, origin):
    """Position at which each operation begins, counted from the read's origin."""
    before = np.cumsum(steps) - steps
    opening = np.cumsum(counts) - counts
    has = counts > 0
    shift = np.zeros(len(counts), np.int64)
    shift[has] = before[opening[has]]
    return before + np.repeat(origin - shift, counts)


def _copy_rows(out, flat, first, spans, fill):
    """Each row of `out` from its first base on, and `fill` beyond its span."""
    width = out.shape[1]
    kind = np.min_scalar_type(width)
    columns, spans = np.arange(width, dtype=kind), spans.astype(kind)
    # The last rows would run over the end of `flat`: they are read from a copy of it.
    edge = max(0, len(flat) - width)
    tail = np.concatenate([flat[edge:], np.zeros(2 * width, np.uint8)])
    rows = sliding_window_view(flat if edge else tail, width)
    for low in range(0, len(first), _BLOCK):
        part = slice(low, low + _BLOCK)
        beyond = (columns >= spans[part, None]).view(np.uint8)
        # Arithmetic on bytes is several times faster than a masked copy.
        block = rows[np.minimum(first[part], edge)]
        late = np.flatnonzero(first[part] > edge)
        if len(late):
            block[late] = sliding_window_view(tail, width)[first[part][late] - edge]
        block *= 1 - beyond
        block += beyond * np.uint8(fill)
        out[part] = block


class _Pieces:
    """Rows of the reads that need their operations walked.

    A block is a stretch of one read without N; it is cut every `limit` columns, so
    that column `c` of a block lies in piece `c // limit`, column `c % limit`.
    """

    def __init__(self, walked, read, ops, lengths, op_start, op_query, limit):
        walked = np.flatnonzero(walked)
        read, ops, lengths = read[walked], ops[walked], lengths[walked]
        op_start, op_query = op_start[walked], op_query[walked]
        skips = np.cumsum(ops == _SKIP)
        # (read, skips so far) numbers the stretches; both grow along the operations.
        stretch = np.zeros(len(ops), np.int64)
        stretch[1:] = np.cumsum((np.diff(read) != 0) | (np.diff(skips) != 0))
        column_op = np.flatnonzero((ops == _MATCH) | (ops == _DELETION))
        owner = stretch[column_op]
        opens = np.ones(len(column_op), bool)
        opens[1:] = np.diff(owner) != 0
        head = np.flatnonzero(opens)
        tail = np.append(head[1:], len(column_op))[: len(head)] - 1
        block_start = op_start[column_op[head]]
        span = op_start[column_op[tail]] + lengths[column_op[tail]] - block_start
        count = -(-span // limit)
        first_piece = np.cumsum(count) - count
        block = np.repeat(np.arange(len(head)), count)
        number = np.arange(len(block)) - first_piece[block]
        self.limit = limit
        self.read = read[column_op[head]][block]
        self.start = block_start[block] + number * limit
        self.end = np.minimum(self.start + limit, (block_start + span)[block])
        # One entry a column: offset in its block, and the query base it shows.
        size = lengths[column_op]
        at_op = np.repeat(np.arange(len(column_op)), size)
        inside = np.arange(len(at_op)) - np.repeat(np.cumsum(size) - size, size)
        of_block = (np.cumsum(opens) - 1)[at_op]
        offset = op_start[column_op][at_op] + inside - block_start[of_block]
        self._shows = (ops[column_op] == _MATCH)[at_op]
        self._query = op_query[column_op][at_op] + np.where(self._shows, inside, 0)
        self._piece = first_piece[of_block] + offset // limit
        self._column = offset % limit
        opening = np.zeros(len(block), np.int64)
        is_opening = self._column == 0
        opening[self._piece[is_opening]] = self._query[is_opening]
        self.query_first = opening
        # Events; an insertion beside no column of its stretch has no row to be in.
        event = np.flatnonzero((ops == _INSERTION) | (ops == _DELETION))
        blocks = owner[head]
        near = np.searchsorted(blocks, stretch[event])
        held = near < len(blocks)
        held[held] = blocks[near[held]] == stretch[event][held]
        event, near = event[held], near[held]
        gain = ops[event] == _INSERTION
        place = op_start[event] - gain - block_start[near]
        place = np.clip(place, 0, span[near] - 1)
        self.event_piece = first_piece[near] + place // limit
        self.event_position = op_start[event]
        self.event_length = np.where(gain, lengths[event], -lengths[event])
        self.event_query = op_query[event]

    def fill(self, out, flat, rank, deleted):
        """Write the pieces into their rows of `out`; `deleted` where a base is not."""
        at = rank[self._piece] * out.shape[1] + self._column
        shown = np.flatnonzero(self._shows)
        values = np.full(len(at), deleted, np.uint8)
        values[shown] = flat[self._query[shown]]
        out.reshape(-1)[at] = values

    def query_begin(self, read_begin):
        """First query base: the read's own first for its first piece."""
        first = np.ones(len(self.read), bool)
        first[1:] = np.diff(self.read) != 0
        return np.where(first, read_begin[self.read], self.query_first)

    def query_end(self, read_end):
        """One past the last query base: where the read's next piece begins."""
        last = np.ones(len(self.read), bool)
        last[:-1] = np.diff(self.read) != 0
        following = np.append(self.query_first[1:], 0)[: len(self.read)]
        return np.where(last, read_end[self.read], following)
