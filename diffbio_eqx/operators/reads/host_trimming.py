"""Hard trimming of whole blocks of reads in NumPy: what the operators do when hard.

Blocks are `bases` and `qualities` (R, L) uint8. A read is the part `[start, end)` of
its row, (R,) each; every function returns such a part of it. Nothing loops over reads.
"""

import numpy as np
from jaxtyping import Int, Shaped, UInt8

Places = Int[np.ndarray, " reads"]
Block = UInt8[np.ndarray, "reads length"]
G, N = 2, 4
MISMATCH_EVERY, MOST_MISMATCHES = 8, 5
_ORDER = np.array([0, 3, 1, 2], np.uint8)  # of equal counts the first: A T C G


def bwa_spans(
    bases: Block,
    qualities: Block,
    start: Places,
    end: Places,
    *,
    cutoff: float,
    front_cutoff: float = 0.0,
    nextseq: bool = False,
) -> tuple[Places, Places]:
    """Where cutadapt's partial sums of `cutoff - q` cut both ends.

    From an end inwards, the sums go on until one is negative; the cut is at the
    largest positive one, of equal ones the outermost. Both ends see the whole read; a
    read whose ends meet is empty: `start == end`.
    """
    start, end = start.copy(), end.copy()
    stop, begin = end.copy(), start.copy()
    low = np.flatnonzero(end > start)
    if not nextseq:  # a last base above the cut-off ends the walk at once
        low = low[qualities[low, end[low] - 1] < cutoff + 1]
    if len(low):
        gain = _gains(qualities[low], cutoff, start[low], end[low])
        if nextseq:
            inside = _inside(gain.shape[1], start[low], end[low])
            gain[(bases[low] == G) & inside] = 1
        best = _walk(gain[:, ::-1])
        stop[low] = np.where(best > 0, gain.shape[1] - best, end[low])
    low = np.flatnonzero(end > start)
    low = low[qualities[low, start[low]] < front_cutoff + 1]
    if len(low):
        gain = _gains(qualities[low], front_cutoff, start[low], end[low])
        best = _walk(gain)
        begin[low] = np.where(best > 0, best, start[low])
    empty = begin >= stop
    return np.where(empty, start, begin), np.where(empty, start, stop)


def window_spans(
    bases: Block,
    qualities: Block,
    start: Places,
    end: Places,
    *,
    size: int,
    mean: float,
    direction: str,
) -> tuple[Places, Places]:
    """Where fastp's sliding windows cut; `direction` as in the operator."""
    count, width = qualities.shape
    inside = _inside(width, start, end)
    values = np.where(inside, qualities, 0).astype(np.int32)
    sums = np.zeros((count, width + 1), np.int32)
    np.cumsum(values, axis=1, out=sums[:, 1:])
    if width < size:
        return start, start
    total = sums[:, size:] - sums[:, :-size]  # of windows that begin at 0, 1, ...
    good = total >= mean * size
    at = np.arange(width - size + 1)
    # the last window that would fit is never looked at
    last = end - size  # exclusive
    column = np.arange(width)
    if direction == "tail":
        # windows by their begin b, from the last; the first one is not looked at
        looked = (at > start[:, None]) & (at <= last[:, None])
        found = good & looked
        hit = found.any(1)
        begin = at[-1] - found[:, ::-1].argmax(1)
        begin = np.where(hit, begin, start)
        whole = begin + size == end
        stop = np.where(whole, end, begin + 1)
        letter = (bases != N) & (column < stop[:, None])
        stop = np.where(letter.any(1), width - letter[:, ::-1].argmax(1), 0)
        spans = start, stop
    elif direction == "front":
        looked = (at >= start[:, None]) & (at < last[:, None])
        found = good & looked
        begin = np.where(found.any(1), found.argmax(1), last)
        begin = np.where(begin > start, begin + size - 1, begin)
        letter = (bases != N) & (column >= begin[:, None]) & (column < end[:, None])
        begin = np.where(letter.any(1), letter.argmax(1), end)
        spans = begin, end
    else:
        looked = (at >= start[:, None]) & (at < last[:, None])
        found = ~good & looked
        hit, begin = found.any(1), found.argmax(1)
        bad = (qualities < mean) & (column >= begin[:, None])
        bad |= column >= (end - 1)[:, None]
        spans = start, np.where(hit, bad.argmax(1), end)
    begin, stop = spans
    dropped = (last <= start) | (begin >= end - 1) | (stop <= begin)
    return np.where(dropped, start, begin), np.where(dropped, start, stop)


