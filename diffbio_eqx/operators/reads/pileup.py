"""Weighted pileup of the reads of one window."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require_range
from diffbio_eqx._numerics import safe_div
from diffbio_eqx._typing import Mode
from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.pileup import Pileup as PileupCounts
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.window_add import add_by_base, window_add
from diffbio_eqx.relax import Relaxation

DELETION = 5


class Pileup(AbstractOperator):
    """Counts of one window of aligned reads, each base multiplied by its weight.

    **Arguments:** `x`, a pair `(reads, weight)`: an `AlignedReads` and weights (R, W).

    **Returns:** a `diffbio_eqx.data.Pileup` over the window's reference. If
    `reads.base_probs` is given, a base adds its weight in proportion to the
    probabilities of A C G T, which is where gradients to soft bases come from.

    `consensus(counts)` is the seed form: `softmax(log(counts + pseudo_count) /
    temperature)`: at temperature 1 the proportions, towards 0 the consensus base.

    **Exact:** the counts. **Relaxed:** `consensus` (hard mode: one-hot consensus).
    """

    relaxation: Relaxation
    pseudo_count: Float[Array, ""]

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        pseudo_count: float = 1e-3,
        mode: Mode = "soft",
    ):
        hint = "it is what an uncovered position holds of each base"
        require_range("pseudo_count", pseudo_count, 0.0, open_low=True, hint=hint)
        self.relaxation = Relaxation(temperature, mode)
        self.pseudo_count = jnp.asarray(pseudo_count, float)

    @property
    def temperature(self) -> Any:
        """Sharpness of `consensus`: 1 gives proportions, towards 0 the consensus."""
        return self.relaxation.temperature

    def __call__(
        self,
        x: tuple[AlignedReads, Float[Array, "reads width"]],
        *,
        key: PRNGKeyArray | None = None,
    ) -> PileupCounts:
        reads, weight = x
        length = reads.reference.shape[0]
        real = reads.read_mask[:, None]
        is_base = (reads.bases < 4) & real
        deleted = (reads.bases == DELETION) & real
        weight = jnp.where(is_base | deleted, weight, 0)
        counted = jnp.where(is_base, weight, 0)
        reverse = reads.reverse[:, None]
        add = lambda values, channel, channels: window_add(
            values, channel, reads.start, length, channels
        )
        by_base = lambda values: add_by_base(reads, values)
        only = jnp.zeros_like(reads.bases)
        total = lambda values: add(values, only, 1)[:, 0]
        quality = reads.qualities.astype(weight.dtype)
        mapping = reads.mapping_quality.astype(weight.dtype)[:, None]
        depth = total(counted)
        return PileupCounts(
            forward=by_base(jnp.where(reverse, 0, counted)),
            reverse=by_base(jnp.where(reverse, counted, 0)),
            deletions=total(jnp.where(deleted, weight, 0)),
            insertions=_insertions(reads, weight, length),
            mean_quality=safe_div(
                total(jnp.where(is_base, weight * quality, 0)), depth
            ),
            mean_mapping_quality=safe_div(
                total(jnp.where(is_base, weight * mapping, 0)), depth
            ),
        )

    def consensus(self, counts: Float[Array, "length 4"]) -> Float[Array, "length 4"]:
        """Proportions of A C G T at temperature 1, the consensus base towards 0."""
        return self.relaxation.argmax(
            jnp.log(counts + self.pseudo_count.astype(counts.dtype))
        )


def _insertions(reads: AlignedReads, weight, length: int):
    """Weight of the base before each insertion, at that base's position."""
    before = reads.event_position - 1
    row = reads.event_read
    column = before - reads.start[row]
    inside = (column >= 0) & (column < weight.shape[1]) & (before >= 0)
    real = reads.event_mask & (reads.event_length > 0) & inside
    column = jnp.where(inside, column, 0)
    index = jnp.where(real & (before < length), before, length)
    return jax.ops.segment_sum(weight[row, column], index, length + 1)[:length]
