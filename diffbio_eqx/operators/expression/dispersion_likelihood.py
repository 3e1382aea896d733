"""The likelihood that dispersions maximise: Cox-Reid profile, with a prior or not."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from diffbio_eqx._special import log
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.distributions.negative_binomial import overdispersion
from diffbio_eqx.operators.expression.gene_blocks import map_genes
from diffbio_eqx.operators.expression.small_cholesky import (
    SmallCholesky,
    pair_indices,
    pair_products,
)

Genes = Float[Array, " genes"]


class DispersionProblem(NamedTuple):
    """What the likelihood of the dispersions of many genes depends on.

    - `counts`, `means` (samples, genes); `weights` (samples, 1 or genes) or None.
    - `pairs` (pairs, samples): products of two columns of the design, packed.
    - `prior_mean` (genes,), `prior_variance` () or (genes,): of log dispersion, or
      None.
    """

    counts: Float[Array, "samples genes"]
    means: Float[Array, "samples genes"]
    pairs: Float[Array, "pairs samples"]
    weights: Float[Array, "samples _"] | None
    prior_mean: Genes | None = None
    prior_variance: Float[Array, "*genes"] | None = None

    def by_gene(self) -> dict[str, Array]:
        """The parts with a gene axis, to be cut into blocks."""
        parts = {"counts": self.counts, "means": self.means}
        if self.prior_mean is not None:
            parts["prior_mean"] = self.prior_mean
        if self.prior_variance is not None and self.prior_variance.ndim:
            parts["prior_variance"] = self.prior_variance
        if self.weights is not None and self.weights.shape == self.counts.shape:
            parts["weights"] = self.weights
        return parts


def dispersion_problem(
    table: GeneTable,
    means: Float[Array, "samples genes"],
    prior_mean: Genes | None = None,
    prior_variance: Float[Array, "*genes"] | None = None,
) -> DispersionProblem:
    """The problem of a table with these means; harmless in genes not tested."""
    tested = table.tested
    pairs = pair_products(jnp.asarray(table.design.matrix))
    if prior_mean is not None:
        prior_mean = jnp.where(tested, prior_mean, 0.0)
    return DispersionProblem(
        jnp.where(tested, table.counts, 1.0),
        jnp.where(tested, means, 1.0),
        pairs,
        table.observation_weights,
        prior_mean,
        prior_variance,
    )


def log_posterior(
    log_dispersion: Genes, problem: DispersionProblem
) -> tuple[Genes, Genes]:
    """The log posterior and its slope, by log dispersion.

    With W = diag(w mu / (1 + alpha mu)) and the sum over samples of weight w,

        sum_j w_j [log NB(K_j; mu_j, alpha) - log Poisson(K_j; mu_j)]
            - log det(X' W X) / 2 - (log alpha - prior mean)^2 / (2 prior variance).

    The Poisson part does not depend on alpha; without it no digits are lost, so that
    differences are right to 1e-7 in float32. The columns of X that are zero in all
    samples of positive weight are left out of the determinant.
    """
    value, slope = overdispersion(problem.counts, problem.means, log_dispersion)
    value, slope = _total(problem, value), _total(problem, slope)
    half, half_slope = _half_log_determinant(log_dispersion, problem)
    value, slope = value - half, slope - half_slope
    if problem.prior_mean is not None:
        assert problem.prior_variance is not None
        off = log_dispersion - problem.prior_mean
        value = value - 0.5 * off * off / problem.prior_variance
        slope = slope - off / problem.prior_variance
    return value, slope


def constant_part(problem: DispersionProblem) -> Genes:
    """What R's log likelihood has more than `log_posterior`: minus the sum of mu.

    R leaves out the terms that are constant in alpha; one of its rules is relative to
    the value, so this matters.
    """
    return -_total(problem, problem.means)


@jax.custom_jvp
def at_optimum(
    log_dispersion: Genes, problem: DispersionProblem, free: Bool[Array, " genes"]
) -> Genes:
    """`log_dispersion`, with the derivatives of a maximum of the log posterior.

    `d log alpha = -(d slope / d problem) / (d slope / d log alpha)` for genes that are
    `free`; 0 for others and where the posterior is not concave.
    """
    return log_dispersion


@at_optimum.defjvp
def _at_optimum_jvp(primals, tangents):
    start, problem, free = primals
    place = at_optimum(start, problem, free)
    change = tangents[1]
    columns = (place, free, problem.by_gene(), change.by_gene())

    def one_block(block):
        place, free, here, moved = block
        here, moved = problem._replace(**here), change._replace(**moved)
        by_problem = lambda p: log_posterior(place, p)[1]
        _, push = jax.jvp(by_problem, (here,), (moved,))
        by_place = lambda x: log_posterior(x, here)[1]
        _, bend = jax.jvp(by_place, (place,), (jnp.ones_like(place),))
        use = free & (bend < 0)
        return jnp.where(use, -push / jnp.where(use, bend, 1.0), 0.0)

    return place, map_genes(one_block, columns)


def _half_log_determinant(
    log_dispersion: Genes, problem: DispersionProblem
) -> tuple[Genes, Genes]:
    """`log det(X' W X) / 2` and its slope."""
    pairs = problem.pairs
    coefs = (math.isqrt(8 * pairs.shape[0] + 1) - 1) // 2
    weights = problem.weights
    if weights is None or weights.shape[1] == 1:
        rows = pairs if weights is None else pairs * weights[:, 0]
        product = lambda entries: _product(rows, entries)
    else:
        product = lambda entries: _product(pairs, weights * entries)
    dispersion = jnp.exp(log_dispersion)
    weight = problem.means / (1 + dispersion * problem.means)
    packed = product(weight)
    change = -dispersion * product(weight * weight)
    first, second = pair_indices(coefs)
    empty = (first == second)[:, None] & (packed <= 0)
    packed = jnp.where(empty, 1.0, packed)

    def half(packed):
        lower = SmallCholesky.of(packed, coefs).lower
        return sum(log(lower[i, i]) for i in range(coefs))

    return jax.jvp(half, (packed,), (change,))


def _total(problem: DispersionProblem, entries: Float[Array, "samples genes"]) -> Genes:
    """The weighted sum over samples."""
    weights = problem.weights
    row = jnp.ones((1, entries.shape[0]), entries.dtype)
    if weights is not None and weights.shape[1] == 1:
        row = weights.T
    elif weights is not None:
        entries = weights * entries
    return _product(row, entries)[0]


def _product(rows: Array, entries: Array) -> Array:
    """A sum over samples as a matrix product: a reduction would not be vectorised."""
    return jnp.matmul(rows, entries, precision=lax.Precision.HIGHEST)
