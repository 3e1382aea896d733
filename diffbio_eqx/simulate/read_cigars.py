"""CIGARs known by construction: from each base's reference position to operations."""

import numpy as np
from jaxtyping import Bool, Int, UInt8

from diffbio_eqx.simulate.ragged import ragged_range

MATCH, INSERTION, DELETION, SOFT_CLIP = 0, 1, 2, 4


def _first_clip(
    insertion: np.ndarray, gap: np.ndarray, clip: np.ndarray, within: int
) -> np.ndarray:
    """Columns to clip at the left end: `clip`, more if an indel is within reach of
    it, and always so many that the first column left is aligned."""
    rows, width = insertion.shape
    column = np.arange(width)
    reach = column <= clip[:, None] + within
    by_insertion = np.where(insertion & reach, column + 1, 0).max(axis=1)
    by_gap = np.where(gap & reach, column, 0).max(axis=1)
    if within == 0:
        by_insertion, by_gap = np.zeros(rows, int), np.zeros(rows, int)
    lead = np.maximum(np.maximum(clip, by_insertion), by_gap)
    aligned = ~insertion & (column >= lead[:, None])
    return np.where(aligned.any(axis=1), aligned.argmax(axis=1), width)


def spell_cigars(
    position: Int[np.ndarray, "reads columns"],
    inserted: Bool[np.ndarray, "reads columns"],
    lead: Int[np.ndarray, " reads"],
    trail: Int[np.ndarray, " reads"],
    *,
    clip_within: int = 0,
) -> tuple[
    Int[np.ndarray, " reads"],
    Int[np.ndarray, " reads"],
    UInt8[np.ndarray, " flat"],
    Int[np.ndarray, " flat"],
    Int[np.ndarray, " reads"],
]:
    """CIGARs of reads of one length.

    **Arguments:** `position` of each base on the reference (of an inserted base: of
    the reference base after it), `inserted`, bases to soft-clip at the left (`lead`)
    and right end (`trail`), and `clip_within`, see `ReadOptions`.

    **Returns** start and end of the alignment (0-based, half-open), flat operations
    (BAM codes M 0, I 1, D 2, S 4) and lengths, and the number of operations a read.
    A read without an aligned base has no operation, and start = end = the position
    of its first base.
    """
    rows, width = position.shape
    column = np.arange(width)
    gap = np.zeros((rows, width), np.int64)
    gap[:, 1:] = position[:, 1:] - position[:, :-1] - ~inserted[:, :-1]
    cut = gap > 0
    lead = _first_clip(inserted, cut, lead, clip_within)
    turned_cut = np.zeros_like(cut)
    turned_cut[:, 1:] = cut[:, :0:-1]  # the gap before column j lies after j - 1
    trail = _first_clip(inserted[:, ::-1], turned_cut, trail, clip_within)
    none = lead + trail >= width
    last = width - 1 - trail

    operation = np.where(inserted, INSERTION, MATCH).astype(np.uint8)
    inside = (column >= lead[:, None]) & (column <= last[:, None])
    operation[~inside] = SOFT_CLIP
    gap[~inside | (column == lead[:, None])] = 0

    begins = np.ones((rows, width), bool)
    begins[:, 1:] = (operation[:, 1:] != operation[:, :-1]) | (gap[:, 1:] > 0)
    at = np.flatnonzero(begins)
    length = np.diff(np.append(at, rows * width))
    deleted = gap.ravel()[at]
    tokens = 1 + (deleted > 0)
    place = np.cumsum(tokens) - 1  # where the run stands; its deletion is before it
    flat_operation = np.full(int(tokens.sum()), DELETION, np.uint8)
    flat_length = np.zeros(len(flat_operation), np.int64)
    flat_operation[place] = operation.ravel()[at]
    flat_length[place] = length
    flat_length[place[deleted > 0] - 1] = deleted[deleted > 0]
    counts = np.bincount(at // width, weights=tokens, minlength=rows).astype(np.int64)
    kept = np.repeat(~none, counts)
    row = np.arange(rows)
    start = position[row, np.where(none, 0, lead)]
    end = np.where(none, start, position[row, np.maximum(last, 0)] + 1)
    counts = np.where(none, 0, counts)
    return start, end, flat_operation[kept], flat_length[kept], counts


def take_cigars(
    operation: UInt8[np.ndarray, " flat"],
    length: Int[np.ndarray, " flat"],
    counts: Int[np.ndarray, " reads"],
    rows: Int[np.ndarray, " chosen"],
) -> tuple[
    UInt8[np.ndarray, " taken"], Int[np.ndarray, " taken"], Int[np.ndarray, " chosen"]
]:
    """The CIGARs of `rows`, in that order."""
    begin = np.cumsum(counts) - counts
    at = ragged_range(begin[rows], counts[rows])
    return operation[at], length[at], counts[rows]
