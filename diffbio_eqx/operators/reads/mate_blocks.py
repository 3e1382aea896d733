"""Hard cuts of whole blocks of pairs by their overlap, as the file job needs them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx._checks import require
from diffbio_eqx.data.reads import PADDING
from diffbio_eqx.operators.reads.mate_overlap import FIRST, MateOverlap
from diffbio_eqx.relax import set_mode


@dataclasses.dataclass(frozen=True)
class MateSpans:
    """Cuts of a block of pairs, NumPy arrays of one entry a pair.

    - `end`, `mate_end`: bases kept of read 1 and of read 2.
    - `cut` bool.
    - `insert`: likeliest insert length of a cut pair, 0 if it is not cut.
    - `probability`: of a short insert (0 where a bound showed that it is not cut).
    - `false_trim`, `false_bases`: expectations, see `MateCuts`.
    """

    end: np.ndarray
    mate_end: np.ndarray
    cut: np.ndarray
    insert: np.ndarray
    probability: np.ndarray
    false_trim: np.ndarray
    false_bases: np.ndarray


class MateBlocks:
    """The hard form of a `MateOverlap`, for blocks of pairs in NumPy arrays.

    Mismatches are counted for every insert shorter than a read: only pairs in which
    one of them is a hypothesis at all are scored by the operator, `batch` at a time
    and one program for each width.

    ```python
    blocks = MateBlocks(overlap)
    blocks(bases, qualities, mate_bases, mate_qualities).end
    ```
    """

    def __init__(self, overlap: MateOverlap, *, batch: int = 256):
        self.overlap = set_mode(overlap, "hard")
        self.batch = batch

    def __call__(
        self,
        bases: np.ndarray,
        qualities: np.ndarray,
        mate_bases: np.ndarray,
        mate_qualities: np.ndarray,
    ) -> MateSpans:
        """Cut a block: four arrays (pairs, width) uint8, reads filled from the left."""
        shape = bases.shape
        require(
            all(x.shape == shape for x in (qualities, mate_bases, mate_qualities)),
            "block of pairs",
            expected="four arrays of one shape (pairs, width)",
            got=[x.shape for x in (bases, qualities, mate_bases, mate_qualities)],
        )
        count = len(bases)
        ends = [(x != PADDING).sum(1) for x in (bases, mate_bases)]
        float_zeros = lambda: np.zeros(count, np.float32)
        found = MateSpans(
            *ends,
            np.zeros(count, bool),
            np.zeros(count, int),
            float_zeros(),
            float_zeros(),
            float_zeros(),
        )
        may = np.zeros(count, bool)
        for low in range(0, count, 1024):
            part = slice(low, low + 1024)
            may[part] = self._may_be_cut(bases[part], mate_bases[part])
        rows = np.flatnonzero(may)
        for low in range(0, len(rows), self.batch):
            chosen = rows[low : low + self.batch]
            padded = np.resize(chosen, self.batch)
            answer = _exact(
                self.overlap,
                bases[padded],
                qualities[padded].astype(np.float32),
                mate_bases[padded],
                mate_qualities[padded].astype(np.float32),
            )
            for field, values in zip(dataclasses.fields(found), answer, strict=True):
                getattr(found, field.name)[chosen] = np.asarray(values)[: len(chosen)]
        return found

    def _may_be_cut(self, bases, mate_bases) -> np.ndarray:
        sizes = [(x != PADDING).sum(1) for x in (bases, mate_bases)]
        # Columns first, and read 2 turned, so that an overlap is a contiguous slice.
        # N, and padding of either read, are bits of their own: never seen to differ.
        one = np.where(bases < 4, bases, np.uint8(8)).T.copy()
        two = np.where(mate_bases < 4, np.uint8(3) - mate_bases, np.uint8(16))
        two = two.T[::-1].copy()
        width, count = one.shape
        least, longest = self.overlap.least_overlap, max(s.max() for s in sizes)
        may = np.zeros(count, bool)
        for insert in range(least, int(longest)):
            low = np.maximum(0, insert - sizes[1])
            overlap = np.minimum(sizes[0], insert) - low
            most = np.minimum(
                self.overlap.most_mismatches, self.overlap.mismatch_share * overlap
            )
            # Of reads of one length `low` is 0 here. Counting fewer bases than the
            # operator does keeps too many pairs, never too few.
            rows = min(FIRST, insert)
            differ = one[:rows] ^ two[width - insert : width - insert + rows]
            wrong = np.add.reduce((differ - np.uint8(1)) < 3, 0, dtype=np.uint8)
            may |= (wrong <= most) & (overlap >= least)
        return may


@eqx.filter_jit
def _exact(overlap, bases, qualities, mate_bases, mate_qualities):
    """The fields of `MateSpans`, by the operator."""

    def one(b, q, b2, q2):
        whole = jnp.ones(b.shape, jnp.float32)
        cuts = overlap(((b, q, whole), (b2, q2, whole)))
        ends = (cuts.weight > 0).sum(), (cuts.mate_weight > 0).sum()
        cut = (ends[0] < (b != PADDING).sum()) | (ends[1] < (b2 != PADDING).sum())
        insert = jnp.where(cut, jnp.maximum(*ends), 0)
        return (
            *ends,
            cut,
            insert,
            cuts.probability,
            cuts.false_trim,
            cuts.false_bases,
        )

    return jax.vmap(one)(bases, qualities, mate_bases, mate_qualities)
