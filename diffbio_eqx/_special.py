"""Logarithm, log gamma and its derivatives, fast enough for every entry of a table.

JAX's own `lgamma` and `digamma` cost as much as 40 to 200 logarithms, and its float64
logarithm is not vectorised on CPUs. These are for x > 0 (normal numbers, no zero, no
infinity), in float32 or float64, and differentiable to any order in both modes.

Method: below 8 the argument is moved up by 8 with the recurrence, as one product or
sum; from 8 on Stirling's series is exact to rounding. The logarithm takes the exponent
from the bits, and `2 atanh(f / (2 + f))` of the rest by a Chebyshev fit.

Reference: M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions", 1964,
6.1.41 and 6.4.11.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

SHIFT = 8
"""Stirling's series is used from here on."""

# (atanh(s) / s - 1) / s^2 as a polynomial in s^2, for |s| <= (sqrt 2 - 1)/(sqrt 2 + 1).
_ATANH = {
    4: (0.33333333277248844, 0.20000060919875143, 0.1427541040867114, 0.1166523361837),
    8: (
        0.3333333333333335,
        0.19999999999949752,
        0.14285714312987755,
        0.1111110556739645,
        0.09091444562677693,
        0.0766586079944412,
        0.07308224846464495,
    ),
}
_BITS = {4: (jnp.int32, 23), 8: (jnp.int64, 52)}
_BERNOULLI = np.array(
    [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510]
)
_TERMS = {4: 3, 8: 8}


def polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    """The polynomial with the constant term first."""
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + jnp.asarray(coefficient, x.dtype)
    return value


