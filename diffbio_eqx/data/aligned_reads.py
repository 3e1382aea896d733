"""Aligned reads of one window with all that a caller needs to know of them."""

import dataclasses

import equinox as eqx
from jaxtyping import Bool, Float, Int, Real, UInt8

from diffbio_eqx._typing import HostArray
from diffbio_eqx.data.candidate_sites import CandidateSites
from diffbio_eqx.data.indel_loci import IndelLoci

PADDING, UNKNOWN = 7, 4


class AlignedReads(eqx.Module):
    """The reads of one window: one sample for a variant calling pipeline.

    Rows lie in reference columns: column `c` of read `r` is over window position
    `start[r] + c`, window position 0 being the first base of `reference`. Codes are
    0-3 = A C G T, 4 = N, 5 = deletion, 6 = reference skip, 7 = padding.

    - `bases`, `qualities` (R, W): codes and Phred (uint8, or floats to take gradients);
      quality 0 is not counted. `base_probs` (R, W, 4), optional: soft bases.
    - `mass` (R, W), `read_weights` (R,), optional: how much of each base trimming left,
      and how much each read counts, in [0, 1]; 1 where not given.
    - `start`, `mapping_quality`, `reverse`, `read_mask` (R,). `start` may be negative.
    - `reference` (L,) codes.
    - `extra_bases`, `extra_qualities` (X,): bases in no column (insertions, clips) and
      bases of overlapping mates as sequenced, which indel loci refer to.
    - `event_position`, `event_length`, `event_read`, `event_mask` (E,): insertions
      (> 0, before the position) and deletions (< 0, from the position).
    - `sites`, `loci`: candidates, found on the host and outside any gradient.

    Made by `AlignedReads.from_arrays` (arrays), `from_rows` (host rows) or by
    `diffbio_eqx.io` (files); `dbx.stack` makes a batch.
    """

    bases: UInt8[HostArray, "reads width"]
    qualities: Real[HostArray, "reads width"]
    start: Int[HostArray, " reads"]
    mapping_quality: Real[HostArray, " reads"]
    reverse: Bool[HostArray, " reads"]
    read_mask: Bool[HostArray, " reads"]
    reference: UInt8[HostArray, " length"]
    extra_bases: UInt8[HostArray, " extra"]
    extra_qualities: Real[HostArray, " extra"]
    event_position: Int[HostArray, " events"]
    event_length: Int[HostArray, " events"]
    event_read: Int[HostArray, " events"]
    event_mask: Bool[HostArray, " events"]
    sites: CandidateSites
    loci: IndelLoci
    base_probs: Float[HostArray, "reads width 4"] | None = None
    mass: Float[HostArray, "reads width"] | None = None
    read_weights: Float[HostArray, " reads"] | None = None

    @staticmethod
    def from_arrays(reads, positions, quality, **options) -> "AlignedReads":
        """A sample from plain arrays; see `diffbio_eqx.data.reads_from_arrays`."""
        from diffbio_eqx.data.sample_building import reads_from_arrays

        return reads_from_arrays(reads, positions, quality, **options)

    @staticmethod
    def from_rows(rows, reference, **options) -> "AlignedReads":
        """A sample from host rows; see `diffbio_eqx.data.reads_from_rows`."""
        from diffbio_eqx.data.sample_building import reads_from_rows

        return reads_from_rows(rows, reference, **options)

    def padding(self) -> dict[str, int]:
        """Fill values for `stack` that are not zero."""
        return {"bases": PADDING, "extra_bases": UNKNOWN}

    def checked(self) -> "AlignedReads":
        """This sample, its values checked at run time (also under `eqx.filter_jit`)."""
        import jax.numpy as jnp

        bases = jnp.where(self.read_mask[:, None], self.bases, PADDING)
        bad = jnp.any((bases < 4) & ~jnp.isfinite(self.qualities.astype(float)))
        same = eqx.error_if(
            self, bad, "qualities of counted bases must be finite Phred values."
        )
        negative = jnp.any((bases < 4) & (same.qualities.astype(float) < 0))
        return eqx.error_if(same, negative, "qualities must not be negative.")


@dataclasses.dataclass(frozen=True)
class SampleSizes:
    """Axis sizes of an `AlignedReads`; capacities when samples are padded alike."""

    reads: int
    width: int
    extra: int
    events: int
    sites: int
    entries: int
    loci: int
    segments: int
    pairs: int
    near: int
    near_pairs: int

    @staticmethod
    def of(sample: AlignedReads) -> "SampleSizes":
        """The sizes of a sample."""
        loci = sample.loci
        return SampleSizes(
            reads=sample.bases.shape[0],
            width=sample.bases.shape[1],
            extra=sample.extra_bases.shape[0],
            events=sample.event_mask.shape[0],
            sites=sample.sites.mask.shape[0],
            entries=sample.sites.entry_mask.shape[0],
            loci=loci.mask.shape[0],
            segments=loci.segment_mask.shape[0],
            pairs=loci.pair_mask.shape[0],
            near=loci.near_mask.shape[0],
            near_pairs=loci.near_pair_mask.shape[0],
        )

    def fit_in(self, other: "SampleSizes") -> bool:
        """Whether every axis is at most that of `other`."""
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return all(a <= b for a, b in zip(mine, theirs, strict=True))

    def union(self, other: "SampleSizes") -> "SampleSizes":
        """Axis by axis the larger of the two."""
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return SampleSizes(*map(max, mine, theirs))
