"""Local quadratic regression on few points, with cubic interpolation between them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffbio_eqx._numerics import safe_div
from diffbio_eqx.statistics.robust import order_statistic


class LocalRegression(eqx.Module):
    """A smooth function of one number, given by value and slope at knots.

    - `knots`, `values`, `slopes` (knots,): ascending; places that are not used repeat
      the last knot that is.
    - `curvature` c: half of the second derivative outside of the knots.

    Between two knots it is the cubic with their values and slopes; at a distance d
    outside of them, `value + slope d + c d^2` of the last knot.
    """

    knots: Float[Array, " knots"]
    values: Float[Array, " knots"]
    slopes: Float[Array, " knots"]
    curvature: Float[Array, ""]

    def __call__(self, x: Float[Array, "*s"]) -> Float[Array, "*s"]:
        last = self.knots.size - 1
        low = jnp.searchsorted(self.knots, lax.stop_gradient(x), side="right") - 1
        low = jnp.clip(low, 0, last)
        high = jnp.minimum(low + 1, last)
        width = self.knots[high] - self.knots[low]
        away = x - self.knots[low]
        outside = (width == 0) | (away < 0)
        beyond = self.values[low] + (self.slopes[low] + self.curvature * away) * away
        t = jnp.where(outside, 0.0, safe_div(away, width))
        rise = self.values[high] - self.values[low]
        bends = (self.slopes[low] * (1 - t) - self.slopes[high] * t) * width
        cubic = self.values[low] + t * t * (3 - 2 * t) * rise + t * (1 - t) * bends
        return jnp.where(outside, beyond, cubic)


def fit_local_regression(
    x: Float[Array, " n"],
    y: Float[Array, " n"],
    weights: Float[Array, " n"],
    mask: Bool[Array, " n"],
    *,
    nearest: float = 0.7,
    cut: float = 0.8,
    capacity: int = 64,
) -> LocalRegression:
    """Local quadratic regression of the points in `mask`, as `locfit(y ~ x)` in R.

    At a knot, the `nearest` share of the points is fitted with weights `weights`
    times tricube of the distance over the largest one, h. The knots are the ends of the
    range of x, and the middle of every interval that is longer than `cut` times the
    smaller h of its ends, until there is none or `capacity` is reached. Outside of the
    range it goes on with the curvature of one parabola through all points. Each knot
    costs O(n).

    The gradient holds which knots there are and which point is the farthest of each.

    Reference: Loader 1999, "Local Regression and Likelihood", doi:10.1007/b98858.
    """
    x, y = jnp.where(mask, x, 0.0), jnp.where(mask, y, 0.0)
    weights = jnp.where(mask, weights, 0.0)
    some = mask.any()
    low = jnp.where(some, jnp.where(mask, x, jnp.inf).min(), 0.0)
    high = jnp.where(some, jnp.where(mask, x, -jnp.inf).max(), 0.0)
    fixed = jax.tree.map(lax.stop_gradient, (x, low, high))
    parts, farthest = _place_knots(*fixed, mask, nearest, cut, capacity)
    knots = low + parts * (high - low)

    @jax.checkpoint
    def at_knot(knot_and_farthest):
        knot, place = knot_and_farthest
        return local_quadratic(x, y, weights, knot, jnp.abs(x[place] - knot))

    values, slopes = lax.map(at_knot, (knots, farthest))
    width = high - low
    curvature = _parabola(safe_div(x - low, width), y, weights)[2]
    return LocalRegression(knots, values, slopes, safe_div(curvature, width**2))


def local_quadratic(
    x: Float[Array, " n"],
    y: Float[Array, " n"],
    weights: Float[Array, " n"],
    at: Float[Array, ""],
    bandwidth: Float[Array, ""],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Value and slope at a point of the tricube-weighted parabola through the data.

    Where the points within the bandwidth do not determine a parabola, it is a line or a
    constant.
    """
    u = safe_div(x - at, bandwidth)
    near = jnp.maximum(1 - jnp.abs(u) ** 3, 0.0)
    value, slope, _ = _parabola(u, y, weights * near**3)
    return value, safe_div(slope, bandwidth)


def _parabola(u: Array, y: Array, w: Array) -> tuple[Array, Array, Array]:
    """Coefficients of the weighted parabola: constant, linear, quadratic.

    By orthogonal polynomials: no cancellation, and a clear sign of what the points
    determine.
    """
    w = safe_div(w, w.sum())
    mean = (w * u).sum()
    linear = u - mean
    spread = (w * linear**2).sum()
    tilt = _ratio((w * linear**3).sum(), spread, 1.0)
    square = linear**2 - tilt * linear - spread
    size = (w * square**2).sum()
    level = (w * y).sum()
    first = _ratio((w * linear * (y - level)).sum(), spread, 1.0)
    second = _ratio((w * square * (y - level)).sum(), size, spread**2)
    constant = level - first * mean + second * (mean**2 + tilt * mean - spread)
    return constant, first - second * (2 * mean + tilt), second


def _ratio(top: Array, bottom: Array, scale: Array | float) -> Array:
    """A quotient; 0 where the denominator is but rounding of `scale`."""
    something = bottom > 100 * jnp.finfo(bottom.dtype).eps ** 2 * scale
    return jnp.where(something, top / jnp.where(something, bottom, 1.0), 0.0)


def _place_knots(
    x: Array,
    low: Array,
    high: Array,
    mask: Array,
    nearest: float,
    cut: float,
    capacity: int,
) -> tuple[Float[Array, " knots"], Int[Array, " knots"]]:
    """Knots as parts of the range, ascending, and the farthest neighbour of each."""
    share = jnp.floor(mask.sum().astype(x.dtype) * nearest + 1e-5).astype(int)

    def neighbour(part: Array) -> tuple[Array, Array]:
        far = jnp.abs(x - (low + part * (high - low)))
        bandwidth = order_statistic(far, mask, jnp.maximum(share - 1, 0))
        return bandwidth, jnp.argmax((far == bandwidth) & mask)

    def wide(carry):
        parts, bandwidths, _, count = carry
        length = (parts[1:] - parts[:-1]) * (high - low)
        ends = jnp.stack([bandwidths[1:], bandwidths[:-1]])
        smallest = jnp.where(ends > 0, ends, jnp.inf).min(0)
        real = jnp.arange(capacity - 1) < count - 1
        return real & (length > cut * smallest)

    def going(carry):
        return wide(carry).any() & (carry[3] < capacity)

    def split(carry):
        parts, bandwidths, farthest, count = carry
        at = jnp.argmax(wide(carry))
        new = (parts[at] + parts[at + 1]) / 2
        values = (new, *neighbour(new))
        places = jnp.arange(capacity)

        def insert(row, value):
            moved = jnp.where(places <= at, row, jnp.roll(row, 1))
            return jnp.where(places == at + 1, value, moved)

        columns = zip((parts, bandwidths, farthest), values, strict=True)
        return (*(insert(row, value) for row, value in columns), count + 1)

    ends = jnp.asarray([0.0, 1.0], x.dtype)
    first = (ends, *lax.map(neighbour, ends))
    grown = (jnp.concatenate([v, jnp.repeat(v[-1], capacity - 2)]) for v in first)
    parts, _, farthest, _ = lax.while_loop(going, split, (*grown, jnp.asarray(2)))
    return parts, farthest
