"""Line search of J. J. Moré and D. J. Thuente, for one problem, a call at a time.

Reference: J. J. Moré, D. J. Thuente, "Line search algorithms with guaranteed sufficient
decrease", 1994, doi:10.1145/192115.192132. The constants are those of L-BFGS-B.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Scalar = Float[Array, ""]

_DECREASE, _FLATTER, _NARROW = 1e-3, 0.9, 0.1
_STRETCH, _SHRINK = 4.0, 0.66


class Point(NamedTuple):
    """A step with its value and slope."""

    step: Scalar
    value: Scalar
    slope: Scalar

    def tilted(self, slope: Scalar) -> "Point":
        """The same of the function minus `slope * step`."""
        return Point(self.step, self.value - self.step * slope, self.slope - slope)


class LineSearch(NamedTuple):
    """Where a search stands.

    `best` has the lowest value so far, `other` is the other end of the interval that is
    `bracketed`; `step` is to be tried next.
    """

    step: Scalar
    first: Point
    best: Point
    other: Point
    low: Scalar
    high: Scalar
    width: Scalar
    wider: Scalar
    largest: Scalar
    bracketed: Bool[Array, ""]
    second_stage: Bool[Array, ""]


def begin(value: Scalar, slope: Scalar, largest: Scalar) -> LineSearch:
    """A search from step 0 that tries step 1 first, in [0, largest]."""
    zero, one, no = jnp.zeros_like(value), jnp.ones_like(value), jnp.zeros((), bool)
    start = Point(zero, value, slope)
    return LineSearch(
        one,
        start,
        start,
        start,
        zero,
        one + _STRETCH,
        largest,
        2 * largest,
        largest,
        no,
        no,
    )


def advance(
    search: LineSearch, value: Scalar, slope: Scalar
) -> tuple[LineSearch, Bool[Array, ""]]:
    """Take in what `search.step` gave; whether the search is over at that step."""
    tried = Point(search.step, value, slope)
    first, best = search.first, search.best
    wanted = _DECREASE * first.slope
    limit = first.value + tried.step * wanted
    low_enough = value <= limit
    second = search.second_stage | (low_enough & (slope >= _DECREASE * first.slope))

    inside = (tried.step > search.low) & (tried.step < search.high)
    narrow = search.high - search.low <= _NARROW * search.high
    stuck = search.bracketed & (~inside | narrow)
    at_end = (tried.step == search.largest) & low_enough & (slope <= wanted)
    at_start = (tried.step == 0) & (~low_enough | (slope >= wanted))
    good = low_enough & (jnp.abs(slope) <= -_FLATTER * first.slope)
    over = stuck | at_end | at_start | good

    tilt = jnp.where(~second & (value <= best.value) & ~low_enough, wanted, 0.0)
    step, best, other, bracketed = _next_step(
        best.tilted(tilt),
        search.other.tilted(tilt),
        tried.tilted(tilt),
        search.bracketed,
        search.low,
        search.high,
    )
    best, other = best.tilted(-tilt), other.tilted(-tilt)
    gap = jnp.abs(other.step - best.step)
    slow = bracketed & (gap >= _SHRINK * search.wider)
    step = jnp.where(slow, best.step + 0.5 * (other.step - best.step), step)
    low = jnp.where(bracketed, jnp.minimum(best.step, other.step), best.step)
    far = step + _STRETCH * (step - best.step)
    high = jnp.where(bracketed, jnp.maximum(best.step, other.step), far)
    step = jnp.clip(step, 0.0, search.largest)
    no_room = (step <= low) | (step >= high) | (high - low <= _NARROW * high)
    step = jnp.where(bracketed & no_room, best.step, step)
    following = LineSearch(
        step,
        first,
        best,
        other,
        low,
        high,
        jnp.where(bracketed, gap, search.width),
        jnp.where(bracketed, search.width, search.wider),
        search.largest,
        bracketed,
        second,
    )
    return following, over


def _next_step(
    best: Point,
    other: Point,
    tried: Point,
    bracketed: Bool[Array, ""],
    low: Scalar,
    high: Scalar,
) -> tuple[Scalar, Point, Point, Bool[Array, ""]]:
    """A safeguarded cubic or quadratic step, and the interval with `tried` in it."""
    higher = tried.value > best.value
    turned = tried.slope * jnp.sign(best.slope) < 0
    flatter = jnp.abs(tried.slope) < jnp.abs(best.slope)
    forward = tried.step > best.step
    closer = lambda a, b, to: jnp.where(jnp.abs(a - to) < jnp.abs(b - to), a, b)
    farther = lambda a, b, to: jnp.where(jnp.abs(a - to) > jnp.abs(b - to), a, b)

    # Higher value: the minimum lies between; cubic, or halfway to the quadratic.
    ratio = _cubic(best, tried, tried.step < best.step)
    cubic = best.step + ratio * (tried.step - best.step)
    drop = _divide(best.value - tried.value, tried.step - best.step) + best.slope
    quadratic = best.step + _divide(best.slope, drop) / 2 * (tried.step - best.step)
    near = jnp.abs(cubic - best.step) < jnp.abs(quadratic - best.step)
    if_higher = jnp.where(near, cubic, cubic + (quadratic - cubic) / 2)

    # From the tried point back: slope of the other sign, or a flatter one.
    secant = _divide(tried.slope, tried.slope - best.slope)
    secant = tried.step + secant * (best.step - tried.step)
    ratio = _cubic(tried, best, forward)
    cubic = tried.step + ratio * (best.step - tried.step)
    if_turned = farther(cubic, secant, tried.step)
    end = jnp.where(forward, high, low)
    bent = (ratio < 0) & (_root(best, tried)[1] != 0)
    outward = jnp.where(bent, cubic, end)
    within = closer(outward, secant, tried.step)
    edge = tried.step + _SHRINK * (other.step - tried.step)
    cut = jnp.where(forward, jnp.minimum(edge, within), jnp.maximum(edge, within))
    beyond = jnp.clip(farther(outward, secant, tried.step), low, high)
    if_flatter = jnp.where(bracketed, cut, beyond)

    ratio = _cubic(tried, other, tried.step > other.step)
    cubic = tried.step + ratio * (other.step - tried.step)
    if_steeper = jnp.where(bracketed, cubic, end)

    step = jnp.where(flatter, if_flatter, if_steeper)
    step = jnp.where(higher, if_higher, jnp.where(turned, if_turned, step))
    pick = lambda which, a, b: Point(
        *(jnp.where(which, x, y) for x, y in zip(a, b, strict=True))
    )
    other = pick(higher, tried, pick(turned, best, other))
    return step, pick(higher, best, tried), other, bracketed | higher | turned


def _root(a: Point, b: Point) -> tuple[Scalar, Scalar]:
    """theta and gamma of the cubic through two points."""
    theta = 3 * _divide(a.value - b.value, b.step - a.step) + a.slope + b.slope
    size = jnp.maximum(jnp.abs(theta), jnp.maximum(jnp.abs(a.slope), jnp.abs(b.slope)))
    square = _divide(theta, size) ** 2 - _divide(a.slope, size) * _divide(b.slope, size)
    return theta, size * jnp.sqrt(jnp.maximum(square, 0.0))


def _cubic(a: Point, b: Point, negative: Bool[Array, ""]) -> Scalar:
    """Minimum of the cubic, as a part of the way from `a` to `b`."""
    theta, gamma = _root(a, b)
    gamma = jnp.where(negative, -gamma, gamma)
    return _divide(gamma - a.slope + theta, gamma - a.slope + gamma + b.slope)


def _divide(a: Scalar, b: Scalar) -> Scalar:
    """a / b, or a where b is 0."""
    return a / jnp.where(b == 0, 1.0, b)
