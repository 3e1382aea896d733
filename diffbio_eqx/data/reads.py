"""Reads as they come from the sequencer, before any alignment."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Real, UInt8

from diffbio_eqx._checks import fail, require
from diffbio_eqx._typing import HostArray
from diffbio_eqx.data.duplicate_families import DuplicateFamilies

PADDING, UNKNOWN = 7, 4
"""Codes of no base at all, and of N."""


class Reads(eqx.Module):
    """A block of reads: the item of the Preprocessing pipeline.

    Codes are 0-3 = A C G T, 4 = N, 7 = padding; a read of n bases fills columns
    0 ... n - 1 of its row, in the order of sequencing.

    - `bases` (R, L): codes.
    - `qualities` (R, L): Phred, uint8 from files or floats to take gradients; 0 in
      padding.
    - `read_mask` (R,): False for rows that hold no read.
    - `base_probs` (R, L, 4), optional: soft bases, in place of one-hot codes.
    - `mate`, optional: the second reads of the pairs, row by row.

    What the host has found out from all reads together (`prepare_reads`), optional:

    - `families`: of reads, or pairs, that may be copies of one molecule.
    - `support` (R, L, 4, k): counts of the words of k bases over each base, as in
      `CorrectionEvidence`; each mate has its own.
    """

    bases: UInt8[HostArray, "reads length"]
    qualities: Real[HostArray, "reads length"]
    read_mask: Bool[HostArray, " reads"]
    base_probs: Float[HostArray, "reads length 4"] | None = None
    mate: "Reads | None" = None
    families: DuplicateFamilies | None = None
    support: Real[HostArray, "reads length 4 words"] | None = None

    @staticmethod
    def from_arrays(
        bases: Any, qualities: Any, *, lengths: Any = None, mate: "Reads | None" = None
    ) -> "Reads":
        """Reads from codes (R, L), or soft bases (R, L, 4), and Phred (R, L).

        `lengths` (R,) says how many columns of each row are bases; all, if not given.

        **Raises:** `ValueError` for shapes that do not fit, qualities that are not
        finite and >= 0, or mates that are not as many as the reads.
        """
        bases, qualities = np.asarray(bases), np.asarray(qualities)
        probs = None
        if bases.ndim == 3:
            require(bases.shape[2] == 4, "bases", expected="(R, L, 4)", got=bases.shape)
            probs = bases.astype(jnp.zeros(0).dtype)
            bases = np.where(probs.sum(2) > 0, probs.argmax(2), UNKNOWN)
        require(bases.ndim == 2, "bases", expected="(R, L) codes", got=bases.shape)
        require(
            qualities.shape == bases.shape,
            "qualities",
            expected=f"shape {bases.shape}, as the bases",
            got=qualities.shape,
        )
        bases = bases.astype(np.uint8)
        if lengths is not None:
            lengths = np.asarray(lengths)
            bases = np.where(
                np.arange(bases.shape[1]) < lengths[:, None], bases, PADDING
            )
        real = bases != PADDING
        good = np.isfinite(qualities) & (qualities >= 0)
        if not good[real].all():
            bad = qualities[real & ~good][0]
            fail("qualities", expected="finite Phred values >= 0", got=bad)
        if mate is not None:
            require(
                len(mate.bases) == len(bases),
                "mate",
                expected=f"{len(bases)} reads, one for each read",
                got=len(mate.bases),
            )
        if not np.issubdtype(qualities.dtype, np.floating):
            qualities = qualities.astype(np.uint8)
        qualities = np.where(real, qualities, qualities.dtype.type(0))
        return Reads(bases, qualities, np.ones(len(bases), bool), probs, mate)

    @property
    def lengths(self) -> Any:
        """How many bases each read has (R,)."""
        return (self.bases != PADDING).sum(1)

    def padding(self) -> dict[str, int]:
        """Fill values for `stack` that are not zero."""
        return {"bases": PADDING, "support": -1}
