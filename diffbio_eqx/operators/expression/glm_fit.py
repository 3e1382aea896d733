"""Fit of the negative binomial GLM of every gene, with implicit gradients."""

import math
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffbio_eqx._checks import require_choice, require_range
from diffbio_eqx._special import log
from diffbio_eqx.operators.expression.gene_blocks import map_genes
from diffbio_eqx.operators.expression.glm_solver import (
    NO_FLOOR,
    Problem,
    only_intercept,
    solve,
)
from diffbio_eqx.operators.expression.glm_steps import (
    FitRules,
    evaluate,
    weighted,
)
from diffbio_eqx.operators.expression.small_cholesky import SmallCholesky, pair_indices

Genes = Float[Array, " genes"]
Flags = Bool[Array, " genes"]


class GLMFit(eqx.Module):
    """Coefficients of every gene and how they were found.

    - `coefficients` (coefs, genes): natural logarithms.
    - `means` (samples, genes): mu = n exp(X beta), not below the floor (0.5).
    - `converged`, `iterations` (genes,): R's `betaConv` and `betaIter`.
    - `fell_back` (genes,): R's iterations failed; the bounded optimum without the
      floor stands in, as R's `optim` does.
    - `last` (coefs, genes): where the iterations ended; other than `coefficients` only
      for genes that fell back.
    """

    coefficients: Float[Array, "coefs genes"]
    means: Float[Array, "samples genes"]
    converged: Flags
    iterations: Int[Array, " genes"]
    fell_back: Flags
    last: Float[Array, "coefs genes"]


def fit_glm(
    counts: Float[Array, "samples genes"],
    scale: Float[Array, "samples _"],
    matrix: Float[Array, "samples coefs"],
    dispersion: Genes,
    *,
    weights: Float[Array, "*observations"] | None = None,
    active: Flags | None = None,
    rules: FitRules = FitRules(),  # noqa: B008
) -> GLMFit:
    """Fit log mu = log n + X beta to counts K of variance mu + alpha mu^2.

    Iteratively reweighted least squares with R's rules: start from least squares of
    log(K / n + 0.1), a ridge of 1e-6 on log2 coefficients, mu held at 0.5 or above,
    until the deviance changes by less than 1e-8 (relative). Genes that need 100 rounds
    or leave |beta| <= 30 are fitted again without the floor in a box of 30 log2 units.
    A design of one column of ones has the closed form log(mean(K / n)), as in R.

    With `rules.solver == "exact"` every gene is brought to the fixed point itself, by
    Newton's method; R stops a little before.

    **Arguments:** `counts` K; `scale` n (samples, genes) or (samples, 1); `matrix` X of
    full rank; `dispersion` alpha > 0; `weights` of samples, (samples,), or of
    counts, (samples, genes); `active`: genes to fit, the others keep their start and
    have no gradient.

    **Gradients** to counts, scale, matrix, dispersion and weights are implicit, with
    the observed information; 0 for genes that did not converge, or for which R's
    optimiser stopped away from the optimum.
    """
    if weights is not None and weights.ndim == 1:
        weights = weights[:, None]
    active = jnp.ones(counts.shape[1], bool) if active is None else active
    counts = jnp.where(active, counts, 1.0)
    dispersion = jnp.where(active, dispersion, 1.0)
    problem = Problem(counts, scale, matrix, dispersion, weights)
    closed = only_intercept(matrix)
    still = jax.tree.map(lax.stop_gradient, problem)
    found = solve(still, active & ~closed, rules)
    coefficients, last, rounds = found.coefficients, found.last, found.iterations
    converged, plain = found.converged, found.plain
    if matrix.shape[1] == 1:
        mean = _scaled_mean(still)
        coefficients = jnp.where(closed, log(mean), coefficients)
        last = jnp.where(closed, coefficients, last)
        rounds = jnp.where(closed, 1, rounds)
        converged, plain = converged | closed, plain & ~closed
    known = active & converged
    state = _State(plain, known, closed)
    coefficients = _at_optimum(rules, coefficients, problem, state)
    logs = log(scale) + matrix @ coefficients
    largest = math.log(float(jnp.finfo(logs.dtype).max)) / 2
    means = jnp.exp(jnp.clip(logs, math.log(rules.min_mean), largest))
    return GLMFit(coefficients, means, converged, rounds, plain, last)


