"""A parameter between 0 and 1."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from diffbio_eqx._checks import require_range
from diffbio_eqx._typing import Natural
from diffbio_eqx.params.abstract import NETWORK_STEP, AbstractParameter, on_host, strong


class UnitInterval(AbstractParameter):
    """A number in (0, 1): `value = sigmoid(raw)`, `raw` is its log-odds.

    **Arguments:**

    - `value`: natural value strictly between 0 and 1, any shape.
    - `step`: natural step of the log-odds (see `AbstractParameter`).
    """

    raw: Float[Array, "*shape"]
    step: float = eqx.field(static=True)

    def __init__(self, value: Natural, *, step: float = NETWORK_STEP):
        hint = "0 and 1 have infinite log-odds: use Frozen for a constant"
        require_range(
            "UnitInterval parameter",
            value,
            0.0,
            1.0,
            open_low=True,
            open_high=True,
            hint=hint,
        )
        require_range("step of a parameter", step, 0.0, open_low=True)
        self.raw = on_host(lambda np, x: np.log(x) - np.log1p(-x), strong(value))
        self.step = float(step)

    @property
    def value(self) -> Float[Array, "*shape"]:
        """`sigmoid(raw)`."""
        return jax.nn.sigmoid(self.raw)
