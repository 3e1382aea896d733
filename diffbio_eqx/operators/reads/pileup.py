"""Weighted pileup of the reads of one window."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require_range
from diffbio_eqx._numerics import safe_div
from diffbio_eqx._typing import Mode
from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.pileup import Pileup as PileupCounts
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.reads.window_add import window_add
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
    def temperature(self) -> Float[Array, ""]:
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
        weight = jnp.where(reads.read_mask[:, None], weight, 0)
        is_base = reads.bases < 4
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
            deletions=total(jnp.where(reads.bases == DELETION, weight, 0)),
            insertions=_insertions(reads, weight, length),
            mean_quality=safe_div(total(jnp.where(is_base, weight * quality, 0)), depth),
            mean_mapping_quality=safe_div(
                total(jnp.where(is_base, weight * mapping, 0)), depth
            ),
        )

    def consensus(self, counts: Float[Array, "length 4"]) -> Float[Array, "length 4"]:
        """Proportions of A C G T at temperature 1, the consensus base towards 0."""
        return self.relaxation.argmax(
            jnp.log(counts + self.pseudo_count.astype(counts.dtype))
        )


def add_by_base(
    reads: AlignedReads, values: Float[Array, "reads width"]
) -> Float[Array, "length 4"]:
    """Sum of `values` over reference positions, apart for A C G T.

    Only columns that show a base count. With `reads.base_probs` a value is shared
    among the four in proportion to their probabilities.
    """
    length = reads.reference.shape[0]
    if reads.base_probs is None:
        return window_add(values, reads.bases, reads.start, length, 4)
    width = values.shape[1]
    position = reads.start[:, None] + jnp.arange(width, dtype=reads.start.dtype)
    inside = (position >= 0) & (position < length)
    shows = (reads.bases < 4)[..., None]
    probs = jnp.where(shows, reads.base_probs.astype(values.dtype), 0)
    index = jnp.where(inside, position, length).reshape(-1)
    added = jnp.where(shows, values[..., None], 0) * probs
    return jax.ops.segment_sum(added.reshape(-1, 4), index, length + 1)[:length]


def _insertions(reads: AlignedReads, weight, length: int):
    """Weight of the base before each insertion, at that base's position."""
    before = reads.event_position - 1
    row = reads.event_read
    column = jnp.clip(before - reads.start[row], 0, weight.shape[1] - 1)
    real = reads.event_mask & (reads.event_length > 0) & (before >= 0)
    index = jnp.where(real & (before < length), before, length)
    return jax.ops.segment_sum(weight[row, column], index, length + 1)[:length]
