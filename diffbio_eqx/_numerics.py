"""Logarithms, quotients and masked sums that stay finite in value and gradient.

Masked entries may hold anything, NaN included: they are replaced *before* the function
is applied, so neither the value nor the gradient sees them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Axis = int | tuple[int, ...] | None


def safe_log(x: Float[Array, "*s"], floor: float | None = None) -> Float[Array, "*s"]:
    """`log(max(x, floor))`; the gradient is 0 where `x <= floor`.

    `floor` defaults to the smallest normal number of the dtype (log of it is about
    -87 in float32). NaN stays NaN.
    """
    low = float(jnp.finfo(x.dtype).tiny) if floor is None else floor
    return jnp.log(jnp.where(x <= low, jnp.asarray(low, x.dtype), x))


def safe_sqrt(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`sqrt(x)`, 0 with gradient 0 where `x <= 0`."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def safe_div(
    numerator: Float[Array, "*#s"], denominator: Float[Array, "*#s"], fill: float = 0.0
) -> Float[Array, "*s"]:
    """`numerator / denominator`, `fill` with gradient 0 where the denominator is 0."""
    zero = denominator == 0
    quotient = numerator / jnp.where(zero, 1.0, denominator)
    return jnp.where(zero, fill, quotient)


def log1mexp(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log(1 - exp(-x))` for `x > 0`, accurate at both ends.

    Reference: M. Maechler, "Accurately computing log(1 - exp(-|a|))", 2012.
    """
    near = x < np.log(2.0)
    small = jnp.log(-jnp.expm1(-jnp.where(near, x, 1.0)))
    large = jnp.log1p(-jnp.exp(-jnp.where(near, 1.0, x)))
    return jnp.where(near, small, large)


def masked_sum(
    x: Float[Array, "*s"], mask: Bool[Array, "*#s"], axis: Axis = None
) -> Float[Array, "*r"]:
    """Sum of the entries where `mask` holds; 0 where there is none."""
    return jnp.where(mask, x, 0.0).sum(axis)


def masked_mean(
    x: Float[Array, "*s"], mask: Bool[Array, "*#s"], axis: Axis = None
) -> Float[Array, "*r"]:
    """Mean of the entries where `mask` holds; 0 where there is none."""
    count = jnp.broadcast_to(mask, x.shape).sum(axis, dtype=x.dtype)
    return safe_div(masked_sum(x, mask, axis), count)


def masked_softmax(
    x: Float[Array, "*s"], mask: Bool[Array, "*#s"], axis: int = -1
) -> Float[Array, "*s"]:
    """Softmax over the entries where `mask` holds; masked entries weigh 0.

    A row without any real entry is all zeros, with gradient 0. An entry of `-inf`
    counts as masked.
    """
    keep = mask & (x != -jnp.inf)
    x = jnp.where(keep, x, 0.0)
    top = jnp.max(x, axis, keepdims=True, where=keep, initial=-jnp.inf)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0.0))
    weight = jnp.where(keep, jnp.exp(jnp.where(keep, x - top, 0.0)), 0.0)
    return safe_div(weight, weight.sum(axis, keepdims=True))


def masked_logsumexp(
    x: Float[Array, "*s"],
    mask: Bool[Array, "*#s"],
    axis: int = -1,
    empty: float | None = None,
) -> Float[Array, "*r"]:
    """`log(sum(exp(x)))` over the entries where `mask` holds.

    A row without any real entry gives `empty`, with gradient 0; the default is a
    finite floor (a quarter of the dtype's most negative number), so that differences
    of two such rows stay finite. An entry of `-inf` counts as masked.
    """
    keep = mask & (x != -jnp.inf)
    low = float(jnp.finfo(x.dtype).min) / 4 if empty is None else empty
    x = jnp.where(keep, x, 0.0)
    top = jnp.max(x, axis, keepdims=True, where=keep, initial=-jnp.inf)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0.0))
    weight = jnp.where(keep, jnp.exp(jnp.where(keep, x - top, 0.0)), 0.0)
    total = weight.sum(axis)
    some = total != 0
    log = jnp.log(jnp.where(some, total, 1.0)) + jnp.squeeze(top, axis)
    return jnp.where(some, log, low)


def as_float(x: Array) -> Array:
    """`x` itself if it is floating, else in the default float type."""
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
