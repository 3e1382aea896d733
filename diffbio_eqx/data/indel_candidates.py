"""From aligned reads to candidate haplotypes and the reads that are scored on them."""

from typing import NamedTuple

import numpy as np

from diffbio_eqx._checks import require
from diffbio_eqx.data.indel_alleles import IndelAlleles, find_alleles
from diffbio_eqx.data.indel_loci import IndelLoci
from diffbio_eqx.data.indel_padding import assemble
from diffbio_eqx.data.indel_padding import pad_loci as pad_loci
from diffbio_eqx.data.indel_segments import collect_near, collect_segments
from diffbio_eqx.data.read_rows import ReadRows
from diffbio_eqx.data.repeat_neighbours import with_repeat_neighbours

_SHORTEST_FLANK = 16


class IndelRule(NamedTuple):
    """Which indels become candidates, and how much around them is looked at.

    - `min_reads`: fragments that must show an allele; fewer do where they are at least
      `depth_fraction` of the depth.
    - `max_alleles`: alternatives of a locus, the best supported (at most 3).
    - `flank`: reference bases on either side of the events of a locus; less where the
      events leave less of `haplotype_columns`.
    - `near_distance`: substitutions so near to a locus are scored again with it.
    - `segment_rows`: bases of a read that are scored; `max_segments`: reads per locus.
    - `repeat_neighbours`: propose alleles one repeat unit beside those that are seen.
    """

    depth_fraction: float = 0.12
    min_reads: int = 2
    max_alleles: int = 3
    flank: int = 48
    near_distance: int = 40
    segment_rows: int = 112
    haplotype_columns: int = 160
    max_segments: int = 1024
    repeat_neighbours: bool = True


DEFAULT_RULE = IndelRule()


def propose_loci(
    rows: ReadRows,
    reference: np.ndarray,
    origin: int,
    start: int,
    end: int,
    *,
    site_positions: np.ndarray,
    window_origin: int | None = None,
    rule: IndelRule = DEFAULT_RULE,
) -> tuple[IndelLoci, np.ndarray, np.ndarray, dict[str, int]]:
    """Candidate loci whose anchor lies in `[start, end)`, ready to be padded.

    **Arguments:**

    - `rows`: reads over `[start, end)` and a halo, contig coordinates.
    - `reference`: uint8 codes of `[origin, origin + len(reference))`.
    - `site_positions` (S,): ascending contig positions of candidate substitutions;
      `near_site` indexes them.
    - `window_origin`: contig position of window coordinate 0. Default `start`.

    **Returns:** `IndelLoci` of exact sizes with NumPy leaves, in window coordinates
    (loci in order of position, segments in order of locus); the extra bases and their
    qualities (X,), which are those that the rows do not hold as sequenced; and counts
    of what was left out.

    **Raises:** `ValueError` for a rule that asks for more than 3 alternatives.
    """
    require(
        1 <= rule.max_alleles <= 3,
        "max_alleles of IndelRule",
        expected="1 to 3",
        got=rule.max_alleles,
    )
    window_origin = start if window_origin is None else window_origin
    longest = rule.haplotype_columns - 2 * _SHORTEST_FLANK - 2
    alleles, long_events = find_alleles(rows, reference, origin, longest)
    enough = alleles.support >= np.minimum(
        rule.min_reads, np.maximum(rule.depth_fraction * alleles.depth, 1.0)
    )
    kept = alleles.take(enough)
    if rule.repeat_neighbours:
        kept = with_repeat_neighbours(kept, reference, origin, longest)
    kept, locus, dropped = _group(kept, rule.max_alleles)
    loci, refused = _lay_out(kept, locus, reference, origin, start, end, rule)
    segments = collect_segments(rows, loci, rule, site_positions)
    near = collect_near(loci, segments, site_positions, rule.near_distance)
    present = loci.allele_mask[segments.locus]
    pair_segment, pair_allele = np.nonzero(present)
    info = {
        "long_events": long_events,
        "rare_alleles": int((~enough).sum()),
        "surplus_alleles": dropped,
        "refused_loci": refused,
        "dropped_segments": segments.dropped,
    }
    integers = {
        "window_start": loci.window_start - window_origin,
        "haplotype_length": loci.haplotype_length,
        "allele_position": loci.allele_position - window_origin,
        "allele_length": loci.allele_length,
        "segment_locus": segments.locus,
        "segment_read": segments.row,
        "segment_start": segments.start - window_origin,
        "segment_source": segments.source,
        "segment_length": segments.length,
        "pair_segment": pair_segment,
        "pair_allele": pair_allele,
        "near_site": near.site,
        "near_locus": near.locus,
        "near_pair_near": near.pair_near,
        "near_pair_segment": near.pair_segment,
    }
    fields = {name: value.astype(np.int32) for name, value in integers.items()}
    fields |= {"haplotypes": loci.haplotypes, "allele_mask": loci.allele_mask}
    return assemble(fields), segments.extra_bases, segments.extra_qualities, info


