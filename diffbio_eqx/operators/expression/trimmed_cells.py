"""Trimmed means and variances within the cells of a design."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Table = Float[Array, "samples genes"]

_OTHER_CELL = int(np.iinfo(np.int32).min)
_AT_ONCE = 16


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
        total = self.same.astype(x.dtype) @ self.kept(x)
        return total / (self.size - 2 * self.cut)[:, None].astype(x.dtype)

    def kept(self, x: Table) -> Table:
        """x >= 0 where it is not left out, 0 elsewhere."""
        rank = cell_ranks(x, self.same)
        low = self.cut[:, None]
        return jnp.where((rank >= low) & (rank < self.size[:, None] - low), x, 0.0)


def cell_ranks(x: Table, same: Bool[Array, "samples samples"]) -> Int[Array, "s g"]:
    """How many samples of the same cell have a smaller x >= 0; ties by their order.

    Numbers are told apart as float32, enough for the order; every pair of samples is
    compared, which up to some thousand samples is faster than to sort.
    """
    x = lax.stop_gradient(x).astype(jnp.float32)
    # The bits of floats >= 0 are in the order of the floats.
    bits = lax.bitcast_convert_type(x + 0.0, jnp.int32)
    samples = x.shape[0]
    place = jnp.arange(samples)
    later = (place[None, :] > place[:, None]).astype(jnp.int32)
    offset = jnp.where(same, later, _OTHER_CELL)
    end = (0, -samples % _AT_ONCE)
    top = jnp.iinfo(jnp.int32).max
    others = jnp.pad(bits, (end, (0, 0)), constant_values=top)
    offset = jnp.pad(offset, (end, (0, 0)))

    def some(i: Array, rank: Array) -> Array:
        rows = lax.dynamic_slice_in_dim(others, i * _AT_ONCE, _AT_ONCE)
        shift = lax.dynamic_slice_in_dim(offset, i * _AT_ONCE, _AT_ONCE)
        for k in range(_AT_ONCE):
            rank = rank + (rows[k] < bits + shift[k][:, None]).astype(jnp.int32)
        return rank

    return lax.fori_loop(0, others.shape[0] // _AT_ONCE, some, jnp.zeros_like(bits))
