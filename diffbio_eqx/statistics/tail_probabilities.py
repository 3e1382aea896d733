"""Logarithms of tail probabilities, right where the probability itself underflows."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import betainc, log_ndtr
from jaxtyping import Array, Float

from diffbio_eqx._numerics import safe_sqrt
from diffbio_eqx._special import log_gamma_ratio

_TERMS = 60
_SERIES_BELOW = 0.1


def log_normal_tail(z: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """log P(Z > z) of a standard normal variable."""
    return log_ndtr(-z)


@jax.custom_jvp
def log_t_tail(
    t: Float[Array, "*s"], freedom: Float[Array, "*#s"]
) -> Float[Array, "*s"]:
    """log P(T > t) of Student's t with `freedom` > 0 degrees of freedom.

    No gradient to `freedom`. The lower half follows from symmetry. The upper tail is
    half the regularised incomplete beta function I_x(f/2, 1/2) at x = f / (f + t^2):
    for x < 0.1 by its power series in logarithms, otherwise by `betainc`.
    """
    freedom = jnp.broadcast_to(freedom, t.shape).astype(t.dtype)
    size = jnp.abs(t)
    half = freedom / 2
    x = freedom / (freedom + size * size)
    far = x < _SERIES_BELOW
    log_x = -jnp.log1p(jnp.where(far, size * size, 0.0) / freedom)
    constant = log_gamma_ratio(jnp.zeros_like(half) + 0.5, half) - 0.5 * math.log(
        math.pi
    )
    series = _beta_series(half, jnp.where(far, x, 0.0))
    in_series = half * log_x + constant + jnp.log(series)
    near = betainc(half, jnp.zeros_like(half) + 0.5, jnp.where(far, 0.5, x))
    upper = jnp.where(far, in_series, jnp.log(near)) - math.log(2.0)
    return jnp.where(t >= 0, upper, jnp.log1p(-jnp.exp(jnp.minimum(upper, -0.6))))


@log_t_tail.defjvp
def _log_t_tail_jvp(primals, tangents):
    t, freedom = primals
    freedom = jnp.broadcast_to(freedom, t.shape).astype(t.dtype)
    value, half = log_t_tail(t, freedom), freedom / 2
    constant = log_gamma_ratio(jnp.zeros_like(half) + 0.5, half)
    constant = constant - 0.5 * jnp.log(math.pi * freedom)
    log_density = constant - (half + 0.5) * jnp.log1p(t * t / freedom)
    return value, -jnp.exp(log_density - value) * tangents[0]


def _beta_series(a: Array, x: Array) -> Array:
    """sum_k (1/2)_k / k! x^k / (a + k): I_x(a, 1/2) is x^a / B(a, 1/2) times it."""

    def add(k, carry):
        total, factor = carry
        k = jnp.asarray(k, x.dtype)
        factor = factor * (k - 0.5) / k * x
        return total + factor / (a + k), factor

    start = (1 / a, jnp.ones_like(x))
    return lax.fori_loop(1, _TERMS, add, start)[0]


def log_chi2_tail(x: Float[Array, "*s"], freedom: int) -> Float[Array, "*s"]:
    """log P(X > x) of a chi-square variable with a whole number of degrees of freedom.

    For even f, `exp(-y) sum_{i < f/2} y^i / i!` with y = x / 2; for odd f,
    `2 P(Z > sqrt x) + exp(-y) sum_{i=1}^{(f-1)/2} y^(i - 1/2) / Gamma(i + 1/2)`. All
    terms are positive and are added in logarithms.
    """
    inside = x > 0
    y = jnp.where(inside, x, 1.0) / 2
    log_y = jnp.log(y)
    terms = []
    if freedom % 2:
        terms.append(math.log(2.0) + log_normal_tail(safe_sqrt(2 * y)))
    offset = 0.5 if freedom % 2 else 0.0
    for i in range(freedom % 2, (freedom - 1) // 2 + 1):
        power = i - offset
        terms.append(power * log_y - y - math.lgamma(power + 1))
    total = terms[0]
    for term in terms[1:]:
        total = jnp.logaddexp(total, term)
    return jnp.where(inside, jnp.minimum(total, 0.0), 0.0)


def f_quantile(probability: float, first: int, second: int) -> float:
    """The quantile of an F distribution: a number of the host, not of a trace."""
    from scipy.special import fdtri

    return float(fdtri(first, second, probability))
