"""Which entry is the largest? Weights over the entries instead of an index."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffbio_eqx._numerics import masked_logsumexp, masked_softmax


def soft_argmax(
    x: Float[Array, "*s"], mask: Bool[Array, "*s"], t: Float[Array, ""], axis: int
) -> Float[Array, "*s"]:
    """`softmax(x / t)` over the real entries; zeros where there is none."""
    return masked_softmax(x / t, mask, axis)


def hard_argmax(
    x: Float[Array, "*s"], mask: Bool[Array, "*s"], axis: int
) -> Float[Array, "*s"]:
    """One-hot of the first largest real entry; zeros where there is none."""
    index = jnp.argmax(jnp.where(mask, x, -jnp.inf), axis)
    first = jax.nn.one_hot(index, x.shape[axis], dtype=x.dtype, axis=axis)
    return first * mask.any(axis, keepdims=True).astype(x.dtype)


def soft_max(
    x: Float[Array, "*s"],
    mask: Bool[Array, "*s"],
    t: Float[Array, ""],
    axis: int,
    empty: float,
) -> Float[Array, "*r"]:
    """`t logsumexp(x / t)`: at most `t log n` above the largest entry."""
    some = mask.any(axis)
    value = t * masked_logsumexp(x / t, mask, axis, empty=0.0)
    return jnp.where(some, value, empty)


def hard_max(
    x: Float[Array, "*s"], mask: Bool[Array, "*s"], axis: int, empty: float
) -> Float[Array, "*r"]:
    """The largest real entry."""
    value = jnp.max(jnp.where(mask, x, -jnp.inf), axis)
    return jnp.where(mask.any(axis), value, empty)
