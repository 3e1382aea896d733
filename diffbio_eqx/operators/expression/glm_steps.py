"""Pieces of the negative binomial GLM: means, log likelihood, estimating equations.

log mu = log n + X beta for counts K, scale n and dispersion alpha. DESeq2 holds mu at
`min_mean` (0.5) inside its iterations. Its fixed point is then that of a concave
function: below the floor the log likelihood is continued by the parabola

    l(log mu) = l(log floor) + slope u - u^2 W / 2,   u = log mu - log floor,

with the slope and the Fisher weight W = floor / (1 + alpha floor) at the floor.
"""

import dataclasses
import math
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from diffbio_eqx._special import log
from diffbio_eqx._typing import Natural
from diffbio_eqx.operators.expression.nb_likelihood import loss, saturated
from diffbio_eqx.operators.expression.small_cholesky import (
    SmallCholesky,
    pair_indices,
    pair_products,
)

Table = Float[Array, "samples genes"]
Genes = Float[Array, " genes"]
Coefs = Float[Array, "coefs genes"]
Weights = Float[Array, "samples _"] | None

NATURAL_RIDGE = 1e-6 / math.log(2.0) ** 2
"""DESeq2's ridge, 1e-6 for log2 coefficients, in natural units."""


@dataclasses.dataclass(frozen=True)
class FitRules:
    """How a fit is made; the defaults are DESeq2's.

    - `solver`: "deseq2" stops as R does; "exact" goes on to the fixed point.
    - `min_mean`: mu is held at this or above in the iterations.
    - `tolerance`: of the deviance, relative. `rounds`: the most iterations.
    - `ridge`: penalty `ridge / 2 * beta^2` of natural coefficients.
    - `largest`: a coefficient beyond this (natural) stops the iterations, and bounds
      the fall-back (log2).
    """

    solver: str = "deseq2"
    min_mean: float = 0.5
    tolerance: float = 1e-8
    rounds: int = 100
    ridge: float = NATURAL_RIDGE
    largest: float = 30.0


class Observed(NamedTuple):
    """What a fit is made of, for a block of genes.

    `log_scale` (samples, genes or 1), `weights` (samples, genes or 1) or None.
    """

    counts: Table
    log_scale: Float[Array, "samples _"]
    dispersion: Genes
    matrix: Float[Array, "samples coefs"]
    weights: Weights


def weighted(x: Table, weights: Weights) -> Table:
    """w x, or x without weights."""
    return x if weights is None else weights * x


def log_means(beta: Coefs, data: Observed) -> Table:
    """log n + X beta."""
    return data.log_scale + data.matrix @ beta


def slopes(mean: Table, data: Observed) -> tuple[Table, Table]:
    """Derivative of log NB to log mu, (K - mu) / (1 + a mu), and Fisher weight."""
    spread = 1 + data.dispersion * mean
    return (data.counts - mean) / spread, mean / spread


def curvature(mean: Table, data: Observed) -> Table:
    """Observed information of log mu: mu (1 + a K) / (1 + a mu)^2."""
    spread = data.dispersion * mean
    return mean * (1 + data.dispersion * data.counts) / (1 + spread) ** 2


class Evaluation(NamedTuple):
    """The function whose maximum is sought, its gradient and minus its Hessian."""

    value: Genes
    gradient: Coefs
    information: Float[Array, "pairs genes"]


def evaluate(
    beta: Coefs, data: Observed, floor: Float[Array, "*genes"], ridge: Natural
) -> Evaluation:
    """Log likelihood, up to a constant, minus the penalty; with derivatives to beta.

    `floor`: logarithm of the mean below which the parabola is used.
    """
    log_mean = log_means(beta, data)
    is_below = log_mean < floor
    held = jnp.where(is_below, floor, log_mean)
    mean = jnp.exp(held)
    below = log_mean - held
    slope, fisher = slopes(mean, data)
    value = below * (slope - fisher * below / 2) - loss(
        data.counts, mean, data.dispersion
    )
    value = weighted(value, data.weights).sum(0) - ridge / 2 * (beta**2).sum(0)
    slope = weighted(slope - fisher * below, data.weights)
    bend = jnp.where(is_below, fisher, curvature(mean, data))
    return Evaluation(
        value,
        data.matrix.T @ slope - ridge * beta,
        gram(data.matrix, weighted(bend, data.weights), ridge),
    )


def gram(
    matrix: Float[Array, "samples coefs"], weight: Table, ridge: Natural = 0.0
) -> Float[Array, "pairs genes"]:
    """X' diag(weight) X + ridge I, packed."""
    rows, columns = pair_indices(matrix.shape[1])
    diagonal = jnp.asarray(rows == columns, weight.dtype)[:, None]
    return pair_products(matrix) @ weight + ridge * diagonal


def fisher_step(beta: Coefs, data: Observed, rules: FitRules) -> tuple[Coefs, Genes]:
    """One round of iteratively reweighted least squares, and the loss before it.

    beta + (X' W X + ridge)^-1 (X' W (z - X beta) - ridge beta), the same as R's
    (X' W X + ridge)^-1 X' W z but with an error that vanishes at the fixed point.
    """
    log_mean = log_means(beta, data)
    held = jnp.maximum(log_mean, math.log(rules.min_mean))
    mean = jnp.exp(held)
    slope, fisher = slopes(mean, data)
    lost = likelihood_loss(mean, data)
    residual = weighted(slope + fisher * (held - log_mean), data.weights)
    gradient = data.matrix.T @ residual - rules.ridge * beta
    packed = gram(data.matrix, weighted(fisher, data.weights), rules.ridge)
    step = SmallCholesky.of(packed, data.matrix.shape[1]).solve(gradient)
    return beta + step, lost


def best_likelihood(data: Observed) -> Genes:
    """Log likelihood at mu = K."""
    terms = saturated(data.counts, data.dispersion)
    return weighted(terms, data.weights).sum(0)


def likelihood_loss(mean: Table, data: Observed) -> Genes:
    """`best_likelihood` minus the log likelihood at mu."""
    terms = loss(data.counts, mean, data.dispersion)
    return weighted(terms, data.weights).sum(0)


def least_squares_start(
    counts: Table, scale: Float[Array, "samples _"], matrix: Float[Array, "s c"]
) -> Coefs:
    """Coefficients of least squares of log(K / n + 0.1)."""
    q, r = jnp.linalg.qr(matrix)
    return solve_triangular(r, q.T) @ log(counts / scale + 0.1)
