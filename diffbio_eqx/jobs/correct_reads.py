"""Error correction of whole blocks of reads, in hard mode and fast."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Real, UInt8

from diffbio_eqx._checks import require
from diffbio_eqx.data.kmer_codes import kmer_codes
from diffbio_eqx.data.kmer_counter import KmerCounter
from diffbio_eqx.data.kmer_spectrum import KmerSpectrum
from diffbio_eqx.data.reads import PADDING, Reads
from diffbio_eqx.jobs.correction_paths import (
    PathCosts,
    ReadWords,
    complement,
    extend_right,
    longest_runs,
)
from diffbio_eqx.operators.reads.error_correction import ErrorCorrection

DEFAULT_K = 23


class CorrectedBlock(NamedTuple):
    """Bases (R, L), Phred (R, L), and where a base was changed (R, L)."""

    bases: UInt8[np.ndarray, "reads length"]
    qualities: Real[np.ndarray, "reads length"]
    corrections: Bool[np.ndarray, "reads length"]


class KmerCorrector:
    """The second pass: reads rewritten as the likeliest path through trusted words.

    Reads whose words are all trusted, or none, stay as they are. In the others a path
    starts in the longest trusted stretch and runs to both ends of the read. It is
    scored as `ErrorCorrection` scores one position: quality for every base that is
    changed, `leave` and `stay` for stretches without trust, so that a read is left
    alone where it follows something that no other read has (an insertion, a gap of
    coverage). A beam of paths is kept; two ends that are nearly as good leave the
    read's base. A single error away from others gets the operator's own decision.

    Substitutions only. N is corrected where the evidence names one base. Trimmed bases
    and padding are neither counted nor changed.

    Memory: the spectrum's table, 25 to 50 bytes for each trusted word, and about
    2 kB a read of a block.

    **Arguments:** `spectrum`; `model`, whose threshold, costs, error curve and new
    quality are used, `ErrorCorrection(spectrum.threshold)` if not given; `margin`, in
    nats, `beam`, `back`, `doubt`: see `PathCosts`.

    ```python
    corrector = KmerCorrector.from_blocks(blocks)   # pass 1: an iterable of `Reads`
    for block in blocks_again:                      # pass 2
        bases, qualities, corrections = corrector.correct(block)
    ```
    """

    def __init__(
        self,
        spectrum: KmerSpectrum,
        model: ErrorCorrection | None = None,
        *,
        margin: float = 1.0,
        beam: int = 4,
        back: int = 12,
        doubt: int = 30,
    ):
        model = ErrorCorrection(spectrum.threshold) if model is None else model
        require(1 <= beam <= 16, "beam", expected="1 to 16 paths", got=beam)
        require(back >= 0, "back", expected="0 bases or more", got=back)
        self.k = spectrum.k
        self.threshold = float(model.threshold)
        self.new_quality = float(model.corrected_quality.value)
        self._table = spectrum.table(max(self.threshold - 0.5, 0.5))
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            same, other = model.log_read(np.arange(256, dtype=np.float32))
        self._costs = PathCosts(
            np.asarray(same, np.float32),
            np.asarray(other, np.float32),
            float(model.leave_cost.value),
            float(model.stay_cost.value),
            margin=margin,
            beam=beam,
            back=back,
            doubt=doubt,
        )

    @staticmethod
    def from_blocks(
        blocks: Iterable[Reads],
        *,
        k: int = DEFAULT_K,
        certainty: float = 0.7,
        most_words: int = 1 << 27,
        weights: Iterable[np.ndarray] | None = None,
    ) -> "KmerCorrector":
        """Counts the words of all blocks (and of their mates) and takes the defaults.

        `weights`, one array (R, L) a block: bases below 1/2 (trimmed) do not count.
        Give mates as blocks of their own then.

        **Raises:** `ValueError` for an even k or one out of 3 ... 31, and for blocks
        with mates together with `weights`.
        """
        counter = KmerCounter(k, certainty=certainty, most_words=most_words)
        masks = iter(weights) if weights is not None else None
        for block in blocks:
            weight = None if masks is None else next(masks)
            alone = masks is None or block.mate is None
            hint = "give the mates and their weights as blocks of their own"
            require(
                alone, "blocks with weights", expected="no mate", got="one", hint=hint
            )
            counter.add(_kept(block, weight), np.asarray(block.qualities))
            if block.mate is not None:
                counter.add(_kept(block.mate, None), np.asarray(block.mate.qualities))
        return KmerCorrector(counter.finish())

    def trusted(self, forward: np.ndarray, reverse: np.ndarray) -> np.ndarray:
        """Is the word with these codes of both strands seen often enough?"""
        return self._table.contains(np.minimum(forward, reverse))

    def correct(
        self,
        block: Reads,
        weight: Real[np.ndarray, "reads length"] | None = None,
    ) -> CorrectedBlock:
        """One block of reads corrected; call it again for the mates.

        `weight` (R, L): bases below 1/2 are trimmed; what is left of a read is one
        interval.
        """
        bases = np.asarray(block.bases)
        qualities = np.asarray(block.qualities)
        kept = _kept(block, weight)
        new = bases.copy()
        forward, reverse, whole = kmer_codes(kept, self.k)
        good = self.trusted(forward, reverse) & whole
        real = kept < 5
        columns = real.shape[1] - self.k + 1
        if columns > 0:
            start = real.argmax(1)
            end = np.where(real.any(1), real.shape[1] - real[:, ::-1].argmax(1), 0)
            words = np.maximum(end - start - self.k + 1, 0)
            trusted = good.sum(1)
            rows = np.flatnonzero((trusted > 0) & (trusted < words))
            pick = lambda x: x[rows]
            phred = np.clip(np.rint(qualities[rows]), 0, 255).astype(np.uint8)
            reads = ReadWords(
                self.k, kept[rows], phred, *map(pick, (forward, reverse, good, end))
            )
            new[rows] = np.where(
                real[rows], self._paths(reads, start[rows]), bases[rows]
            )
        corrections = new != bases
        quality = qualities.dtype.type(round(self.new_quality))
        return CorrectedBlock(
            new, np.where(corrections, quality, qualities), corrections
        )

    def _paths(self, reads, start):
        first, size = longest_runs(reads.good)
        right = extend_right(self.trusted, reads, first, self._costs)
        flipped = reads.flipped(start)
        island = reads.good.shape[1] - (first + size)
        left = extend_right(self.trusted, flipped, island, self._costs)
        left = complement(left[:, ::-1])
        # the paths overlap in the stretch where they begin: where both change a base
        # differently, there is no single answer
        changed, also = right != reads.bases, left != reads.bases
        new = np.where(changed, right, left)
        return np.where(changed & also & (left != right), reads.bases, new)


def _kept(block, weight):
    bases = np.asarray(block.bases)
    mask = np.asarray(block.read_mask)[:, None]
    if weight is not None:
        mask = mask & (np.asarray(weight) >= 0.5)
    return np.where(mask, bases, np.uint8(PADDING))
