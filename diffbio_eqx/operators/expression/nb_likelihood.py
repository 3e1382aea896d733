"""Log likelihood of the negative binomial as its best value minus a loss.

With mean mu, dispersion alpha and r = 1 / alpha,

    log NB(K; mu, alpha) = saturated(K, alpha) - loss(K, mu, alpha).

The loss (half the unit deviance) is 0 at mu = K and of second order there, so it has no
large parts that cancel, in float32 either. The saturated part does not depend on mu; it
is made of errors of Stirling's formula, as in C. Loader, "Fast and accurate computation
of binomial probabilities", 2000.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from diffbio_eqx._special import SHIFT, log, log1p_terms, rise, stirling

Entries = Float[Array, "#samples #genes"]
Genes = Float[Array, " #genes"]


def stirling_error(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log_gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2` for x > 0."""
    z, product, _ = rise(x)
    low = x < SHIFT
    base = jnp.where(low, x, 1.0)
    moved = (z - 0.5) * log(z) - (base - 0.5) * log(base) - log(product) - SHIFT
    return stirling(1 / z) + jnp.where(low, moved, 0.0)


def saturated(counts: Entries, dispersion: Genes) -> Entries:
    """`log NB` at mu = K; 0 where K = 0."""
    some = counts > 0
    whole = jnp.where(some, counts, 1.0)
    size = jnp.broadcast_to(1 / dispersion, whole.shape)
    errors = stirling_error(whole + size) - stirling_error(size) - stirling_error(whole)
    spread = 2 * math.pi * whole * (1 + dispersion * whole)
    return jnp.where(some, errors - 0.5 * log(spread), 0.0)


def loss(counts: Entries, mean: Entries, dispersion: Genes) -> Entries:
    """`log NB` at mu = K minus `log NB` at mu, for mu > 0.

    `(K + r) lack(a (mu - K) / (1 + a K)) - K lack((mu - K) / K)` with
    `lack(x) = log(1 + x) - x`; the second term is `mu` where K = 0.
    """
    some = counts > 0
    whole = jnp.where(some, counts, 1.0)
    excess = mean - counts
    part = jnp.where(some, mean / whole, 1.0)
    far = part < 0.5
    relative = jnp.where(some & ~far, excess / whole, 0.0)
    short = log(jnp.where(far, part, 1.0)) - (part - 1)
    lack = jnp.where(far, short, log1p_terms(relative)[2])
    own = jnp.where(some, -counts * lack, mean)
    spread = dispersion * excess / (1 + dispersion * counts)
    return own + (counts + 1 / dispersion) * log1p_terms(spread)[2]


def loss_of_log_mean(counts: Entries, log_mean: Entries, dispersion: Genes) -> Entries:
    """`loss` for any log mu; infinite where R's `dnbinom` overflows."""
    largest = math.log(float(jnp.finfo(log_mean.dtype).max))
    whole = jnp.maximum(counts, 1.0)
    lowest = log(whole / (1 + dispersion * counts)) - largest
    valid = (log_mean < largest) & ((log_mean > lowest) | (counts == 0))
    log_mean = jnp.where(valid, log_mean, 0.0)
    own = counts * (log(whole) - log_mean)
    gain = lambda mean: log1p_terms(dispersion * mean)[0]
    both = (counts + 1 / dispersion) * (gain(jnp.exp(log_mean)) - gain(counts))
    return jnp.where(valid, own + both, jnp.inf)
