"""Robust locally weighted regression of a short series."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from diffbio_eqx._numerics import safe_div


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
    fill = None if delta == 0 else _filling(x, delta * (x[-1] - x[0]))

    def smooth(robustness):
        fitted = _lines(x, y, weights * robustness)
        if fill is None:
            return fitted
        before, after, part = fill
        return (1 - part) * fitted[before] + part * fitted[after]

    def again(_, carry):
        fitted, robustness, going = carry
        fitted = jnp.where(going, smooth(robustness), fitted)
        residual = jnp.abs(y - fitted)
        ordered = jnp.sort(residual)
        six_mad = 3 * (ordered[n // 2] + ordered[(n - 1) // 2])
        going = going & (six_mad >= 1e-7 * residual.mean())
        share = safe_div(residual, six_mad)
        bisquare = jnp.where(share <= 0.999, (1 - share**2) ** 2, 0.0)
        return fitted, jnp.where(share <= 0.001, 1.0, bisquare), going

    start = (y, jnp.ones_like(y), jnp.ones((), bool))
    return lax.fori_loop(0, rounds + 1, again, start)[0]


def _tricube(x: Array, nearest: int) -> Array:
    """Row i: weights of all points in the fit at point i."""
    n = x.size
    far = jnp.abs(x[:, None] - x[None, :])
    first = jnp.arange(n - nearest)
    # The window moves right as long as its left end is the farther one.
    beyond = jnp.minimum(first + nearest, n - 1)
    right = (x[:, None] - x[first]) > (x[beyond] - x[:, None])
    left = right.sum(1)
    width = jnp.maximum(x - x[left], x[left + nearest - 1] - x)[:, None]
    share = safe_div(far, width)
    weight = jnp.where(share <= 0.001, 1.0, (1 - share**3) ** 3)
    inside = (far <= 0.999 * width) & (jnp.arange(n)[None, :] >= left[:, None])
    return jnp.where(inside, weight, 0.0)


def _lines(x: Array, y: Array, weights: Array) -> Array:
    """The weighted line of each row at its own point; y itself without any weight."""
    total = weights.sum(1, keepdims=True)
    weights = safe_div(weights, total)
    centre = (weights @ x)[:, None]
    spread = (weights * (x - centre) ** 2).sum(1, keepdims=True)
    steep = jnp.sqrt(spread) > 0.001 * (x[-1] - x[0])
    tilt = jnp.where(steep, safe_div(x[:, None] - centre, spread), 0.0)
    value = (weights * (1 + tilt * (x - centre))) @ y
    return jnp.where(total[:, 0] > 0, value, y)


def _filling(x: Array, delta: Array) -> tuple[Array, Array, Array]:
    """The computed points around each point, and how far it lies between them.

    After a computed point, the last one within delta of it is the next.
    """
    n = x.size
    places = jnp.arange(n)
    reach = (x <= x[:, None] + delta).sum(1) - 1
    following = jnp.maximum((x <= x[:, None]).sum(1), reach)

    def mark(carry):
        marks, at = carry
        return marks | (places == at), following[at]

    start = (jnp.zeros(n, bool), jnp.zeros((), following.dtype))
    marks, _ = lax.while_loop(lambda carry: carry[1] < n, mark, start)
    marks = ((x == x[:, None]) & marks).any(1)
    before = jnp.where(marks & (places <= places[:, None]), places, 0).max(1)
    after = jnp.where(marks & (places >= places[:, None]), places, n - 1).min(1)
    return before, after, safe_div(x - x[before], x[after] - x[before])
