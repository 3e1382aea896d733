"""Trimmed means and variances within the cells of a design."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Table = Float[Array, "samples genes"]

_OTHER_CELL = int(np.iinfo(np.int32).min)


class TrimmedCells(eqx.Module):
    """Samples in cells, and how much is left out at the ends of each.

    - `same` (samples, samples): which samples share a cell.
    - `cut`, `size` (samples,): how many are left out at each end of the cell of a
      sample, and how many it has.
    """

    same: Bool[Array, "samples samples"]
    cut: Int[Array, " samples"]
    size: Int[Array, " samples"]

    def mean(self, x: Table) -> Table:
        """For each sample the trimmed mean of its cell; of x >= 0."""
        rank = cell_ranks(x, self.same)
        cut, size = self.cut[:, None], self.size[:, None]
        kept = (rank >= cut) & (rank < size - cut)
        total = self.same.astype(x.dtype) @ jnp.where(kept, x, 0.0)
        return total / (size - 2 * cut).astype(x.dtype)


def cell_ranks(x: Table, same: Bool[Array, "samples samples"]) -> Int[Array, "s g"]:
    """How many samples of the same cell have a smaller x >= 0; ties by their order.

    Numbers are told apart as float32, enough for the order; every pair of samples is
    compared, which up to some thousand samples is faster than to sort.
    """
    x = lax.stop_gradient(x).astype(jnp.float32)
    # The bits of floats >= 0 are in the order of the floats.
    bits = lax.bitcast_convert_type(x + 0.0, jnp.int32)
    place = jnp.arange(x.shape[0])
    later = (place[:, None] > place[None, :]).astype(jnp.int32)
    offset = jnp.where(same, later, _OTHER_CELL)

    def one(k: Array, rank: Array) -> Array:
        return rank + (bits[k] < bits + offset[:, k][:, None]).astype(jnp.int32)

    return lax.fori_loop(0, x.shape[0], one, jnp.zeros_like(bits))
