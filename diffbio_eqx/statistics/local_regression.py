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
    def at_knot(which):
        knot, place, everywhere = which
        bandwidth = jnp.where(everywhere, high - low, jnp.abs(x[place] - knot))
        return _fit_at(x, y, weights, knot, bandwidth, everywhere)

    # The last one is the parabola through all points.
    every = jnp.arange(capacity + 1) == capacity
    append = lambda v, last: jnp.concatenate([v, last[None]])
    places = (append(knots, low), append(farthest, farthest[0]), every)
    values, slopes, curvatures = lax.map(at_knot, places)
    return LocalRegression(knots, values[:-1], slopes[:-1], curvatures[-1])


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
    everywhere = jnp.zeros((), bool)
    return _fit_at(x, y, weights, at, bandwidth, everywhere)[:2]


def _fit_at(
    x: Array, y: Array, weights: Array, at: Array, bandwidth: Array, everywhere: Array
) -> tuple[Array, Array, Array]:
    """Coefficients of the parabola in `x - at`; `everywhere` means without tricube.

    By orthogonal polynomials: no cancellation, and a clear sign of what the points
    determine.
    """
    u = safe_div(x - at, bandwidth)
    near = jnp.maximum(1 - jnp.abs(u) ** 3, 0.0)
    w = weights * jnp.where(everywhere, 1.0, near**3)
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
    slope = first - second * (2 * mean + tilt)
    return constant, safe_div(slope, bandwidth), safe_div(second, bandwidth**2)


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
    share = jnp.maximum(share, 1)

    def neighbour(part: Array) -> tuple[Array, Array]:
        far = jnp.abs(x - (low + part * (high - low)))
        bandwidth = order_statistic(far, mask, share - 1)
        # Not `==`: a fused program may compute `far` twice and round it otherwise.
        return bandwidth, jnp.argmin(jnp.where(mask, jnp.abs(far - bandwidth), jnp.inf))

    def wide(carry):
        parts, bandwidths, _, _ = carry
        length = (parts[1:] - parts[:-1]) * (high - low)
        ends = jnp.stack([bandwidths[1:], bandwidths[:-1]])
        smallest = jnp.where(ends > 0, ends, jnp.inf).min(0)
        return length > cut * smallest

    def going(carry):
        count = carry[3]
        return (count < 2) | (wide(carry).any() & (count < capacity))

    def add(carry):
        parts, bandwidths, farthest, count = carry
        at = jnp.where(count < 2, count - 1, jnp.argmax(wide(carry)))
        middle = (parts[at] + parts[at + 1]) / 2
        new = jnp.where(count < 2, count.astype(x.dtype), middle)
        values = (new, *neighbour(new))

        def insert(row, value):
            moved = jnp.where(places <= at, row, jnp.roll(row, 1))
            moved = jnp.where((places > at) & (count < 2), value, moved)
            return jnp.where(places == at + 1, value, moved)

        columns = zip((parts, bandwidths, farthest), values, strict=True)
        return (*(insert(row, value) for row, value in columns), count + 1)

    # First the two ends, then the middles; what is not used repeats the upper end.
    places = jnp.arange(capacity)
    nothing = jnp.zeros(capacity, x.dtype)
    start = (nothing, nothing, jnp.zeros(capacity, int), jnp.asarray(0))
    parts, _, farthest, _ = lax.while_loop(going, add, start)
    return parts, farthest
