"""The parts of reads that lie over candidate indels."""

from typing import NamedTuple

import numpy as np

from diffbio_eqx.data.query_map import QueryMap
from diffbio_eqx.data.read_rows import ReadRows

_SHORTEST = 10


class Segments(NamedTuple):
    """Parts of reads over loci, in order of locus (contig coordinates).

    `start`, `end`: reference positions that the first base, and the base after the
    last, are aligned to; `source` (P, Q) as in `IndelLoci`; `dropped`: reads left out
    where a locus had too many.
    """

    locus: np.ndarray
    row: np.ndarray
    start: np.ndarray
    end: np.ndarray
    length: np.ndarray
    source: np.ndarray
    extra_bases: np.ndarray
    extra_qualities: np.ndarray
    dropped: int


class Near(NamedTuple):
    """Sites beside loci, and the segments over them."""

    site: np.ndarray
    locus: np.ndarray
    pair_near: np.ndarray
    pair_segment: np.ndarray


def ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owner and value of every integer of the half-open intervals, flat."""
    count = np.maximum(last - first, 0)
    owner = np.repeat(np.arange(len(count)), count)
    value = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    return owner, value + np.repeat(first, count)


def near_sites(loci, sites: np.ndarray, distance: int):
    """First and one past the last site within `distance` of each locus."""
    low = np.maximum(loci.first - distance, loci.window_start)
    high = np.minimum(loci.last + distance, loci.window_end)
    return np.searchsorted(sites, low), np.searchsorted(sites, high)


def collect_segments(rows: ReadRows, loci, rule, sites: np.ndarray) -> Segments:
    """One segment for each fragment and locus: the bases over the locus' window.

    Reads count that touch the locus' events, or one of the sites beside it; soft
    clips are taken along, since long insertions hide there. Of two mates the one that
    crosses the events is taken, then the longer one.
    """
    empty = np.zeros(0, np.int64)
    if not len(rows) or not len(loci.first):
        source = np.zeros((0, rule.segment_rows), np.int64)
        none = np.zeros(0, np.uint8)
        return Segments(empty, empty, empty, empty, empty, source, none, none, 0)
    mapping = QueryMap(rows)
    near = near_sites(loci, sites, rule.near_distance)
    locus, row = _touching(rows, mapping, loci, near, sites)
    begin, stop, start, end = _cut(rows, mapping, loci, rule, locus, row)
    length = np.minimum(stop - begin, rule.segment_rows)
    aligned = np.minimum(rows.end[row], loci.window_end[locus])
    aligned = aligned - np.maximum(rows.start[row], loci.window_start[locus])
    keep = (length >= _SHORTEST) & (aligned >= _SHORTEST)
    crosses = (rows.start[row] <= loci.first[locus]) & (
        rows.end[row] > loci.last[locus]
    )
    index = np.flatnonzero(keep)
    row_id = np.arange(len(rows))
    fragment = np.where(rows.mate >= 0, np.minimum(row_id, rows.mate), row_id)[row]
    rank = 4096 * crosses + length
    index = index[np.lexsort((row[index], -rank[index], fragment[index], locus[index]))]
    same = np.zeros(len(index), bool)
    same[1:] = (locus[index[1:]] == locus[index[:-1]]) & (
        fragment[index[1:]] == fragment[index[:-1]]
    )
    index = np.sort(index[~same])
    index, dropped = _thin(index, locus, rule.max_segments)
    locus, row, begin, length = locus[index], row[index], begin[index], length[index]
    source, extra = _sources(rows, mapping, row, begin, length, rule)
    return Segments(
        locus,
        row,
        start[index],
        end[index],
        length,
        source,
        rows.query_bases[extra],
        rows.query_qualities[extra],
        dropped,
    )


def collect_near(loci, segments: Segments, sites: np.ndarray, distance: int) -> Near:
    """Sites within `distance` of each locus, with the locus' segments over each."""
    locus, site = ranges(*near_sites(loci, sites, distance))
    first = np.searchsorted(segments.locus, locus)
    last = np.searchsorted(segments.locus, locus, "right")
    pair_near, segment = ranges(first, last)
    position = sites[site[pair_near]] if len(pair_near) else np.zeros(0, np.int64)
    over = (segments.start[segment] <= position) & (position < segments.end[segment])
    return Near(site, locus, pair_near[over], segment[over])


def _touching(rows, mapping, loci, near, sites):
    """Pairs (locus, row) where the row, soft clips included, touches the locus."""
    low, high = loci.first, loci.last + 1
    some = near[0] < near[1]
    if some.any():
        first = sites[np.minimum(near[0], len(sites) - 1)]
        last = sites[np.maximum(near[1] - 1, 0)]
        low = np.where(some, np.minimum(low, first), low)
        high = np.where(some, np.maximum(high, last + 1), high)
    start = rows.start - mapping.left_clip
    end = rows.end + mapping.right_clip
    reach = int((end - rows.start).max())
    before = int(mapping.left_clip.max())
    locus, row = ranges(
        np.searchsorted(rows.start, low - reach, "right"),
        np.searchsorted(rows.start, high + before),
    )
    touch = (start[row] < high[locus]) & (end[row] > low[locus])
    return locus[touch], row[touch]


def _cut(rows, mapping, loci, rule, locus, row):
    """Query interval and reference interval of each row within its locus' window."""
    added = np.maximum(loci.allele_length, 0).max(1)
    span = loci.last - loci.first
    margin = np.maximum((rule.segment_rows - span - added) // 2, 8)
    left = np.maximum(loci.window_start, loci.first - margin)[locus]
    right = loci.window_end[locus]
    row_start, row_end = rows.start[row], rows.end[row]
    begin, start = mapping.query_at(row, np.clip(left, row_start, row_end))
    clipped = np.clip(row_start - left, 0, mapping.left_clip[row])
    stop, _ = mapping.query_at(row, np.clip(right, row_start, row_end))
    trailing = np.clip(right - row_end, 0, mapping.right_clip[row])
    end = np.minimum(right, row_end + trailing)
    return begin - clipped, stop + trailing, start - clipped, end


def _thin(index, locus, most):
    """At most `most` of the entries of a locus, evenly spread."""
    owner = locus[index]
    first = np.searchsorted(owner, owner)
    count = np.searchsorted(owner, owner, "right") - first
    rank = np.arange(len(index)) - first
    share = np.minimum(most / np.maximum(count, 1), 1.0)
    keep = np.floor((rank + 1) * share + 1e-9) > np.floor(rank * share + 1e-9)
    return index[keep], int((~keep).sum())


def _sources(rows, mapping, row, begin, length, rule):
    """Where each base of each segment is found, and the query bases to be added."""
    offset = np.arange(rule.segment_rows)
    real = offset < length[:, None]
    query = np.where(real, begin[:, None] + offset, begin[:, None])
    column = mapping.column_of(row, query)
    width = rows.width
    inside = (column >= 0) & (
        column < np.minimum(rows.end - rows.start, width)[row, None]
    )
    at = np.where(inside, row[:, None] * width + column, 0)
    as_sequenced = rows.qualities.reshape(-1)[at] == rows.query_qualities[query]
    as_sequenced &= rows.bases.reshape(-1)[at] == rows.query_bases[query]
    in_rows = inside & as_sequenced
    extra, slot = np.unique(query[real & ~in_rows], return_inverse=True)
    source = np.where(real, column, -1)
    source[real & ~in_rows] = -2 - slot
    return source, extra
