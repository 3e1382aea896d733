"""False sign rates and s-values of effects with a normal posterior."""

import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float

from diffbio_eqx._numerics import safe_div
from diffbio_eqx._typing import Natural


def false_sign_rate(
    effect: Float[Array, " genes"],
    error: Float[Array, " genes"],
    threshold: Natural = 0.0,
) -> Float[Array, " genes"]:
    """Posterior probability that an effect's sign is wrong, `Phi(-|effect| / error)`.

    With a threshold T >= 0, that the sign is wrong or the size below T ("false sign or
    small"): `Phi((T - |effect|) / error)`. 1 where the error is 0.
    """
    size = jnp.asarray(threshold, effect.dtype) - jnp.abs(effect)
    known = error > 0
    return jnp.where(known, ndtr(safe_div(size, jnp.where(known, error, 1.0))), 1.0)


def s_values(
    rates: Float[Array, " genes"], mask: Bool[Array, " genes"] | None = None
) -> Float[Array, " genes"]:
    """The mean false sign rate of all genes with this rate or a lower one.

    Calling the genes with s < a keeps the share of wrong signs among them below a, on
    average. Of equal rates the first comes first, as in apeglm. Genes outside `mask`
    are left out and get 1. The order of the genes has no gradient, the mean has.

    Reference: M. Stephens, "False discovery rates: a new deal", 2017,
    doi:10.1093/biostatistics/kxw041.

    ```python
    s_values(jnp.array([0.5, 0.1, 0.3]))  # 0.3, 0.1, 0.2
    ```
    """
    mask = jnp.ones(rates.shape, bool) if mask is None else mask
    order = jnp.argsort(jnp.where(mask, rates, jnp.inf), stable=True)
    ascending = jnp.where(mask, rates, 0.0)[order]
    means = jnp.cumsum(ascending) / jnp.arange(1, rates.size + 1, dtype=rates.dtype)
    back = jnp.zeros_like(order).at[order].set(jnp.arange(rates.size))
    return jnp.where(mask, means[back], 1.0)
