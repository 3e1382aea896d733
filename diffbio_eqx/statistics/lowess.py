"""Robust locally weighted regression of a short series."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from diffbio_eqx._numerics import safe_div
from diffbio_eqx.statistics.robust import order_statistic


def lowess(
    x: Float[Array, " n"],
    y: Float[Array, " n"],
    *,
    fraction: float = 2 / 3,
    rounds: int = 3,
    delta: float = 0.01,
) -> Float[Array, " n"]:
    """Smoothed y at ascending x, as R's `lowess(x, y, f, iter, delta)`.

    Each point is fitted by a line over its `fraction` nearest points with tricube
    weights; then `rounds` times again with bisquare weights of the residuals. Points
    nearer than `delta` times the range of x to the last fitted one are interpolated.
    Cost O(n^2) in time and memory.

    Reference: Cleveland 1979, doi:10.1080/01621459.1979.10481038.
    """
    n = x.size
    if n < 2:
        return y
    nearest = max(2, min(n, int(fraction * n + 1e-7)))
    weights = _tricube(x, nearest)
    computed = _computed(x, delta * (x[-1] - x[0]))

    def smooth(robustness):
        fitted = jax.vmap(_line, (0, 0, None, None, None, 0))(
            weights, x, x, y, robustness, y
        )
        return _interpolated(x, fitted, computed)

    def again(_, carry):
        fitted, going = carry
        residual = jnp.abs(y - fitted)
        everything = jnp.ones(n, bool)
        at = lambda place: order_statistic(residual, everything, jnp.asarray(place))
        six_mad = 3 * (at(n // 2) + at((n - 1) // 2))
        going = going & (six_mad >= 1e-7 * residual.mean())
        share = safe_div(residual, six_mad)
        bisquare = jnp.where(share <= 0.999, (1 - share**2) ** 2, 0.0)
        robustness = jnp.where(share <= 0.001, 1.0, bisquare)
        return jnp.where(going, smooth(robustness), fitted), going

    start = (smooth(jnp.ones_like(y)), jnp.ones((), bool))
    return lax.fori_loop(0, rounds, again, start)[0]


def _tricube(x: Array, nearest: int) -> Array:
    """Row i: weights of all points in the fit at point i."""
    n = x.size
    far = jnp.abs(x[:, None] - x[None, :])
    first = jnp.arange(n - nearest)
    # The window moves right as long as its left end is the farther one.
    beyond = jnp.minimum(first + nearest, n - 1)
    right = (x[:, None] - x[first]) > (x[beyond] - x[:, None])
    left = jnp.cumprod(right, 1).sum(1)
    width = jnp.maximum(x - x[left], x[left + nearest - 1] - x)[:, None]
    share = safe_div(far, width)
    weight = jnp.where(share <= 0.001, 1.0, (1 - share**3) ** 3)
    inside = (far <= 0.999 * width) & (jnp.arange(n)[None, :] >= left[:, None])
    return jnp.where(inside, weight, 0.0)


def _line(weight, at, x, y, robustness, fallback):
    """Weighted line through (x, y) at one point; its own y without any weight."""
    weight = weight * robustness
    total = weight.sum()
    weight = safe_div(weight, total)
    centre = (weight * x).sum()
    spread = (weight * (x - centre) ** 2).sum()
    steep = jnp.sqrt(spread) > 0.001 * (x[-1] - x[0])
    tilt = jnp.where(steep, safe_div(at - centre, spread), 0.0)
    value = (weight * (1 + tilt * (x - centre)) * y).sum()
    return jnp.where(total > 0, value, fallback)


def _computed(x: Array, delta: Array) -> Array:
    """Which points are fitted themselves: the last one within delta of the one before.

    Points equal to a fitted one have the same fit.
    """
    n = x.size
    reach = jnp.searchsorted(x, x + delta, side="right") - 1
    last_equal = jnp.searchsorted(x, x, side="right") - 1

    def mark(carry):
        marks, at = carry
        marks = marks | ((x == x[at]) & (jnp.arange(n) >= at))
        at = last_equal[at]
        return marks, jnp.maximum(at + 1, jnp.minimum(reach[at], n - 1))

    start = (jnp.zeros(n, bool), jnp.asarray(0, reach.dtype))
    return lax.while_loop(lambda carry: carry[1] < n, mark, start)[0]


def _interpolated(x: Array, y: Array, computed: Array) -> Array:
    """Linear between the computed points."""
    places = jnp.arange(x.size)
    before = lax.cummax(jnp.where(computed, places, 0))
    after = lax.cummin(jnp.where(computed, places, x.size - 1), reverse=True)
    part = safe_div(x - x[before], x[after] - x[before])
    return jnp.where(computed, y, (1 - part) * y[before] + part * y[after])
