"""How well a read fits a haplotype: a banded pair hidden Markov model."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from diffbio_eqx._checks import require
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.variants.banded_forward import banded_forward

_PADDING = 7
_SMALLEST_BLOCK = 32


class ReadOnHaplotype(eqx.Module):
    """One read (or a part of it) to be scored on one haplotype.

    - `bases` (Q,) codes and `errors` (Q,) error probabilities; only the first `length`
      are looked at.
    - `haplotype` (H,) codes, 7 beyond its end; `gap_open` (H,) probability that a gap
      opens after each base, `gap_extend` () that it goes on.
    - `offset` (): haplotype column where the first base is expected; may be negative.

    For `PairHMM.score_pairs` all but `gap_extend` have a leading axis of pairs.
    """

    bases: UInt8[Array, "*pairs rows"]
    errors: Float[Array, "*pairs rows"]
    length: Int[Array, "*pairs"]
    haplotype: UInt8[Array, "*pairs columns"]
    gap_open: Float[Array, "*pairs columns"]
    gap_extend: Float[Array, ""]
    offset: Int[Array, "*pairs"]


@jax.custom_batching.custom_vmap
def _any_real(mask):
    """Whether a block holds a real pair; under `vmap`, whether any sample's does."""
    return jnp.any(mask)


@_any_real.def_vmap
def _any_real_batched(axis_size, in_batched, mask):
    del axis_size, in_batched
    return _any_real(mask.reshape(-1)), False


class PairHMM(AbstractOperator):
    """Log-probability of one read given one haplotype, `log P(read | haplotype)`.

    States match, insertion, deletion; from a match at haplotype base c a gap of either
    kind opens with probability `o[c]` and goes on with `eps`:

    `M_i(c) = e_i(c) [(1 - 2 o[c-1]) M_{i-1}(c-1) + (1 - eps)(I + D)_{i-1}(c-1)]`
    `I_i(c) = (o[c] M_{i-1}(c) + eps I_{i-1}(c)) / 4`
    `D_i(c) = o[c-1] M_i(c-1) + eps D_i(c-1)`

    `e_i(c)` is `1 - error` for equal bases, `error / 3` for others and beyond the
    haplotype's ends, 1/4 where either base is N. The read starts at any column of the
    band with equal probability and ends at any. Row i looks at `band` columns around
    `offset + i`.

    Worked in probability space with a rescale after each base, so float32 is safe
    (2e-5 relative over 100 bases). Base errors are held in [1e-7, 3/4].

    **Arguments:** `x`, a `ReadOnHaplotype`.

    **Returns:** (), the natural logarithm, always finite.

    **Raises:** `ValueError` at construction for a band or block that is not positive
    and even.

    **Exact** within the band; paths that leave it (an indel longer than half of it)
    are not counted. Nothing is relaxed.

    **Reference:** Durbin et al. 1998, Biological Sequence Analysis, chapter 4 (ISBN
    9780521629713).

    ```python
    log_likelihood = PairHMM(band=32)(read_on_haplotype)
    ```
    """

    band: int = eqx.field(static=True)
    block: int = eqx.field(static=True)

    def __init__(self, band: int = 32, block: int = 256):
        """`band`: columns looked at per base; `block`: pairs worked on together."""
        for name, value in (("band", band), ("block", block)):
            require(
                value >= 2 and value % 2 == 0,
                f"{name} of PairHMM",
                expected="a positive even number",
                got=value,
            )
        self.band = band
        self.block = block

    def __call__(
        self, x: ReadOnHaplotype, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, ""]:
        one = jax.tree.map(lambda leaf: leaf[None], x)
        return self._forward(one, x.gap_extend)[0]

    def score_pairs(
        self, x: ReadOnHaplotype, mask: Bool[Array, " pairs"]
    ) -> Float[Array, " pairs"]:
        """`x` with a leading pair axis on every leaf but `gap_extend`; 0 where masked.

        Equal to `jax.vmap` of the call, but worked in blocks of `block` pairs; a block
        without a real pair costs nothing, so real pairs should come first.
        """
        columns = eqx.tree_at(lambda item: item.gap_extend, x, None)

        def chosen(pair):
            part = jax.tree.map(lambda leaf: leaf[pair], columns)
            return eqx.tree_at(
                lambda item: item.gap_extend,
                part,
                x.gap_extend,
                is_leaf=lambda leaf: leaf is None,
            )

        return self.score_chosen(chosen, mask, x.errors.dtype)

    def score_chosen(
        self,
        chosen: Callable[[Int[Array, " block"]], ReadOnHaplotype],
        mask: Bool[Array, " pairs"],
        dtype: jnp.dtype,
    ) -> Float[Array, " pairs"]:
        """Scores of pairs that `chosen` makes from their indices, a block at a time.

        Pairs share their reads and haplotypes, so none is copied for more than one
        block. Few pairs are worked in smaller blocks, so that under `vmap` a sample
        with hardly any pays less for the fullest. `chosen` must take any index in
        `[0, pairs)`, masked or not; `dtype` is that of the errors.
        """
        pairs = mask.shape[0]
        if pairs == 0:
            return jnp.zeros(0, dtype)
        block = min(self.block, max(-(-pairs // 4), _SMALLEST_BLOCK))
        blocks = -(-pairs // block)
        real = jnp.pad(mask, (0, blocks * block - pairs)).reshape(blocks, block)
        pair = jnp.minimum(jnp.arange(blocks * block, dtype=jnp.int32), pairs - 1)

        @jax.checkpoint
        def score(pair, real):
            part = chosen(pair)
            part = eqx.tree_at(
                lambda item: (item.length, item.gap_open),
                part,
                (
                    jnp.where(real, part.length, 0),
                    jnp.where(real[:, None], part.gap_open, 0.0),
                ),
            )
            return jnp.where(real, self._forward(part, part.gap_extend), 0.0)

        def step(_, item):
            skip = lambda pair, real: jnp.zeros(real.shape, dtype)
            return None, jax.lax.cond(_any_real(item[1]), score, skip, *item)

        _, value = jax.lax.scan(step, None, (pair.reshape(blocks, block), real))
        return value.reshape(-1)[:pairs]

    def _forward(self, x: ReadOnHaplotype, extend):
        dtype = x.errors.dtype
        rows = x.bases.shape[1]
        width = rows + self.band
        column = x.offset[:, None] - self.band // 2 + jnp.arange(width, dtype=jnp.int32)
        inside = (column >= 0) & (column < x.haplotype.shape[1])
        at = jnp.where(inside, column, 0)
        haplotype = jnp.take_along_axis(x.haplotype, at, 1)
        haplotype = jnp.where(inside, haplotype, jnp.uint8(_PADDING))
        opening = jnp.take_along_axis(x.gap_open, at, 1).astype(dtype)
        opening = jnp.where(haplotype < _PADDING, opening, 1e-5)
        return banded_forward(
            x.bases, x.errors, x.length, haplotype, opening, extend, band=self.band
        )
