"""Cut-offs that stay in order."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffbio_eqx._checks import concrete, fail, require_range
from diffbio_eqx._typing import Natural
from diffbio_eqx.params.abstract import (
    NETWORK_STEP,
    AbstractParameter,
    softplus_inverse,
    strong,
)


class Ordered(AbstractParameter):
    """Strictly ascending numbers along the last axis.

    `value[0] = raw[0]` and `value[i] = value[i - 1] + softplus(raw[i])`.

    **Arguments:**

    - `value`: natural value, shape (..., cut-offs), strictly ascending.
    - `step`: natural step of `raw` (see `AbstractParameter`).
    """

    raw: Float[Array, "*shape"]
    step: float = eqx.field(static=True)

    def __init__(self, value: Natural, *, step: float = NETWORK_STEP):
        require_range("Ordered parameter", value)
        require_range("step of a parameter", step, 0.0, open_low=True)
        array = concrete(value)
        if array is not None and (array.ndim == 0 or (np.diff(array) <= 0).any()):
            fail(
                "Ordered parameter",
                expected="strictly ascending numbers along the last axis",
                got=np.array2string(array, threshold=8, precision=4),
                hint="sort them and drop equal ones",
            )
        natural = strong(value)
        gaps = softplus_inverse(jnp.diff(natural))
        self.raw = jnp.concatenate([natural[..., :1], gaps], -1)
        self.step = float(step)

    @property
    def value(self) -> Float[Array, "*shape"]:
        """The cumulative sum of the first number and the gaps."""
        gaps = jax.nn.softplus(self.raw[..., 1:])
        return jnp.cumsum(jnp.concatenate([self.raw[..., :1], gaps], -1), -1)
