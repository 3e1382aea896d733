"""The negative binomial by mean and dispersion, stable down to the Poisson limit.

`K ~ NB(mean mu, dispersion alpha)` has variance `mu + alpha mu^2`. With r = 1/alpha

    log p = log Poisson(K | mu) + excess(K, mu, alpha),
    excess = log Gamma(K + r) - log Gamma(r) - K log(mu + r) - r log(1 + mu/r) + mu.

Textbook sums of these terms lose all digits where alpha is small or counts are large.
By Stirling's series, with d = (K - mu)/(mu + r) and s its correction,

    excess = (mu + r) ((1 + d) log(1 + d) - d) - log(1 + K/r)/2 + s(K + r) - s(r),

where each term is of order one and none cancels, so float32 is enough. Below r + K = 8
the same is used after moving the argument up by 8.

Reference: C. Loader, "Fast and accurate computation of binomial probabilities", 2000,
for the deviance form; S. Anders, W. Huber, Genome Biology 2010,
10.1186/gb-2010-11-10-r106, for the model.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from diffbio_eqx import _special
from diffbio_eqx._numerics import safe_log

_SMALLEST_DISPERSION = 1e-16


def log_probability(
    counts: Float[Array, "*#s"],
    means: Float[Array, "*#s"],
    dispersion: Float[Array, "*#s"],
) -> Float[Array, "*s"]:
    """Natural log of the probability of counts, entry by entry; arguments broadcast.

    **Arguments:** `counts` K >= 0, `means` mu > 0, `dispersion` alpha >= 0. Zero gives
    the Poisson distribution, and the right derivative to alpha there.

    ```python
    log_probability(jnp.array([3.0]), jnp.array([2.5]), jnp.array([0.1]))  # -1.67
    ```
    """
    least = jnp.asarray(_SMALLEST_DISPERSION, dispersion.dtype)
    lift = lax.stop_gradient(jnp.maximum(dispersion, least) - dispersion)
    value, _ = overdispersion(counts, means, _special.log(dispersion + lift))
    return poisson_log_probability(counts, means) + value


def poisson_log_probability(
    counts: Float[Array, "*#s"], means: Float[Array, "*#s"]
) -> Float[Array, "*s"]:
    """Natural log of the Poisson probability of counts, entry by entry."""
    return counts * safe_log(means) - means - _special.log_gamma(counts + 1)


@jax.custom_jvp
def overdispersion(
    counts: Float[Array, "*#s"],
    means: Float[Array, "*#s"],
    log_dispersion: Float[Array, "*#s"],
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """What dispersion adds to the Poisson log-probability, and its slope.

    **Returns:** `excess` of the module's docstring and its derivative to
    `log_dispersion`, both by the same two logarithms.
    """
    return _terms(counts, means, log_dispersion)


@overdispersion.defjvp
def _overdispersion_jvp(primals, tangents):
    (counts, means, log_dispersion), (dcounts, dmeans, dlog) = primals, tangents
    value, slope = overdispersion(counts, means, log_dispersion)
    size = jnp.exp(-log_dispersion)
    z, inverse = counts + size, 1 / (means + size)
    lack = (means - counts) * inverse
    by_counts = _special.digamma(z) - _special.log(means + size)
    dvalue = slope * dlog + lack * dmeans + by_counts * dcounts
    of_log = lambda x: _terms(counts, means, x)[1]
    _, dslope = jax.jvp(of_log, (log_dispersion,), (dlog,))
    by_counts = size * (inverse - _special.trigamma(z))
    dslope = dslope + lack * inverse * size * dmeans + by_counts * dcounts
    return (value, slope), (dvalue, dslope)


def _terms(counts: Array, means: Array, log_dispersion: Array) -> tuple[Array, Array]:
    size = jnp.exp(-log_dispersion)
    # Else XLA computes these again for every sample of a gene.
    of_size, slope_of_size = lax.optimization_barrier(_size_terms(size))
    z, product, rate = _special.rise(counts + size)
    up = _lift(counts + size)
    total = means + size
    inverse, inverse_z, inverse_product = 1 / total, 1 / z, 1 / product
    log_ratio, excess, lack = _special.log1p_terms((counts + up - means) * inverse)
    power = z * z
    power = power * power
    power = jnp.where(up > 0, power * power * inverse_product, 1.0)
    half_log = 0.5 * _special.log(size * inverse_z * power * power)
    value = total * excess - up * log_ratio + half_log
    value = value + (_special.stirling(inverse_z) + of_size)
    slope = lack + up * inverse - rate * inverse_product
    slope = slope + (slope_of_size - _special.stirling(inverse_z, 1))
    return value, -(size * slope + 0.5 * (counts + up) * inverse_z)


def _size_terms(size: Array) -> tuple[Array, Array]:
    """`r log r - r - log Gamma(r) + log(2 pi)/2 - log(r)/2`, and a part of its slope:
    `log r - digamma(r) - 1/(2 r)`."""
    z, product, rate = _special.rise(size)
    up, inverse = _lift(size), 1 / z
    log_ratio = _special.log(jnp.where(up > 0, size * inverse, 1.0))
    value = (size - 0.5) * log_ratio - up * _special.log(z) + up
    value = value - _special.stirling(inverse) + _special.log(product)
    gap = jnp.where(up > 0, 0.5 * (inverse - 1 / size), 0.0)
    slope = log_ratio + gap + _special.stirling(inverse, 1) + rate / product
    return value, slope


def _lift(x: Array) -> Array:
    return jnp.where(x < _special.SHIFT, _special.SHIFT, 0.0).astype(x.dtype)
