"""The prior variance at few degrees of freedom: match the distribution of residuals."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from diffbio_eqx._checks import require_choice
from diffbio_eqx._numerics import safe_div
from diffbio_eqx.statistics.local_regression import LocalRegression, local_quadratic

_EDGES = np.arange(-20, 21) / 2
_WIDTH = 0.5
_GRID = np.linspace(0.0, 8.0, 200)
_FINE = np.linspace(0.0, 8.0, 1000)
_NEAREST = 40
_DRAWS = 10_000
"""R's histograms are of so many draws: none has a density between 0 and 2e-4."""


def match_prior_variance(
    residuals: Float[Array, " genes"], used: Bool[Array, " genes"], freedom: int
) -> Float[Array, ""]:
    """The variance v in [0, 8] that explains the residuals best. No gradient.

    A residual is `log(chi^2_f / f) + sqrt(v) z`, z normal and f = `freedom`, 1 to 3.
    The probability of each bin of width 1/2 in (-10, 10) is integrated numerically for
    200 values of v, and compared with the observed histogram by the Kullback-Leibler
    divergence (a small density added to both). The divergence is smoothed over v by
    local quadratic regression over the nearest 40 values, with cubic interpolation
    between knots, and its smallest value is looked up on 1,000 values of v.

    R's DESeq2 draws 10,000 random numbers for each v instead.
    """
    require_choice("degrees of freedom", freedom, (1, 2, 3))
    dtype = residuals.dtype
    edges = jnp.asarray(_EDGES, dtype)
    inside = used & (residuals > -10) & (residuals < 10)
    at_most = jnp.where(inside, residuals, jnp.inf) <= edges[:, None]
    counts = jnp.diff(at_most.sum(1)).astype(dtype)
    observed = safe_div(counts, counts.sum()) / _WIDTH
    grid = jnp.asarray(_GRID, dtype)
    expected = lax.map(lambda v: _densities(v, edges, freedom), grid, batch_size=20)
    some = jnp.where(observed > 0, observed, jnp.inf).min()
    small = jnp.minimum(some, 1 / (_DRAWS * _WIDTH))
    divergences = (observed * jnp.log((observed + small) / (expected + small))).sum(1)
    fine = jnp.asarray(_FINE, dtype)
    return lax.stop_gradient(fine[jnp.argmin(_smooth(grid, divergences)(fine))])


def _densities(variance: Array, edges: Array, freedom: int) -> Float[Array, " bins"]:
    """Density of a residual in each bin, given that it is in one."""
    z = jnp.asarray(np.arange(-64, 65) / 8, variance.dtype)
    weight = jnp.exp(-(z**2) / 2)
    weight = weight / weight.sum()
    t = edges[:, None] - jnp.sqrt(variance) * z
    below = (_log_chi_square_below(t, freedom) * weight).sum(1)
    bins = jnp.diff(below)
    return bins / bins.sum() / _WIDTH


def _log_chi_square_below(t: Array, freedom: int) -> Array:
    """P(log(chi^2_f / f) <= t)."""
    half = jnp.exp(t) * (freedom / 2)
    if freedom == 2:
        return -jnp.expm1(-half)
    root = jnp.sqrt(half)
    below = jax.scipy.special.erf(root)
    if freedom == 1:
        return below
    return below - 2 / np.sqrt(np.pi) * root * jnp.exp(-half)


def _smooth(x: Array, y: Array) -> LocalRegression:
    """The local regression of R's `loess(y ~ x, span = 0.2)` at its knots."""
    knots = jnp.asarray(_loess_knots(_GRID, 8), x.dtype)

    def at_knot(knot):
        bandwidth = jnp.sort(jnp.abs(x - knot))[_NEAREST - 1]
        return local_quadratic(x, y, jnp.ones_like(x), knot, bandwidth)

    values, slopes = jax.vmap(at_knot)(knots)
    return LocalRegression(knots, values, slopes, jnp.zeros((), x.dtype))


def _loess_knots(x: np.ndarray, most: int) -> np.ndarray:
    """Ends of the range, a bit widened, and medians until cells have few points."""
    margin = 0.005 * (x[-1] - x[0])
    knots = [x[0] - margin, x[-1] + margin]
    cells = [(0, len(x))]
    while cells:
        start, end = cells.pop()
        if end - start > most:
            middle = (start + end + 1) // 2
            knots.append(x[middle - 1])
            cells += [(start, middle), (middle, end)]
    return np.sort(knots)
