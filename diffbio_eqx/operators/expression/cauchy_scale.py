"""Width of the prior on effects, estimated from all genes."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from diffbio_eqx._numerics import safe_div

_SMALLEST, _LARGEST = 1e-3, 20.0
_TOLERANCE = float(jnp.finfo(jnp.float64).eps) ** 0.25
"""How well R's `uniroot` finds the variance, absolute."""
_ROUNDS = 200


def cauchy_scale(
    effect: Float[Array, " genes"],
    error: Float[Array, " genes"],
    mask: Bool[Array, " genes"],
    *,
    exact: bool = False,
) -> Float[Array, ""]:
    """Scale of apeglm's Cauchy prior from estimates b with standard errors e.

    The variance A of effects that solves Efron and Morris's equation

        sum_i (b_i^2 - e_i^2 - A) / (A + e_i^2)^2 = 0,

    0.001^2 where the sum is negative there already; the scale is `min(sqrt(A), 1)`.
    All are natural logarithms. Brent's method on [0.001^2, 20^2] ends at R's tolerance
    (1.2e-4 for A), or at rounding if `exact`. The gradient is that of the equation.

    Reference: B. Efron, C. Morris, "Data analysis using Stein's estimator and its
    generalizations", 1975, doi:10.1080/01621459.1975.10479864.
    """
    clean = lambda x: jnp.where(mask, x, 0.0) ** 2
    sizes = _Sizes(clean(effect), clean(error), mask.astype(effect.dtype))
    variance = _variance(exact, sizes)
    return jnp.minimum(jnp.sqrt(variance), 1.0)


class _Sizes(NamedTuple):
    square: Float[Array, " genes"]
    noise: Float[Array, " genes"]
    weight: Float[Array, " genes"]


def _excess(variance: Array, sizes: _Sizes) -> Array:
    """The weighted mean of b^2 - e^2, minus A."""
    weight = sizes.weight / (variance + sizes.noise) ** 2
    mean = (weight * (sizes.square - sizes.noise)).sum()
    return safe_div(mean, weight.sum()) - variance


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _variance(exact: bool, sizes: _Sizes) -> Array:  # noqa: FBT001
    dtype = sizes.square.dtype
    low, high = jnp.asarray(_SMALLEST**2, dtype), jnp.asarray(_LARGEST**2, dtype)
    tolerance = 0.0 if exact else _TOLERANCE
    at_low = _excess(low, sizes)
    root = _brent(lambda a: _excess(a, sizes), low, high, at_low, tolerance)
    return jnp.where(at_low < 0, low, root)


@_variance.defjvp
def _variance_jvp(exact, primals, tangents):
    (sizes,), (change,) = primals, tangents
    variance = _variance(exact, sizes)
    slope = jax.jvp(lambda s: _excess(variance, s), (sizes,), (change,))[1]
    one = jnp.ones_like(variance)
    bend = jax.jvp(lambda a: _excess(a, sizes), (variance,), (one,))[1]
    inner = (variance > _SMALLEST**2) & (variance < _LARGEST**2) & (bend < 0)
    bend = lax.stop_gradient(jnp.where(inner, bend, -1.0))
    return variance, jnp.where(inner, -slope / bend, 0.0)


class _Bracket(NamedTuple):
    """Brent's points: `best`, the one `before` it and the `other` side of the root."""

    best: Array
    at_best: Array
    before: Array
    at_before: Array
    other: Array
    at_other: Array
    rounds: Array
    running: Array


def _brent(function, low, high, at_low, tolerance) -> Array:
    """A root between `low` and `high` (R. P. Brent, 1973), as R's `uniroot`."""
    eps = float(jnp.finfo(low.dtype).eps)

    def step(s: _Bracket) -> _Bracket:
        last = s.best - s.before
        swap = jnp.abs(s.at_other) < jnp.abs(s.at_best)
        pick = lambda x, y: jnp.where(swap, x, y)
        before, at_before = pick(s.best, s.before), pick(s.at_best, s.at_before)
        best, at_best = pick(s.other, s.best), pick(s.at_other, s.at_best)
        other, at_other = pick(before, s.other), pick(at_before, s.at_other)
        width = 2 * eps * jnp.abs(best) + tolerance / 2
        half = (other - best) / 2
        done = (jnp.abs(half) <= width) | (at_best == 0)
        # Interpolate: a line through two points, or an inverse parabola through three.
        ratio = safe_div(at_best, at_before)
        span = other - best
        line = (span * ratio, 1 - ratio)
        first, second = safe_div(at_before, at_other), safe_div(at_best, at_other)
        parabola = (
            ratio * (span * first * (first - second) - (best - before) * (second - 1)),
            (first - 1) * (second - 1) * (ratio - 1),
        )
        top, bottom = (
            jnp.where(before == other, x, y)
            for x, y in zip(line, parabola, strict=True)
        )
        bottom = jnp.where(top > 0, -bottom, bottom)
        top = jnp.abs(top)
        limit = 0.75 * span * bottom - jnp.abs(width * bottom) / 2
        sound = (jnp.abs(last) >= width) & (jnp.abs(at_before) > jnp.abs(at_best))
        sound &= (top < limit) & (top < jnp.abs(last * bottom / 2))
        move = jnp.where(sound, safe_div(top, bottom), half)
        least = jnp.where(move > 0, width, -width)
        move = jnp.where(jnp.abs(move) < width, least, move)
        new = jnp.where(done, best, best + move)
        at_new = jnp.where(done, at_best, function(new))
        same = at_new * at_other > 0
        return _Bracket(
            new,
            at_new,
            jnp.where(done, before, best),
            jnp.where(done, at_before, at_best),
            jnp.where(same & ~done, best, other),
            jnp.where(same & ~done, at_best, at_other),
            s.rounds + 1,
            ~done,
        )

    at_high = function(high)
    start = _Bracket(
        high,
        at_high,
        low,
        at_low,
        low,
        at_low,
        jnp.zeros((), jnp.int32),
        jnp.ones((), bool),
    )
    going = lambda s: s.running & (s.rounds < _ROUNDS)
    return lax.while_loop(going, step, start).best