def fit_rules(
    solver: str = "deseq2",
    min_mean: float = 0.5,
    tolerance: float = 1e-8,
    rounds: int = 100,
) -> FitRules:
    """Checked `FitRules`."""
    require_choice("solver of the GLM", solver, ("deseq2", "exact"))
    require_range("min_mean", min_mean, 0.0, open_low=True)
    require_range("tolerance", tolerance, 0.0, open_low=True)
    require_range("rounds", rounds, 1)
    return FitRules(solver, float(min_mean), float(tolerance), int(rounds))


_SOLVED = 1e-4
"""A fit that Newton's step would raise by more than half of this is no optimum."""


class _State(NamedTuple):
    plain: Flags
    known: Flags
    closed: Bool[Array, ""]


def _scaled_mean(problem: Problem) -> Genes:
    """Mean of K / n, not below the smallest positive number."""
    scaled, weights = problem.counts / problem.scale, problem.weights
    total = 1.0 * scaled.shape[0] if weights is None else weights.sum(0)
    mean = weighted(scaled, weights).sum(0) / total
    return jnp.maximum(mean, float(jnp.finfo(mean.dtype).tiny))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _at_optimum(
    rules: FitRules, beta: Array, problem: Problem, state: _State
) -> Float[Array, "coefs genes"]:
    """`beta`, with the derivatives of a solution of the estimating equations."""
    return beta


@_at_optimum.defjvp
def _at_optimum_jvp(rules, primals, tangents):
    """H d beta = d score, H the observed information, in blocks of genes."""
    start, problem, state = primals
    beta = _at_optimum(rules, start, problem, state)
    change = tangents[1]
    columns = {
        "beta": beta,
        "plain": state.plain,
        "known": state.known,
        "data": problem.by_gene(),
        "change": change.by_gene(),
    }

    def one_block(block):
        here = problem._replace(**block["data"])
        moved = change._replace(**block["change"])
        known = block["known"]
        beta = jnp.where(known, block["beta"], 0.0)
        floor = jnp.where(block["plain"], NO_FLOOR, math.log(rules.min_mean))
        floor = floor.astype(beta.dtype)
        equations = lambda p: _equations(p, beta, floor, state.closed, rules)
        (left, bend), (slope, _) = jax.jvp(equations, (here,), (moved,))
        rows, diagonal = pair_indices(beta.shape[0])
        unit = jnp.asarray(rows == diagonal, beta.dtype)[:, None]
        root = SmallCholesky.of(jnp.where(known, bend, unit), beta.shape[0])
        # R's optimiser may stop where the equations do not hold.
        gain = lax.stop_gradient((left * root.solve(left)).sum(0))
        known = known & (~block["plain"] | (gain < _SOLVED))
        return jnp.where(known, root.solve(slope), 0.0)

    return beta, map_genes(one_block, columns)


def _equations(problem, beta, floor, closed, rules):
    """What is zero at the solution, and minus its derivative to beta, packed."""
    here = evaluate(beta, problem.observed(problem.columns()), floor, rules.ridge)
    if beta.shape[0] > 1:
        return here.gradient, here.information
    weights = problem.weights
    excess = problem.counts / problem.scale - jnp.exp(beta)
    excess = weighted(excess, weights).sum(0, keepdims=True)
    total = 1.0 * problem.counts.shape[0] if weights is None else weights.sum(0)
    return (
        jnp.where(closed, excess, here.gradient),
        jnp.where(closed, total * jnp.exp(beta), here.information),
    )