@jax.custom_jvp
def log(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log(x)` of positive normal numbers."""
    exponent, rest = _split(x)
    s = rest / (2 + rest)
    tail = _atanh_tail(s * s)
    return exponent * math.log(2.0) + (rest - s * (rest - 2 * tail))


@log.defjvp
def _log_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return log(x), dx / x


@jax.custom_jvp
def log1p_terms(x: Float[Array, "*s"]) -> tuple[Array, Array, Array]:
    """`l = log(1 + x)`, `(1 + x) l - x` and `l - x`, without cancellation near 0.

    For x > -1. The last two start as `x^2/2` and `-x^2/2`.
    """
    exponent, rest = _split(1 + x)
    near = exponent == 0
    s = jnp.where(near, x, rest)
    s = s / (2 + s)
    q = _atanh_tail(s * s)
    value = exponent * math.log(2.0) + 2 * (s + s * q)
    excess = jnp.where(near, x * (s + q + s * q), (1 + x) * value - x)
    lack = jnp.where(near, x * (q - s - s * q), value - x)
    return value, excess, lack


@log1p_terms.defjvp
def _log1p_terms_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    value, excess, lack = log1p_terms(x)
    slope = dx / (1 + x)
    return (value, excess, lack), (slope, value * dx, -x * slope)


def stirling(inverse: Array, order: int = 0) -> Array:
    """The series of log gamma (order 0), or of minus digamma (order 1), by 1/x.

    `log_gamma(x) = (x - 1/2) log x - x + log(2 pi)/2 + stirling(1/x)` and
    `digamma(x) = log x - 1/(2x) - stirling(1/x, 1)`, for x >= 8.
    """
    k = np.arange(1, 1 + _TERMS[inverse.dtype.itemsize])
    series = _BERNOULLI[: k.size] / (2 * k * (1 if order else 2 * k - 1))
    value = polynomial(inverse * inverse, tuple(series)) * inverse
    return value * inverse if order else value


def rise(x: Array) -> tuple[Array, Array, Array]:
    """Move up: `(z, product, slope)` with z >= 8.

    Where x < 8: z = x + 8, product = x (x + 1) ... (x + 7) and slope the derivative of
    that product. Elsewhere x, 1 and 0.
    """
    low = x < SHIFT
    base = jnp.where(low, x, 1.0)
    # The factors pair up: (x + i)(x + 7 - i) = y + i (7 - i) with y = x (x + 7).
    y = base * (base + 7)
    outer, inner = y * (y + 6), (y + 10) * (y + 12)
    product = outer * inner
    slope = (2 * base + 7) * ((2 * y + 6) * inner + outer * (2 * y + 22))
    z = jnp.where(low, x + SHIFT, x)
    return z, jnp.where(low, product, 1.0), jnp.where(low, slope, 0.0)


@jax.custom_jvp
def log_gamma(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log(gamma(x))`; near its roots 1 and 2 the error is absolute."""
    z, product, _ = rise(x)
    series = stirling(1 / z) + 0.5 * math.log(2 * math.pi)
    return (z - 0.5) * log(z) - z + series - log(product)


@log_gamma.defjvp
def _log_gamma_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return log_gamma(x), dx * digamma(x)


@jax.custom_jvp
def digamma(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The derivative of `log_gamma`; near its root 1.46 the error is absolute."""
    z, product, slope = rise(x)
    inverse = 1 / z
    return log(z) - 0.5 * inverse - stirling(inverse, 1) - slope / product


@digamma.defjvp
def _digamma_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return digamma(x), dx * trigamma(x)


def trigamma(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The second derivative of `log_gamma`."""
    return polygamma(1, x)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def polygamma(order: int, x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The derivative `order` >= 1 of `digamma`."""
    low = x < SHIFT
    base = jnp.where(low, x, 1.0)
    below = sum((base + i) ** -(order + 1) for i in range(SHIFT))
    inverse = 1 / jnp.where(low, x + SHIFT, x)
    k = 2 * np.arange(1, 1 + len(_BERNOULLI))
    rising = [math.prod(range(int(j) + 1, int(j) + order)) for j in k]
    series = polynomial(inverse * inverse, tuple(_BERNOULLI * rising))
    factorial = math.factorial(order)
    tail = factorial / order + inverse * (factorial / 2 + inverse * series)
    value = inverse**order * tail + jnp.where(low, factorial * below, 0.0)
    return value if order % 2 else -value


@polygamma.defjvp
def _polygamma_jvp(order, primals, tangents):
    (x,), (dx,) = primals, tangents
    return polygamma(order, x), dx * polygamma(order + 1, x)


@jax.custom_jvp
def log_gamma_ratio(k: Float[Array, "*s"], r: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log_gamma(k + r) - log_gamma(r)` for k >= 0, without cancellation.

    Both of one shape. Exact to rounding also for huge r, where it is `k log r`.
    """
    low = r < SHIFT
    up = jnp.where(low, SHIFT, 0.0).astype(r.dtype)
    base, top = r + up, k + r + up
    gain, _, _ = log1p_terms(k / base)
    value = (base - 0.5) * gain + k * (log(top) - 1)
    value = value + stirling(1 / top) - stirling(1 / base)
    small, rest = jnp.where(low, r, 1.0), jnp.where(low, k, 0.0)
    for half in (range(0, SHIFT // 2), range(SHIFT // 2, SHIFT)):
        ratio = 1.0
        for i in half:
            ratio = ratio * (1 + rest / (small + i))
        value = value - log(ratio)
    return value


@log_gamma_ratio.defjvp
def _log_gamma_ratio_jvp(primals, tangents):
    (k, r), (dk, dr) = primals, tangents
    slope = dk * digamma(k + r) + dr * _digamma_difference(k, r)
    return log_gamma_ratio(k, r), slope


@jax.custom_jvp
def _digamma_difference(k: Array, r: Array) -> Array:
    """`digamma(k + r) - digamma(r)` for k >= 0, without cancellation."""
    low = r < SHIFT
    up = jnp.where(low, SHIFT, 0.0).astype(r.dtype)
    base, top = r + up, k + r + up
    value = log1p_terms(k / base)[0] + 0.5 * k / (base * top)
    value = value + stirling(1 / base, 1) - stirling(1 / top, 1)
    small, rest = jnp.where(low, r, 1.0), jnp.where(low, k, 0.0)
    return value + sum(rest / ((small + i) * (small + rest + i)) for i in range(SHIFT))


@_digamma_difference.defjvp
def _digamma_difference_jvp(primals, tangents):
    (k, r), (dk, dr) = primals, tangents
    high = trigamma(k + r)
    return _digamma_difference(k, r), (dk + dr) * high - dr * trigamma(r)


def _split(x: Array) -> tuple[Array, Array]:
    """`x = 2^exponent (1 + rest)` with `1 + rest` in [sqrt(1/2), sqrt 2)."""
    integer, width = _BITS[x.dtype.itemsize]
    bits = lax.bitcast_convert_type(x, integer)
    root = np.sqrt(np.asarray(0.5, x.dtype)).view(np.dtype(integer))
    exponent = (bits - jnp.asarray(root, integer)) >> width
    mantissa = lax.bitcast_convert_type(bits - (exponent << width), x.dtype)
    return exponent.astype(x.dtype), mantissa - 1


def _atanh_tail(square: Array) -> Array:
    """`atanh(s)/s - 1` by `s^2`."""
    return square * polynomial(square, _ATANH[square.dtype.itemsize])