def poly_g_end(bases: Block, start: Places, end: Places, *, minimum: int) -> Places:
    """Where fastp cuts a tail of G."""
    rows = _rich(bases, start, end, minimum, (G,))
    out = end.copy()
    if len(rows):
        tail, sizes = _tails(bases[rows], start[rows], end[rows])
        match = tail == G
        i = np.arange(tail.shape[1])
        misses = np.cumsum(~match, axis=1, dtype=np.int32)
        stop = misses > (i + 1) // MISMATCH_EVERY
        stop = (misses > MOST_MISMATCHES) | (stop & (i >= minimum - 1))
        stop |= i >= sizes[:, None]
        seen = np.where(stop.any(1), stop.argmax(1), tail.shape[1])
        first = np.where(match & (i <= seen[:, None]) & (i < sizes[:, None]), i, 0)
        first = first.max(1)
        long = seen >= minimum
        out[rows] = np.where(long, end[rows] - 1 - first, end[rows])
    return out


def poly_x_end(bases: Block, start: Places, end: Places, *, minimum: int) -> Places:
    """Where fastp cuts a tail of one base, whichever it is."""
    rows = _rich(bases, start, end, minimum, range(4))
    out = end.copy()
    if len(rows):
        tail, sizes = _tails(bases[rows], start[rows], end[rows])
        width = tail.shape[1]
        i = np.arange(width)
        fits = (tail[None] == _ORDER[:, None, None]) | (tail == N)
        counts = np.cumsum(fits, axis=2, dtype=np.int32)
        allowed = np.minimum((i + 1) // MISMATCH_EVERY, MOST_MISMATCHES)
        stop = (i + 1 - counts.max(0)) > allowed
        stop &= (i >= MISMATCH_EVERY) | (i + 1 >= minimum - 1)
        stop |= i >= sizes[:, None]
        seen = np.where(stop.any(1), stop.argmax(1), width)
        place = np.minimum(seen, sizes - 1)
        each = counts[:, np.arange(len(rows)), place]
        base = _ORDER[each.argmax(0)]
        back = (tail == base[:, None]) & (i <= seen[:, None]) & (i < sizes[:, None])
        last = np.where(back, i, -1).max(1)
        out[rows] = np.where(seen + 1 >= minimum, end[rows] - 1 - last, end[rows])
    return out


def _inside(width: int, start: Places, end: Places) -> Shaped[np.ndarray, "..."]:
    column = np.arange(width)
    return (column >= start[:, None]) & (column < end[:, None])


def _gains(qualities: Block, cutoff: float, start: Places, end: Places) -> np.ndarray:
    kind = np.int32 if float(cutoff).is_integer() else np.float64
    gain = np.asarray(cutoff, kind) - qualities
    return np.where(_inside(qualities.shape[1], start, end), gain, kind(0))


def _walk(gain: np.ndarray) -> np.ndarray:
    """Columns from the left that the largest positive partial sum takes in, or 0."""
    sums = np.cumsum(gain, axis=1)
    sums[np.logical_or.accumulate(sums < 0, axis=1)] = 0
    best = sums.argmax(1)
    return np.where(sums[np.arange(len(sums)), best] > 0, best + 1, 0)


def _tails(
    bases: Block, start: Places, end: Places
) -> tuple[UInt8[np.ndarray, "reads tail"], Places]:
    """Rows backwards from the last base, padding behind."""
    sizes = end - start
    width = int(sizes.max(initial=0))
    column = end[:, None] - 1 - np.arange(width)
    tail = np.take_along_axis(bases, np.maximum(column, 0), axis=1)
    return np.where(column >= start[:, None], tail, np.uint8(7)), sizes


def _rich(bases, start, end, minimum, letters) -> np.ndarray:
    """Rows whose last `minimum` bases can be a tail at all."""
    size = max(minimum - 2, 1)
    rows = np.flatnonzero(end - start >= minimum - 1)
    if not len(rows):
        return rows
    column = np.maximum(end[rows, None] - 1 - np.arange(size), 0)
    tail = bases[rows[:, None], column]
    unknown = (tail == N).sum(1)
    most = np.max([(tail == letter).sum(1) for letter in letters], axis=0)
    most = most + (unknown if len(letters) > 1 else 0)
    return rows[most >= size - max(minimum // MISMATCH_EVERY, 0)]
