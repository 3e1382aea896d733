"""A parameter without a constraint, in natural units, with its own step."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from diffbio_eqx._checks import require_range
from diffbio_eqx._typing import Natural
from diffbio_eqx.params.abstract import NETWORK_STEP, AbstractParameter, strong


class Free(AbstractParameter):
    """Any finite number: `value` is the leaf `raw` itself.

    `value` is the very leaf, so `eqx.tree_at(lambda m: m.threshold.value, ...)` works,
    also through a property that returns it.

    **Arguments:**

    - `value`: natural value, any shape.
    - `step`: natural step of the value (see `AbstractParameter`).
    """

    raw: Float[Array, "*shape"]
    step: float = eqx.field(static=True)

    def __init__(self, value: Natural, *, step: float = NETWORK_STEP):
        require_range("Free parameter", value)
        require_range("step of a parameter", step, 0.0, open_low=True)
        self.raw = strong(value)
        self.step = float(step)

    @property
    def value(self) -> Any:
        """The leaf itself: an array, or what `eqx.tree_at` puts in its place."""
        return self.raw
