"""Insertions and deletions that reads show, left-aligned and counted."""

import dataclasses

import numpy as np

from diffbio_eqx.data.read_rows import ReadRows

_OUTSIDE = 9
_MULTIPLIER = 0x9E3779B97F4A7C15


@dataclasses.dataclass(frozen=True)
class IndelAlleles:
    """Distinct left-aligned indels, sorted by position (NumPy, contig coordinates).

    - `position` (A,): the first deleted base, or the base right after the insertion.
    - `length` (A,): bases inserted (> 0) or deleted (< 0); `inserted` (A, I) codes, 7
      beyond the insertion.
    - `span_end` (A,): one past the last base over which the event can be shifted.
    - `support` (A,): fragments that show it; `depth` (A,): fragments over it.
    """

    position: np.ndarray
    length: np.ndarray
    inserted: np.ndarray
    span_end: np.ndarray
    support: np.ndarray
    depth: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def take(self, index: np.ndarray) -> "IndelAlleles":
        """The alleles at `index` (integers or a mask)."""
        fields = dataclasses.fields(self)
        return IndelAlleles(*(getattr(self, field.name)[index] for field in fields))


def find_alleles(
    rows: ReadRows, reference: np.ndarray, origin: int, max_length: int
) -> tuple[IndelAlleles, int]:
    """All indels of up to `max_length` bases, and how many events were longer.

    `reference` holds codes of `[origin, origin + len(reference))`. Events that touch
    its ends or insert an N are left out. Work is per distinct allele and per shift,
    not per event; two mates of a fragment count once.
    """
    stop = origin + len(reference)
    length = rows.event_length
    last = rows.event_position + np.maximum(-length, 0)
    inside = (rows.event_position > origin) & (last < stop) & (length != 0)
    refused = int((inside & (np.abs(length) > max_length)).sum())
    event = np.flatnonzero(inside & (np.abs(length) <= max_length))
    position, length = rows.event_position[event], rows.event_length[event]
    query = rows.event_query[event]
    sizes = np.maximum(length, 0)
    width = int(sizes.max(initial=0))
    first, group = _distinct(position, length, _hash_events(rows, query, sizes))
    position, length = position[first].copy(), length[first]
    column = np.arange(width)
    real = column < np.maximum(length, 0)[:, None]
    at = np.where(real, query[first][:, None] + column, 0)
    inserted = np.where(real, rows.query_bases[at] if at.size else 0, 7)
    inserted = inserted.astype(np.uint8)
    position, inserted = _left_align(position, length, inserted, reference, origin)
    again, merged = _distinct(position, length, _hash_matrix(inserted))
    position, length, inserted = position[again], length[again], inserted[again]
    fragment = _fragments(rows)[rows.event_row[event]]
    pairs = np.unique(merged[group] * max(len(rows), 1) + fragment)
    support = np.bincount(pairs // max(len(rows), 1), minlength=len(again))
    alleles = IndelAlleles(
        position,
        length,
        inserted,
        _span_end(position, length, inserted, reference, origin),
        support,
        fragment_depth(rows, position - 1),
    )
    known = (inserted != 4).all(1) if width else np.ones(len(alleles), bool)
    return alleles.take(known), refused


def fragment_depth(rows: ReadRows, position: np.ndarray) -> np.ndarray:
    """Fragments whose reads lie over each position; two mates count once."""

    def covering(start, end):
        return np.searchsorted(np.sort(start), position, "right") - np.searchsorted(
            np.sort(end), position, "right"
        )

    later = np.flatnonzero((rows.mate >= 0) & (rows.mate < np.arange(len(rows))))
    mate = rows.mate[later]
    start = np.maximum(rows.start[later], rows.start[mate])
    end = np.maximum(np.minimum(rows.end[later], rows.end[mate]), start)
    return covering(rows.start, rows.end) - covering(start, end)


def _fragments(rows: ReadRows) -> np.ndarray:
    row = np.arange(len(rows))
    return np.where(rows.mate >= 0, np.minimum(row, rows.mate), row)


def _distinct(*keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of one event per distinct key (sorted by the first), and the group ids."""
    order = np.lexsort(keys[::-1])
    new = np.zeros(len(order), bool)
    new[:1] = True
    for key in keys:
        new[1:] |= key[order[1:]] != key[order[:-1]]
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(new) - 1
    return order[new], group


def _hash_events(rows: ReadRows, query: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    total = int(sizes.sum())
    begin = np.cumsum(sizes) - sizes
    offset = np.arange(total) - np.repeat(begin, sizes)
    bases = rows.query_bases[np.repeat(query, sizes) + offset].astype(np.uint64)
    weight = _powers(int(sizes.max(initial=0)))[offset]
    running = np.concatenate(
        [[np.uint64(0)], np.cumsum((bases + np.uint64(1)) * weight)]
    )
    return running[begin + sizes] - running[begin]


def _hash_matrix(inserted: np.ndarray) -> np.ndarray:
    values = np.where(inserted == 7, 0, inserted.astype(np.uint64) + np.uint64(1))
    return (values.astype(np.uint64) * _powers(inserted.shape[1])).sum(1)


def _powers(count: int) -> np.ndarray:
    return np.cumprod(np.full(count, _MULTIPLIER, np.uint64), dtype=np.uint64)


def _lookup(reference: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Codes at `index`, 9 outside and at N, so that nothing shifts over them."""
    inside = (index >= 0) & (index < len(reference))
    codes = reference[np.where(inside, index, 0)]
    return np.where(inside & (codes < 4), codes, _OUTSIDE)


def _left_align(position, length, inserted, reference, origin):
    """Shift every event left while the sequence it spells stays the same."""
    shift = np.zeros(len(position), np.int64)
    active = np.arange(len(position))
    size = np.abs(length)
    while len(active):
        here, n = position[active] - shift[active] - origin, size[active]
        left = np.where(here > 1, _lookup(reference, here - 1), _OUTSIDE)
        deleted = _lookup(reference, here + n - 1)
        added = _cycle(inserted, active, n - 1 - shift[active])
        same = np.where(length[active] < 0, deleted, added) == left
        active = active[same & (left < 4)]
        shift[active] += 1
    column = np.arange(inserted.shape[1])
    turned = (column - shift[:, None]) % np.maximum(size, 1)[:, None]
    rotated = np.take_along_axis(inserted, np.minimum(turned, column.size - 1), 1)
    rotated = np.where(column < np.maximum(length, 0)[:, None], rotated, 7)
    return position - shift, rotated.astype(np.uint8)


def _span_end(position, length, inserted, reference, origin):
    """One past the last base over which each left-aligned event can be shifted."""
    shift = np.zeros(len(position), np.int64)
    active = np.arange(len(position))
    deleted = np.maximum(-length, 0)
    while len(active):
        here = position[active] - origin + shift[active]
        after = _lookup(reference, here + deleted[active])
        added = _cycle(inserted, active, shift[active])
        leaving = np.where(length[active] < 0, _lookup(reference, here), added)
        active = active[(leaving == after) & (after < 4)]
        shift[active] += 1
    return position + deleted + shift


def _cycle(inserted, rows, index):
    """Inserted base at `index`, taken round the insertion; 7 where there is none."""
    if not inserted.shape[1]:
        return np.full(len(rows), 7, np.uint8)
    size = np.maximum((inserted[rows] != 7).sum(1), 1)
    return inserted[rows, index % size]