class _Loci(NamedTuple):
    """Loci in contig coordinates; `[first, last)` holds all their events' places."""

    first: np.ndarray
    last: np.ndarray
    window_start: np.ndarray
    window_end: np.ndarray
    haplotypes: np.ndarray
    haplotype_length: np.ndarray
    allele_mask: np.ndarray
    allele_position: np.ndarray
    allele_length: np.ndarray


def _group(alleles: IndelAlleles, most: int) -> tuple[IndelAlleles, np.ndarray, int]:
    """The best supported alleles of each group of touching spans, and group ids."""
    reach = np.maximum.accumulate(alleles.span_end)
    new = np.ones(len(alleles), bool)
    new[1:] = alleles.position[1:] > reach[:-1]
    group = np.cumsum(new) - 1
    size = np.abs(alleles.length)
    order = np.lexsort((size, alleles.position, -alleles.support, group))
    sorted_group = group[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_group, sorted_group)
    chosen = np.sort(order[rank < most])
    return alleles.take(chosen), group[chosen], len(alleles) - len(chosen)


def _lay_out(alleles, group, reference, origin, start, end, rule) -> tuple[_Loci, int]:
    """Windows and haplotypes of the loci, and how many had no room."""
    ids, begin, locus = np.unique(group, return_index=True, return_inverse=True)
    if len(ids):
        first = np.minimum.reduceat(alleles.position, begin) - 1
        last = np.maximum.reduceat(alleles.span_end, begin)
        added = np.maximum.reduceat(np.maximum(alleles.length, 0), begin)
    else:
        first = last = added = np.zeros(0, np.int64)
    room = (rule.haplotype_columns - (last - first) - added) // 2
    flank = np.minimum(rule.flank, room)
    left, right = _known_stretch(reference, first - origin)
    window_start = np.maximum(first - flank, left + origin)
    window_end = np.minimum(last + flank, right + origin)
    mine = (first >= start) & (first < end)
    fits = (flank >= _SHORTEST_FLANK) & (window_end > last) & (window_start <= first)
    keep = mine & fits
    new_id = np.cumsum(keep) - 1
    alleles, locus = alleles.take(keep[locus]), new_id[locus[keep[locus]]]
    first, last = first[keep], last[keep]
    window_start, window_end = window_start[keep], window_end[keep]
    slot = 1 + np.arange(len(locus)) - np.searchsorted(locus, locus)
    shape = (len(first), 4)
    mask = np.zeros(shape, bool)
    mask[:, 0] = True
    mask[locus, slot] = True
    position = np.repeat(first[:, None], 4, 1)
    position[locus, slot] = alleles.position - 1
    length = np.zeros(shape, np.int64)
    length[locus, slot] = alleles.length
    inserted = np.full((*shape, alleles.inserted.shape[1]), 7, np.uint8)
    inserted[locus, slot] = alleles.inserted
    size = np.where(mask, (window_end - window_start)[:, None] + length, 0)
    haplotypes = _spell(
        reference,
        window_start - origin,
        position - origin,
        length,
        inserted,
        size,
        rule,
    )
    loci = _Loci(
        first,
        last,
        window_start,
        window_end,
        haplotypes,
        size,
        mask,
        position,
        length,
    )
    return loci, int((mine & ~fits).sum())


def _known_stretch(reference: np.ndarray, at: np.ndarray):
    """Borders of the stretch around `at` without a run of two or more N."""
    unknown = reference > 3
    run = unknown.copy()
    beside = np.zeros(len(run), bool)
    beside[1:] |= unknown[:-1]
    beside[:-1] |= unknown[1:]
    blocked = np.flatnonzero(run & beside)
    borders = np.concatenate([[-1], blocked, [len(reference)]])
    index = np.searchsorted(borders, at, "right")
    return borders[index - 1] + 1, borders[np.minimum(index, len(borders) - 1)]


def _spell(reference, window, anchor, length, inserted, size, rule):
    """Haplotypes (C, 4, H): the reference with each allele's event, 7 beyond."""
    column = np.arange(rule.haplotype_columns)
    event = (anchor - window[:, None] + 1)[..., None]
    shift = length[..., None]
    after = column >= event + np.maximum(shift, 0)
    source = window[:, None, None] + column - np.where(after, shift, 0)
    bases = reference[np.clip(source, 0, len(reference) - 1)]
    if inserted.shape[-1]:
        within = np.clip(column - event, 0, inserted.shape[-1] - 1)
        added = np.take_along_axis(inserted, within, 2)
        is_new = (column >= event) & (column < event + shift)
        bases = np.where(is_new, added, bases)
    return np.where(column < size[..., None], bases, 7).astype(np.uint8)
