"""What the other reads say about every base of a read."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Real, UInt8

from diffbio_eqx._checks import require
from diffbio_eqx._typing import HostArray
from diffbio_eqx.data.kmer_spectrum import KmerSpectrum
from diffbio_eqx.data.kmer_table import KmerTable
from diffbio_eqx.data.reads import PADDING


class CorrectionEvidence(eqx.Module):
    """Item of `ErrorCorrection`: one read (or a batch with a leading axis).

    - `bases` (L,): codes as in `Reads`.
    - `qualities` (L,): Phred.
    - `weight` (L,): mass of each base in [0, 1]; 0 for trimmed ones.
    - `support` (L, 4, k): counts of the k words over each base, with A, C, G or T in
      its place; below 0 (or NaN) where there is no such word.
    """

    bases: UInt8[HostArray, "*batch length"]
    qualities: Real[HostArray, "*batch length"]
    weight: Float[HostArray, "*batch length"]
    support: Real[HostArray, "*batch length 4 words"]

    @staticmethod
    def from_spectrum(
        spectrum: KmerSpectrum,
        bases: Any,
        qualities: Any,
        weight: Any = None,
        *,
        table: KmerTable | None = None,
        sure: int | None = None,
    ) -> "CorrectionEvidence":
        """Evidence for a batch of reads (R, L); see `KmerSpectrum.support`.

        Words with a trimmed base (weight below 1/2) do not count. 8 k bytes a base:
        give blocks of 100 to 1,000 reads.
        """
        bases, qualities = np.asarray(bases), np.asarray(qualities)
        shape = bases.shape
        require(bases.ndim == 2, "bases", expected="(R, L) codes", got=shape)
        if weight is None:
            weight = np.ones(shape, np.float32)
        weight = np.where(bases == PADDING, 0, np.asarray(weight)).astype(np.float32)
        kept = np.where(weight < 0.5, np.uint8(PADDING), bases)
        support = spectrum.support(kept, table, sure=sure)
        return CorrectionEvidence(bases, qualities, weight, support)
