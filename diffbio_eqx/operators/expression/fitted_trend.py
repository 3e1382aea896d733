"""A fitted trend of dispersions: what it says of any mean."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffbio_eqx._special import log
from diffbio_eqx.statistics.local_regression import LocalRegression


class FittedTrend(eqx.Module):
    """Dispersion at a mean of scaled counts: `a0 + a1 / mean`, or a local regression.

    - `coefficients` (2,): a0 and a1. A constant trend has a1 = 0.
    - `local`: log dispersion on log mean, or None for a trend that is never local.
    - `is_local`: whether `local` is used.
    - `usable`: False if no gene had a dispersion to fit; the trend is then the lowest
      dispersion, 1e-8.
    """

    coefficients: Float[Array, " 2"]
    local: LocalRegression | None
    is_local: Bool[Array, ""]
    usable: Bool[Array, ""]

    def __call__(self, mean: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Fitted dispersion; `mean` must be positive."""
        simple = self.coefficients[0] + self.coefficients[1] / mean
        if self.local is None:
            return simple
        return jnp.where(self.is_local, jnp.exp(self.local(log(mean))), simple)
