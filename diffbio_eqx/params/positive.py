"""A parameter that stays positive."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from diffbio_eqx._checks import require_range
from diffbio_eqx._typing import Natural
from diffbio_eqx.params.abstract import (
    NETWORK_STEP,
    AbstractParameter,
    softplus_inverse,
    strong,
)


class Positive(AbstractParameter):
    """A number > 0: `value = softplus(raw)`.

    Far above 1 `raw` is the value, far below it is its logarithm; `step` is meant in
    those units.

    **Arguments:**

    - `value`: natural value > 0, any shape.
    - `step`: natural step of `raw` (see `AbstractParameter`).
    """

    raw: Float[Array, "*shape"]
    step: float = eqx.field(static=True)

    def __init__(self, value: Natural, *, step: float = NETWORK_STEP):
        hint = "use Free for a number that may be 0 or negative"
        require_range("Positive parameter", value, 0.0, open_low=True, hint=hint)
        require_range("step of a parameter", step, 0.0, open_low=True)
        self.raw = softplus_inverse(strong(value))
        self.step = float(step)

    @property
    def value(self) -> Float[Array, "*shape"]:
        """`softplus(raw)`."""
        return jax.nn.softplus(self.raw)
