"""Size factors by alternation with a fit of means and dispersions."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from diffbio_eqx._numerics import safe_div
from diffbio_eqx._special import log, log_gamma, log_gamma_ratio
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.dispersion_prior import DispersionPrior
from diffbio_eqx.operators.expression.dispersion_trend import DispersionTrend
from diffbio_eqx.operators.expression.gene_blocks import map_genes
from diffbio_eqx.operators.expression.gene_dispersion import GeneDispersion
from diffbio_eqx.operators.expression.intercept_only import intercept_only
from diffbio_eqx.operators.expression.map_dispersion import MapDispersion
from diffbio_eqx.statistics.quantiles import quantiles

_ROUNDS, _STEPS = 10, 50
_SETTLED = 1e-4
_LEFT_OUT = 0.05
"""Part of the genes with the lowest likelihood, which do not count."""

_UNSETTLED = (
    "size factors: expected 'iterate' to settle in 10 rounds, it did not; "
    "use method 'poscounts'."
)


def iterate_size_factors(table: GeneTable) -> Float[Array, " samples"]:
    """Logarithms of size factors, of mean 0, without any gene free of zeros.

    In turn: means and dispersions of the genes with the design `~ 1` (trend "mean") at
    the present factors; then the factors of greatest likelihood at those means and
    dispersions, over the 95 % of genes with the greatest likelihood. It ends when
    `sum (change of log s)^2 < 1e-4`, as DESeq2's `estimateSizeFactorsIterate`; R's
    optimiser ends within 1e-5 of the optimum that is taken here.

    The gradient to the counts is that of the fixed point, with dispersions and the
    choice of genes held.

    **Raises:** an error at run time after 10 rounds.
    """
    still = jax.tree.map(lax.stop_gradient, intercept_only(table))

    def going(carry):
        _, _, done, settled = carry
        return (done < _ROUNDS) & ~settled

    def one_round(carry):
        old, _, done, _ = carry
        fit = _fit(still, old)
        new, genes = _most_likely(still, fit, old)
        settled = (done > 0) & (((new - old) ** 2).sum() < _SETTLED)
        return new, (fit.dispersion, genes), done + 1, settled

    samples, genes = table.counts.shape
    dtype = table.counts.dtype
    held = (jnp.ones(genes, dtype), jnp.zeros(genes, bool))
    start = (jnp.zeros(samples, dtype), held, jnp.asarray(0), jnp.zeros((), bool))
    logs, held, _, settled = lax.while_loop(going, one_round, start)
    logs = eqx.error_if(logs, ~settled, _UNSETTLED)
    return _at_fixed_point(logs, table.counts, table.weights, *held)


def _fit(table: GeneTable, logs: Array) -> GeneTable:
    """Means and dispersions at these factors."""
    table = GeneDispersion(linear_means=True)(table.with_scale(jnp.exp(logs)[:, None]))
    return MapDispersion()(DispersionPrior()(DispersionTrend("mean")(table)))


def _most_likely(table: GeneTable, fit: GeneTable, logs: Array) -> tuple[Array, Array]:
    """The factors of greatest likelihood, and the genes that count."""
    rates = fit.means / fit.scale
    dispersion = jnp.where(table.tested, fit.dispersion, 1.0)
    weights = _weights(table.counts, table.weights)

    def constant(block):
        counts, size = block
        size = jnp.broadcast_to(size, counts.shape)
        terms = log_gamma_ratio(counts, size) - log_gamma(counts + 1)
        return (weights[:, None] * terms).sum(0)

    constants = map_genes(constant, (table.counts, 1 / dispersion))

    def counting(logs):
        mean = rates * jnp.exp(logs)[:, None]
        rest = table.counts * log(jnp.where(table.tested, mean * dispersion, 1.0))
        rest = rest - (table.counts + 1 / dispersion) * jnp.log1p(mean * dispersion)
        likelihood = (weights[:, None] * rest).sum(0) + constants
        lowest = quantiles(likelihood, table.tested, jnp.full(1, _LEFT_OUT, logs.dtype))
        return table.tested & (likelihood > lowest)

    def going(carry):
        _, change, done = carry
        return (change > 1e-8) & (done < _STEPS)

    def step(carry):
        logs, _, done = carry
        mean = rates * jnp.exp(logs)[:, None]
        inside = counting(logs)
        inverse = 1 / (1 + dispersion * mean)
        total = lambda x: jnp.where(inside, x, 0.0).sum(1)
        score = total((table.counts - mean) * inverse)
        information = total(mean * (1 + dispersion * table.counts) * inverse**2)
        move = _centred_step(score, information, weights)
        move = jnp.clip(move, -1.0, 1.0)
        return logs + move, jnp.abs(move).max(), done + 1

    infinite = jnp.asarray(jnp.inf, logs.dtype)
    logs, _, _ = lax.while_loop(going, step, (logs, infinite, jnp.asarray(0)))
    logs = logs - safe_div((weights * logs).sum(), weights.sum())
    return logs, counting(logs)


def _centred_step(score: Array, information: Array, weights: Array) -> Array:
    """The Newton step of a diagonal problem that keeps the weighted mean."""
    level = safe_div(weights, information)
    shared = safe_div((level * score).sum(), level.sum())
    return safe_div(score - shared, information)


def _weights(counts: Array, weights: Array | None) -> Array:
    return jnp.ones(counts.shape[0], counts.dtype) if weights is None else weights


@jax.custom_jvp
def _at_fixed_point(
    logs: Array, counts: Array, weights: Array | None, dispersion: Array, inside: Array
) -> Array:
    """The factors themselves, with the derivative of the fixed point.

    There `sum_i (K_ij - q_i s_j) / (1 + alpha_i q_i s_j)` is the same for all samples,
    with `q_i` the mean of `K_ij / s_j`.
    """
    return logs


def _score(logs: Array, counts: Array, weights: Array | None, alpha, inside) -> Array:
    scale = jnp.exp(logs)[:, None]
    weights = _weights(counts, weights)
    rate = (weights[:, None] * counts / scale).sum(0) / weights.sum()
    mean = rate * scale
    terms = jnp.where(inside, (counts - mean) / (1 + alpha * mean), 0.0)
    score = terms.sum(1)
    return score - (weights * score).sum() / weights.sum()


@_at_fixed_point.defjvp
def _at_fixed_point_jvp(primals, tangents):
    logs, counts, weights, dispersion, inside = primals
    moved = _tangent(logs, counts, weights, dispersion, inside, tangents[1:3])
    scale = jnp.exp(logs)[:, None]
    share = _weights(counts, weights) / _weights(counts, weights).sum()
    rate = (share[:, None] * counts / scale).sum(0)
    mean = rate * scale
    inverse = jnp.where(inside, 1 / (1 + dispersion * mean), 0.0)
    by_mean = -(1 + dispersion * counts) * inverse**2
    # By its own factor, and by all factors through the rates.
    jacobian = jnp.diag((by_mean * mean).sum(1))
    jacobian = jacobian - (by_mean * scale) @ (share[:, None] * counts / scale).T
    jacobian = jacobian - share @ jacobian
    # The mean over samples is free in the score: hold it.
    change = jnp.linalg.solve(
        jacobian - share[None, :] * jacobian.diagonal().mean(), -moved
    )
    return logs, change - (share * change).sum()


def _tangent(logs, counts, weights, dispersion, inside, tangents):
    if weights is None:
        score = lambda k: _score(logs, k, None, dispersion, inside)
        return jax.jvp(score, (counts,), (tangents[0],))[1]
    score = lambda k, w: _score(logs, k, w, dispersion, inside)
    return jax.jvp(score, (counts, weights), tuple(tangents))[1]
