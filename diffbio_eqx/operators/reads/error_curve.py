"""From reported to effective base quality: a smooth learnable curve."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Real

from diffbio_eqx._checks import require_range
from diffbio_eqx._numerics import as_float
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.params import Free

KNOTS = 96
_LN10 = 2.302585092994046
_LOWEST = 1.25  # Phred of an error probability of 3/4: a base drawn at random


class ErrorCurve(AbstractOperator):
    """Error probability of bases of any shape from their reported Phred quality.

    `q' = q + delta(q)`, `e = 10 ** (-q' / 10)`, at most 3/4. `delta` is a table at
    Phred 0, 1, ..., 95 (overlapping mates add their qualities) joined by cubic
    convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711): it goes through the table,
    its slope has no jump, and from 95 on it stays at the last entry. The table starts
    at zero, so that the untrained curve is Phred's definition.

    **Arguments:** `x`, Phred qualities, any shape, integers or floats.

    **Returns:** error probabilities in (0, 3/4], the same shape.

    **Exact:** all of it; nothing is relaxed.
    """

    shift: Free

    def __init__(self, shift: Real[Array, " 96"] | np.ndarray | None = None):
        table = jnp.zeros(KNOTS, float) if shift is None else jnp.asarray(shift, float)
        if table.shape != (KNOTS,):
            raise ValueError(
                f"shift must have {KNOTS} entries (Phred 0 to 95), got {table.shape}; "
                "pass zeros for Phred's own definition."
            )
        self.shift = Free(table, step=0.5)

    def phred(self, x: Real[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Effective Phred quality `q + delta(q)`."""
        quality = as_float(x)
        return quality + self._delta(quality)

    def _delta(self, quality: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        table = self.shift.value.astype(quality.dtype)
        inside = jnp.clip(quality, 0.0, KNOTS - 1.0)
        left = jnp.clip(jnp.floor(inside), 0, KNOTS - 2)
        t = inside - left
        index = left.astype(jnp.int32)
        before, here, after, beyond = (
            table[jnp.clip(index + k, 0, KNOTS - 1)] for k in (-1, 0, 1, 2)
        )
        slope_here, slope_after = 0.5 * (after - before), 0.5 * (beyond - here)
        slope_after = jnp.where(index == KNOTS - 2, 0.0, slope_after)
        rise = after - here
        curve = 3.0 * rise - 2.0 * slope_here - slope_after
        twist = slope_here + slope_after - 2.0 * rise
        return here + t * (slope_here + t * (curve + t * twist))

    def __call__(
        self, x: Real[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        if x.dtype == jnp.uint8:
            return self._error(jnp.arange(256, dtype=float))[x]
        return self._error(as_float(x))

    def _error(self, quality: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        phred = jnp.maximum(self.phred(quality), _LOWEST)
        return jnp.minimum(jnp.exp(phred * (-_LN10 / 10.0)), 0.75)


class MappingError(AbstractOperator):
    """Probability that a read (any shape of mapping qualities) lies elsewhere.

    `m = 10 ** (-scale * MAPQ / 10)`; `scale` starts at 1, Phred's definition (Li, Ruan
    and Durbin 2008, doi:10.1101/gr.078212.108).
    """

    scale: Free

    def __init__(self, scale: float = 1.0):
        require_range("scale", scale, 0.0, open_low=True)
        self.scale = Free(jnp.asarray(scale, float), step=0.02)

    def __call__(
        self, x: Real[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        quality = as_float(x)
        scale = jnp.maximum(self.scale.value.astype(quality.dtype), 0.01)
        return jnp.minimum(jnp.exp(quality * scale * (-_LN10 / 10.0)), 0.999)


def combined_error(
    base: Float[Array, "*shape"], mapping: Float[Array, "*#shape"]
) -> Float[Array, "*shape"]:
    """Error of a base of a read that may lie elsewhere: `e + (3/4 - e) m`.

    A read from elsewhere shows each base with probability 1/4.
    """
    return base + (0.75 - base) * mapping
