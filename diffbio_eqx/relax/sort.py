"""Order statistics as weights over the entries.

The soft form is SoftSort: the weight of entry `j` in place `i` of the sorted vector is
`softmax_j(-|x_(i) - x_j| / t)`. It needs no iteration, one place costs O(n), and equal
entries share a place evenly, so that sorted values are exact as `t -> 0` even at ties.

Reference: S. Prillo and J. Eisenschlos, "SoftSort: a continuous relaxation for the
argsort operator", ICML 2020.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from diffbio_eqx._numerics import masked_softmax


def masked_ascending(
    x: Float[Array, " n"], mask: Bool[Array, " n"]
) -> Float[Array, " n"]:
    """The real entries in ascending order, then 0 for every masked one."""
    order = jnp.argsort(jnp.where(mask, x, jnp.inf))
    return jnp.where(mask[order], jnp.where(mask, x, 0.0)[order], 0.0)


def soft_places(
    x: Float[Array, " n"],
    mask: Bool[Array, " n"],
    t: Float[Array, ""],
    places: Int[Array, " k"],
) -> Float[Array, "k n"]:
    """Weights of the entries in the given places of the ascending order.

    A place beyond the number of real entries has weight 0 everywhere.
    """
    clean = jnp.where(mask, x, 0.0)
    at = masked_ascending(x, mask)[places]
    weight = masked_softmax(-jnp.abs(at[:, None] - clean) / t, mask[None, :])
    return jnp.where((places < mask.sum())[:, None], weight, 0.0)


def hard_places(
    x: Float[Array, " n"], mask: Bool[Array, " n"], places: Int[Array, " k"]
) -> Float[Array, "k n"]:
    """One-hot rows: the entry in each place; equal entries keep their order."""
    order = jnp.argsort(jnp.where(mask, x, jnp.inf))
    weight = jax.nn.one_hot(order[places], x.size, dtype=x.dtype)
    return jnp.where((places < mask.sum())[:, None], weight, 0.0)


def quantile_places(
    mask: Bool[Array, " n"], q: Float[Array, ""]
) -> tuple[Int[Array, " 2"], Float[Array, " 2"]]:
    """The two places next to quantile `q`, and their weights.

    Linear interpolation between order statistics, as NumPy's default.
    """
    last = jnp.maximum(mask.sum() - 1, 0)
    at = q * last.astype(q.dtype)
    low = jnp.clip(jnp.floor(at).astype(last.dtype), 0, last)
    high = jnp.minimum(low + 1, last)
    part = at - low.astype(q.dtype)
    return jnp.stack([low, high]), jnp.stack([1 - part, part])


def soft_rank(
    x: Float[Array, " n"], mask: Bool[Array, " n"], t: Float[Array, ""]
) -> Float[Array, " n"]:
    """How many other real entries are smaller: `sum_j sigmoid((x_i - x_j) / t)`."""
    clean = jnp.where(mask, x, 0.0)
    below = jax.nn.sigmoid((clean[:, None] - clean) / t)
    count = jnp.where(mask[None, :], below, 0.0).sum(1) - 0.5
    return jnp.where(mask, count, 0.0)


def hard_rank(x: Float[Array, " n"], mask: Bool[Array, " n"]) -> Float[Array, " n"]:
    """Ranks from 0 in ascending order; equal entries get their mean rank."""
    filled = jnp.where(mask, x, jnp.inf)
    ordered = jnp.sort(filled)
    left = jnp.searchsorted(ordered, filled, side="left").astype(x.dtype)
    right = jnp.searchsorted(ordered, filled, side="right").astype(x.dtype)
    return jnp.where(mask, (left + right - 1) / 2, 0.0)
