"""Which positions does a window hold, when its ends may move by less than a base?"""

import jax
from jaxtyping import Array, Float


def soft_window(
    positions: Float[Array, "*s"],
    start: Float[Array, "*#s"],
    end: Float[Array, "*#s"],
    t: Float[Array, ""],
) -> Float[Array, "*s"]:
    """`sigmoid((p + 1/2 - start) / t) sigmoid((end - p - 1/2) / t)`."""
    centre = positions + 0.5
    return jax.nn.sigmoid((centre - start) / t) * jax.nn.sigmoid((end - centre) / t)


def hard_window(
    positions: Float[Array, "*s"],
    start: Float[Array, "*#s"],
    end: Float[Array, "*#s"],
) -> Float[Array, "*s"]:
    """1 where the centre of a position lies in `[start, end)`."""
    centre = positions + 0.5
    return ((centre >= start) & (centre < end)).astype(positions.dtype)
