"""Quantiles of the real entries of a vector."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float


def quantiles(
    x: Float[Array, " n"], mask: Bool[Array, " n"], q: Float[Array, " k"]
) -> Float[Array, " k"]:
    """Quantiles q in [0, 1] of the entries in the mask, linear between them.

    As R's type 7 and `numpy.quantile`; 0 without any entry. The gradient goes to the
    one or two entries that a quantile lies between. One sort, O(n log n).
    """
    some = mask.any()
    order = jnp.argsort(jnp.where(mask, lax.stop_gradient(x), jnp.inf))
    last = jnp.maximum(mask.sum() - 1, 0)
    at = q * last.astype(x.dtype)
    low = jnp.clip(jnp.floor(at).astype(last.dtype), 0, last)
    clean = jnp.where(mask, x, 0.0)
    below = clean[order[low]]
    above = clean[order[jnp.minimum(low + 1, last)]]
    part = at - low.astype(x.dtype)
    between = (part > 0) & (above != below)
    value = jnp.where(between, (1 - part) * below + part * above, below)
    return jnp.where(some, value, 0.0)
