"""Positions where reads speak for a substitution, and the bases that lie there."""

from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Int

from diffbio_eqx._typing import HostArray
from diffbio_eqx.data.read_rows import ReadRows


class CandidateSites(eqx.Module):
    """Candidate substitution sites of a window and their reads, flat.

    - `position` (S,): window coordinates, ascending; `mask` (S,).
    - `entry_site` (N,): index of the site an entry belongs to, ascending;
      `entry_read`, `entry_column` (N,): the row and column of its base;
      `entry_mask` (N,). Padding holds zeros.
    """

    position: Int[HostArray, " sites"]
    mask: Bool[HostArray, " sites"]
    entry_site: Int[HostArray, " entries"]
    entry_read: Int[HostArray, " entries"]
    entry_column: Int[HostArray, " entries"]
    entry_mask: Bool[HostArray, " entries"]


class SiteRule(NamedTuple):
    """When a position is a candidate.

    A base b other than the reference is proposed if the closed-form log-odds of the
    heterozygote (reference, b) against the homozygous reference, mapping errors and
    dependency left out, exceed `log_odds` (nats), and if reads with b make up at
    least `min_allele_fraction` of the depth.
    """

    log_odds: float = -3.0
    min_allele_fraction: float = 0.0


def _error_tables() -> tuple[np.ndarray, np.ndarray]:
    phred = np.arange(256, dtype=np.float64)
    error = np.minimum(10.0 ** (-np.maximum(phred, 1.25) / 10.0), 0.75)
    het = np.log(0.5 * (1 - error) + error / 6.0)
    return het - np.log(error / 3.0), het - np.log1p(-error)


_GAIN, _COST = _error_tables()


def propose_sites(
    rows: ReadRows,
    reference: np.ndarray,
    origin: int,
    start: int,
    end: int,
    rule: SiteRule = SiteRule(),
) -> np.ndarray:
    """Absolute positions in `[start, end)` where a substitution is worth a look.

    `reference` holds codes of `[origin, origin + len(reference))`. The log-odds of
    base b at position p are `sum_b [H(q) - X(q)] + sum_ref [H(q) - M(q)]` with
    `M = log(1 - e)`, `X = log(e / 3)`, `H = log((1 - e) / 2 + e / 6)`. Costs are
    summed only where some read differs, so the work per matching base is one compare.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    length = end - start
    columns = _reference_rows(rows, reference, origin)
    usable = rows.qualities > 0
    usable &= rows.bases < 4
    differs = rows.bases != columns
    differs &= usable
    differs &= columns < 4
    row, column = _true_entries(differs)
    position = rows.start[row] + column - start
    inside = (position >= 0) & (position < length)
    row, column, position = row[inside], column[inside], position[inside]
    if not len(position):
        return np.zeros(0, np.int64)
    quality = rows.qualities[row, column]
    slot, index = np.unique(position, return_inverse=True)
    key = index * 4 + rows.bases[row, column]
    gain = np.bincount(key, _GAIN[quality], 4 * len(slot)).reshape(-1, 4)
    count = np.bincount(key, minlength=4 * len(slot)).reshape(-1, 4)
    matching = _matching_depth(rows, usable, slot + start, count.sum(1))
    cost = matching * np.log(0.5)
    score = np.where(count > 0, gain + cost[:, None], -np.inf)
    fraction = count / np.maximum(count.sum(1) + matching, 1)[:, None]
    keep = (score > rule.log_odds) & (fraction >= rule.min_allele_fraction)
    return slot[keep.any(1)].astype(np.int64) + start


def _reference_rows(rows: ReadRows, reference: np.ndarray, origin: int) -> np.ndarray:
    width = rows.width
    left = max(0, origin - int(rows.start.min()))
    last = int(rows.start.max()) + width
    right = max(0, last - origin - len(reference))
    padded = np.pad(reference, (left, right), constant_values=4)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    return windows[rows.start - origin + left]


def _true_entries(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`np.nonzero` of a matrix, faster where little is true."""
    return np.divmod(np.flatnonzero(mask.reshape(-1)), mask.shape[1])


def _matching_depth(rows: ReadRows, usable, slot: np.ndarray, differing: np.ndarray):
    """Reads that count and agree with the reference, per position of `slot`.

    `usable` (R, W): bases that count. Only rows with others are looked at.
    """
    depth = np.searchsorted(rows.start, slot, "right")
    depth = depth - np.searchsorted(np.sort(rows.end), slot, "right")
    span = rows.end - rows.start
    partly = np.flatnonzero(usable.sum(1, dtype=np.uint16) < span)
    unused = ~usable[partly]
    unused &= np.arange(rows.width) < span[partly, None]
    row, column = _true_entries(unused)
    silent = np.sort(rows.start[partly[row]] + column)
    silent_here = np.searchsorted(silent, slot, "right") - np.searchsorted(silent, slot)
    return np.maximum(depth - silent_here - differing, 0)


def site_entries(rows: ReadRows, position: np.ndarray) -> tuple[np.ndarray, ...]:
    """Site, row and column of every counted base that lies over a site.

    Bases of quality 0, N, deletions and skips are
    left out: they say nothing about which base was there.
    """
    if not len(rows) or not len(position):
        return (np.zeros(0, np.int32),) * 3
    first = np.searchsorted(rows.start, position - rows.width, "right")
    last = np.searchsorted(rows.start, position, "right")
    count = last - first
    site = np.repeat(np.arange(len(position)), count)
    offset = np.arange(len(site)) - np.repeat(np.cumsum(count) - count, count)
    row = np.repeat(first, count) + offset
    column = position[site] - rows.start[row]
    keep = (rows.bases[row, column] < 4) & (rows.qualities[row, column] > 0)
    return tuple(x[keep].astype(np.int32) for x in (site, row, column))
