"""Candidate insertions and deletions of a window, ready for the device."""

import equinox as eqx
from jaxtyping import Array, Bool, Int, UInt8


class IndelLoci(eqx.Module):
    """Candidate haplotypes of a window, and which reads are scored on which.

    A locus holds the reference haplotype (allele 0) and up to three alternatives over
    one stretch of reference. A segment is the part of one read that lies over a locus;
    a pair is one segment scored on one haplotype. All positions are window
    coordinates (0-based). Every axis is padded; masks say what is real, and indices of
    padding are 0.

    - `mask` (C,), `window_start` (C,): reference position of haplotype column 0.
    - `haplotypes` (C, 4, H) base codes, 7 beyond `haplotype_length` (C, 4);
      `allele_mask` (C, 4).
    - `allele_position` (C, 4): the base before the event (VCF's POS - 1),
      left-aligned; `allele_length` (C, 4): bases inserted (> 0) or deleted (< 0).
    - `segment_locus`, `segment_read`, `segment_start`, `segment_length` (P,), with
      `segment_source` (P, Q): for each base its column in the row of `segment_read`,
      or -2 - k for the sample's extra base k, or -1 beyond the end;
      `segment_start` is the reference position that the first base is aligned to.
    - `pair_segment`, `pair_allele` (N,): the pairs, sorted by segment.
    - `near_site`, `near_locus` (M,): candidate substitutions beside a locus, and
      `near_pair_near`, `near_pair_segment` (K,): the segments that score them again.
    """

    mask: Bool[Array, " loci"]
    window_start: Int[Array, " loci"]
    haplotypes: UInt8[Array, "loci 4 columns"]
    haplotype_length: Int[Array, "loci 4"]
    allele_mask: Bool[Array, "loci 4"]
    allele_position: Int[Array, "loci 4"]
    allele_length: Int[Array, "loci 4"]
    segment_mask: Bool[Array, " segments"]
    segment_locus: Int[Array, " segments"]
    segment_read: Int[Array, " segments"]
    segment_start: Int[Array, " segments"]
    segment_source: Int[Array, "segments rows"]
    segment_length: Int[Array, " segments"]
    pair_mask: Bool[Array, " pairs"]
    pair_segment: Int[Array, " pairs"]
    pair_allele: Int[Array, " pairs"]
    near_mask: Bool[Array, " near"]
    near_site: Int[Array, " near"]
    near_locus: Int[Array, " near"]
    near_pair_mask: Bool[Array, " near_pairs"]
    near_pair_near: Int[Array, " near_pairs"]
    near_pair_segment: Int[Array, " near_pairs"]
