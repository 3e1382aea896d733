"""Proportions that sum to one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffbio_eqx._checks import concrete, fail, require_range
from diffbio_eqx._typing import Natural
from diffbio_eqx.params.abstract import NETWORK_STEP, AbstractParameter, strong


class Simplex(AbstractParameter):
    """Proportions > 0 that sum to 1 over the last axis: `value = softmax(raw)`.

    `raw` is the logarithm of the value, so `log_value` costs no exponential.

    **Arguments:**

    - `value`: natural value, shape (..., parts); each row sums to 1 within 1e-4.
    - `step`: natural step of the logarithms (see `AbstractParameter`).
    """

    raw: Float[Array, "*shape"]
    step: float = eqx.field(static=True)

    def __init__(self, value: Natural, *, step: float = NETWORK_STEP):
        hint = "add a pseudo-count to a proportion of 0"
        require_range("Simplex parameter", value, 0.0, 1.0, open_low=True, hint=hint)
        require_range("step of a parameter", step, 0.0, open_low=True)
        array = concrete(value)
        if array is not None:
            total = array.sum(-1) if array.ndim else array
            if array.ndim == 0 or np.abs(total - 1).max() > 1e-4:
                fail(
                    "Simplex parameter",
                    expected="rows that sum to 1 over the last axis",
                    got=f"shape {array.shape} with sum {np.ravel(total)[0]:g}",
                    hint="divide by the sum first",
                )
        self.raw = jax.nn.log_softmax(jnp.log(strong(value)))
        self.step = float(step)

    @property
    def value(self) -> Float[Array, "*shape"]:
        """`softmax(raw)` over the last axis."""
        return jax.nn.softmax(self.raw)

    @property
    def log_value(self) -> Float[Array, "*shape"]:
        """`log_softmax(raw)` over the last axis."""
        return jax.nn.log_softmax(self.raw)
