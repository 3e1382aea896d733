"""Overlapping mates counted once, by the rule of samtools and bcftools."""

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64
from numpy.lib.stride_tricks import sliding_window_view

from diffbio_eqx.data.read_rows import ReadRows

CAP = 200
"""Largest sum of two qualities."""
_EIGHTY_PERCENT = np.floor(0.8 * np.arange(256)).astype(np.uint8)
_DELETION = 5
_BLOCK = 2048  # pairs at once: a dozen byte arrays of this size stay in cache


def merge_mates(
    rows: ReadRows,
    row_read: Int64[np.ndarray, " rows"],
    name: UInt64[np.ndarray, " reads"],
    mergeable: Bool[np.ndarray, " reads"],
    first_keeps: Bool[np.ndarray, " reads"],
) -> ReadRows:
    """`rows` with the qualities of overlapping mates merged and `mate` filled in.

    Of two mates over one reference base, one is left to count it. Where the bases
    agree, the keeper has the sum of both qualities (at most 200) and the other 0.
    Where they differ, the better one has 0.8 of its quality (rounded down) and the
    other 0; equal qualities leave it to the keeper. Over a deletion of one mate, the
    other keeps 0.8 of its quality if it is the keeper, else 0. The keeper is drawn by
    a hash of the read name (`first_keeps`), so that neither strand is preferred.

    **Arguments:** `row_read` the read of each row; `name` a hash of the read name;
    `mergeable` reads whose mate may overlap; `first_keeps` whether the mate that
    comes first is the keeper. Reads are in order of position; those of one name pair
    up as first and second, third and fourth.

    Each position is compared with itself. htslib does so too, except where deletions
    of the two mates are staggered: there it compares bases of different positions.

    **Reference:** `bam_plp_init_overlaps` of htslib (Danecek et al. 2021,
    doi:10.1093/gigascience/giab008).
    """
    first, second = _pairs(name, mergeable)
    if not len(first):
        return rows
    one, two, keeps, turn = _row_pairs(rows, row_read, first, second, first_keeps)
    mate = rows.mate.copy()
    mate[two[::-1]] = one[::-1]
    mate[one[::-1]] = two[::-1]
    qualities = rows.qualities.copy()
    # A read in several rows meets its mate in several pairs: no row twice in a turn.
    for value in np.unique(turn):
        this = np.flatnonzero(turn == value)
        for low in range(0, len(this), _BLOCK):
            part = this[low : low + _BLOCK]
            _merge(rows, qualities, one[part], two[part], keeps[part])
    fields = {**vars(rows), "qualities": qualities, "mate": mate}
    return ReadRows(**fields)


def _pairs(name, mergeable):
    """Indices of reads that are each other's mates, the earlier one first."""
    candidate = np.flatnonzero(mergeable)
    candidate = candidate[np.argsort(name[candidate], kind="stable")]
    key = name[candidate]
    opens = np.ones(len(key), bool)
    opens[1:] = key[1:] != key[:-1]
    at = np.arange(len(key))
    number = at - np.maximum.accumulate(np.where(opens, at, 0))
    paired = np.flatnonzero((number[1:] % 2 == 1) & ~opens[1:])
    return candidate[paired], candidate[paired + 1]


def _row_pairs(rows, row_read, first, second, first_keeps):
    """Rows of two mates that overlap, and a turn in which no row occurs twice."""
    reads = len(first_keeps)
    # Rows are sorted by start, so a stable sort by read lists a read's rows in order.
    by_read = np.argsort(row_read, kind="stable")
    count = np.bincount(row_read, minlength=reads)
    opening = np.cumsum(count) - count
    each = count[first] * count[second]
    pair = np.repeat(np.arange(len(first)), each)
    inside = np.arange(len(pair)) - np.repeat(np.cumsum(each) - each, each)
    across = count[second][pair]
    i, j = inside // np.maximum(across, 1), inside % np.maximum(across, 1)
    one = by_read[opening[first[pair]] + i]
    two = by_read[opening[second[pair]] + j]
    low = np.maximum(rows.start[one], rows.start[two])
    meets = low < np.minimum(rows.end[one], rows.end[two])
    return one[meets], two[meets], first_keeps[first[pair]][meets], (i + j)[meets]


def _merge(rows, qualities, one, two, keeps):
    new_one = _updated(rows, qualities, one, two, keeps)
    qualities[two] = _updated(rows, qualities, two, one, ~keeps)
    qualities[one] = new_one


def _updated(rows, qualities, own, other, keeps) -> UInt8[np.ndarray, "pairs width"]:
    """Qualities of rows `own` after meeting rows `other`, in `own`'s columns."""
    width = rows.width
    shift = rows.start[own] - rows.start[other]
    base, quality = rows.bases[own], qualities[own]
    # The other row seen from this one: columns outside of it read as padding.
    other_base = _shifted(rows.bases[other], shift, width, fill=7)
    other_quality = _shifted(qualities[other], shift, width, fill=0)
    keeps = keeps[:, None]
    room = CAP - np.minimum(quality, CAP)
    total = (quality + np.minimum(other_quality, room)) * keeps
    better = (quality > other_quality) | ((quality == other_quality) & keeps)
    better = np.where(other_base == _DELETION, keeps, better)
    reduced = np.take(_EIGHTY_PERCENT, quality, mode="clip") * better
    # Choices among bytes by (wrapping) arithmetic: faster than a masked choice.
    merged = reduced + (base == other_base) * (total - reduced)
    shows = (base < _DELETION) & (other_base <= _DELETION)
    return quality + shows * (merged - quality)


def _shifted(matrix, shift, width, fill):
    """Row `r` moved so that its column `shift[r]` comes first."""
    padded = np.full((len(matrix), 3 * width), fill, np.uint8)
    padded[:, width : 2 * width] = matrix
    at = np.arange(len(matrix)) * (3 * width) + width + shift
    return sliding_window_view(padded.reshape(-1), width)[at]
