"""A constant table that no gradient reaches and no optimiser moves."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from diffbio_eqx._typing import Natural
from diffbio_eqx.params.abstract import strong


class Frozen(eqx.Module):
    """A constant array: a leaf (so not baked into compiled code), never trained.

    `value` stops the gradient; `trainable_spec` is False at the leaf.

    **Arguments:**

    - `value`: any shape; floating values are stored in a strong floating dtype,
      integers and booleans keep theirs.
    """

    raw: Array

    def __init__(self, value: Natural):
        dtype = value.dtype if isinstance(value, jax.Array) else np.asarray(value).dtype
        floating = jnp.issubdtype(dtype, jnp.floating)
        self.raw = strong(value) if floating else jnp.asarray(value)

    @property
    def value(self) -> Array:
        """The constant, with its gradient stopped."""
        return lax.stop_gradient(self.raw)
