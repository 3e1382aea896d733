"""Adjusted p-values of Benjamini and Hochberg, in logarithms."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float


def benjamini_hochberg(
    log_p: Float[Array, " n"], mask: Bool[Array, " n"]
) -> Float[Array, " n"]:
    """Logarithms of adjusted p-values over the tests in `mask`; 0 (p = 1) elsewhere.

    With the n tests in ascending order of p, `padj_i = min(1, min_{j >= i} n p_j / j)`,
    as R's `p.adjust`. In logarithms no tail underflows. The gradient of an adjusted
    p-value goes to the p-value that attains the minimum.

    Reference: Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    log_p = jnp.where(mask, log_p, 0.0)
    size = log_p.size
    places = jnp.arange(size)
    order = jnp.argsort(lax.stop_gradient(jnp.where(mask, log_p, jnp.inf)))
    rank = jnp.asarray(places + 1, log_p.dtype)
    tests = jnp.maximum(mask.sum(), 1)
    scaled = log_p[order] + jnp.log(tests.astype(log_p.dtype)) - jnp.log(rank)
    fixed = jnp.where(mask[order], lax.stop_gradient(scaled), jnp.inf)
    attained = fixed == lax.cummin(fixed, reverse=True)
    source = lax.cummin(jnp.where(attained, places, size - 1), reverse=True)
    adjusted = jnp.minimum(scaled[source], 0.0)
    back = jnp.zeros_like(places).at[order].set(places, unique_indices=True)
    return jnp.where(mask, adjusted[back], 0.0)
