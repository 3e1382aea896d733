"""Is a number positive? A sigmoid, and its hard limit."""

import jax
from jaxtyping import Array, Float


def soft_step(x: Float[Array, "*s"], t: Float[Array, ""]) -> Float[Array, "*s"]:
    """`sigmoid(x / t)`: 1/2 at 0, whatever the temperature."""
    return jax.nn.sigmoid(x / t)


def hard_step(x: Float[Array, "*s"], *, closed: bool) -> Float[Array, "*s"]:
    """1 where `x > 0`, and at 0 where `closed`."""
    return (x >= 0 if closed else x > 0).astype(x.dtype)
