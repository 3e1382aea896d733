"""Candidate insertions and deletions of a window, ready for the device."""

import equinox as eqx
from jaxtyping import Bool, Int, UInt8

from diffbio_eqx._typing import HostArray


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

    mask: Bool[HostArray, " loci"]
    window_start: Int[HostArray, " loci"]
    haplotypes: UInt8[HostArray, "loci 4 columns"]
    haplotype_length: Int[HostArray, "loci 4"]
    allele_mask: Bool[HostArray, "loci 4"]
    allele_position: Int[HostArray, "loci 4"]
    allele_length: Int[HostArray, "loci 4"]
    segment_mask: Bool[HostArray, " segments"]
    segment_locus: Int[HostArray, " segments"]
    segment_read: Int[HostArray, " segments"]
    segment_start: Int[HostArray, " segments"]
    segment_source: Int[HostArray, "segments rows"]
    segment_length: Int[HostArray, " segments"]
    pair_mask: Bool[HostArray, " pairs"]
    pair_segment: Int[HostArray, " pairs"]
    pair_allele: Int[HostArray, " pairs"]
    near_mask: Bool[HostArray, " near"]
    near_site: Int[HostArray, " near"]
    near_locus: Int[HostArray, " near"]
    near_pair_mask: Bool[HostArray, " near_pairs"]
    near_pair_near: Int[HostArray, " near_pairs"]
    near_pair_segment: Int[HostArray, " near_pairs"]
