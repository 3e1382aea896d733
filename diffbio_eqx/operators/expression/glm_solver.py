"""Solvers of the negative binomial GLM: R's iterations, and a safeguarded Newton."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffbio_eqx._special import log
from diffbio_eqx.operators.expression.bounded_quasi_newton import minimise_like_r
from diffbio_eqx.operators.expression.gene_blocks import iterate_genes, map_genes
from diffbio_eqx.operators.expression.glm_steps import (
    Coefs,
    Evaluation,
    FitRules,
    Genes,
    Observed,
    Table,
    Weights,
    best_likelihood,
    evaluate,
    fisher_step,
    least_squares_start,
    log_means,
    weighted,
)
from diffbio_eqx.operators.expression.nb_likelihood import loss_of_log_mean
from diffbio_eqx.operators.expression.small_cholesky import SmallCholesky, pair_indices

NO_FLOOR = -1e4
"""Logarithm of a mean so small that no mean is below it."""

Flags = Bool[Array, " genes"]


class Problem(NamedTuple):
    """What is fitted, for all genes; made of no tracer that is differentiated."""

    counts: Table
    scale: Float[Array, "samples _"]
    matrix: Float[Array, "samples coefs"]
    dispersion: Genes
    weights: Weights

    def by_gene(self) -> dict[str, Array]:
        """The parts that have a gene axis."""
        genes = self.counts.shape[1]
        return {
            name: part
            for name, part in self._asdict().items()
            if name != "matrix" and part is not None and part.shape[-1] == genes
        }

    def columns(self) -> dict[str, Array]:
        """What has a gene axis."""
        columns = self.by_gene()
        if "scale" in columns:
            columns["log_scale"] = log(columns.pop("scale"))
        return columns

    def observed(self, columns: dict[str, Array]) -> Observed:
        """The data of the genes of a block of `columns`."""
        log_scale = columns.get("log_scale")
        return Observed(
            columns["counts"],
            log(self.scale) if log_scale is None else log_scale,
            columns["dispersion"],
            self.matrix,
            columns.get("weights", self.weights),
        )


class Solution(NamedTuple):
    """Coefficients found, and how.

    - `last`: where reweighting ended, from which R takes the leverages.
    - `plain`: genes fitted without the floor of the means.
    """

    coefficients: Coefs
    last: Coefs
    converged: Flags
    plain: Flags
    iterations: Int[Array, " genes"]


def solve(problem: Problem, active: Flags, rules: FitRules) -> Solution:
    """Fit the genes that are `active`; the others keep their start."""
    start = map_genes(
        lambda block: _start(problem, block), {**problem.columns(), "active": active}
    )
    if rules.solver == "exact":
        found = _newton(problem, start, active, rules)
        beta, rounds, done = found.beta, found.rounds, found.converged | ~active
        plain, last = jnp.zeros_like(active), beta
    else:
        best = map_genes(
            lambda block: best_likelihood(problem.observed(block)), problem.columns()
        )
        state = _reweight(problem, start, best, active, rules)
        failed = active & ~state.converged
        beta, known = _fall_back(problem, start, best, state, failed, rules)
        beta = jnp.where(failed, beta, state.beta)
        done = state.converged | known | ~active
        rounds = jnp.where(failed, rules.rounds, state.rounds)
        plain, last = failed, state.beta
    return Solution(beta, last, done, plain, rounds)


def _start(problem: Problem, block: dict[str, Array]) -> Coefs:
    scale = jnp.exp(block["log_scale"]) if "log_scale" in block else problem.scale
    return least_squares_start(block["counts"], scale, problem.matrix)


class _Reweighting(NamedTuple):
    beta: Coefs
    lost: Genes
    rounds: Int[Array, " genes"]
    running: Flags
    converged: Flags


def _reweight(
    problem: Problem, start: Coefs, best: Genes, active: Flags, rules: FitRules
) -> _Reweighting:
    """DESeq2's loop: it ends where the deviance changes by less than `tolerance`."""
    dtype = start.dtype
    tolerance = max(rules.tolerance, 8 * float(jnp.finfo(dtype).eps))
    columns = {**problem.columns(), "best": best}

    def step(state: _Reweighting, block: dict[str, Array]) -> _Reweighting:
        beta, lost = fisher_step(state.beta, problem.observed(block), rules)
        change = 2 * jnp.abs(lost - state.lost)
        size = 2 * jnp.abs(block["best"] - lost) + 0.1
        converged = (state.rounds >= 2) & (change / size < tolerance)
        good = jnp.isfinite(lost) & (jnp.abs(beta) <= rules.largest).all(0)
        going = state.running & ~converged & good & (state.rounds < rules.rounds)
        return _Reweighting(
            jnp.where(going, beta, state.beta),
            jnp.where(state.running, lost, state.lost),
            state.rounds + going.astype(jnp.int32),
            going,
            jnp.where(state.running, converged, state.converged),
        )

    zeros = jnp.zeros_like(problem.dispersion)
    state = _Reweighting(
        start, zeros, zeros.astype(jnp.int32), active, jnp.zeros_like(active)
    )
    state = iterate_genes(
        step, lambda s: s.running, state, columns, rounds=rules.rounds + 1
    )
    # R calls a fit that took all the rounds not converged, whatever its last change.
    return state._replace(converged=state.converged & (state.rounds < rules.rounds))


def _fall_back(
    problem: Problem,
    start: Coefs,
    best: Genes,
    state: _Reweighting,
    failed: Flags,
    rules: FitRules,
) -> tuple[Coefs, Flags]:
    """What R's optimiser makes of the genes whose iterations failed.

    It works on log2 coefficients without the floor of the means. It starts where the
    iterations ended; or, where that is out of its bounds, at the least squares start,
    whose natural logarithms R takes for log2 ones.
    """
    log2 = math.log(2.0)
    usable = (state.rounds == rules.rounds) & jnp.isfinite(state.lost)
    usable = usable & (jnp.abs(state.beta) < rules.largest * log2).all(0)
    start = jnp.where(usable, state.beta / log2, start)
    coefs = start.shape[0]
    penalty = rules.ridge * log2**2
    constant = 0.5 * coefs * math.log(2 * math.pi / penalty)

    def objective(points: Coefs, gene: dict[str, Array]) -> Float[Array, " points"]:
        one = {name: x[..., None] for name, x in gene.items()}
        data = problem.observed(one)
        log_mean = log_means(log2 * points, data)
        lost = loss_of_log_mean(data.counts, log_mean, data.dispersion)
        return (
            weighted(lost, data.weights).sum(0)
            - one["best"]
            + constant
            + penalty / 2 * (points**2).sum(0)
        )

    columns = {**problem.columns(), "best": best}
    found, converged = minimise_like_r(objective, start, columns, failed, rules.largest)
    return log2 * found, converged


class _Newton(NamedTuple):
    beta: Coefs
    trial: Coefs
    at: Evaluation
    gain: Genes
    damping: Genes
    rounds: Int[Array, " genes"]
    running: Flags
    converged: Flags


_NEWTON_ROUNDS = 200


def _newton(problem: Problem, start: Coefs, active: Flags, rules: FitRules) -> _Newton:
    """Maximum of what `evaluate` gives, by Newton's steps.

    A step that fails is damped more; small ones are taken as they are. The function is
    concave and falls without bound, so there is one maximum.
    """
    eps = float(jnp.finfo(start.dtype).eps)
    rows, diagonal = pair_indices(start.shape[0])
    own = (rows == diagonal)[:, None]
    low = math.log(rules.min_mean)

    def step(state: _Newton, block: dict[str, Array]) -> _Newton:
        data = problem.observed(block)
        floor = jnp.full_like(data.dispersion, low)
        new = evaluate(state.trial, data, floor, rules.ridge)
        slack = 64 * eps * (jnp.abs(new.value) + 1)
        better = (new.value >= state.at.value - slack) | (state.gain < eps**0.5)
        better = better & jnp.isfinite(new.gradient).all(0)
        accept = state.running & better
        keep = lambda x, y: jnp.where(accept, x, y)
        at = jax.tree.map(keep, new, state.at)
        beta = keep(state.trial, state.beta)
        damping = jnp.where(better, state.damping / 16, 8 * state.damping + 1e-2)
        damped = at.information * jnp.where(own, 1 + damping, 1.0)
        move = SmallCholesky.of(damped, beta.shape[0]).solve(at.gradient)
        gain = (at.gradient * move).sum(0)
        small = gain <= 0.1 * eps * (jnp.abs(at.value) + 1)
        converged = better & small & (damping < 0.1)
        rounds = state.rounds + state.running.astype(jnp.int32)
        going = state.running & ~converged & (rounds < _NEWTON_ROUNDS)
        return _Newton(
            jnp.where(state.running & converged, beta + move, beta),
            jnp.where(going, beta + move, state.trial),
            at,
            jnp.where(state.running, gain, state.gain),
            jnp.where(state.running, damping, state.damping),
            rounds,
            going,
            jnp.where(state.running, converged, state.converged),
        )

    zeros = jnp.zeros_like(problem.dispersion)
    state = _Newton(
        start,
        start,
        Evaluation(
            jnp.full_like(zeros, -jnp.inf),
            jnp.zeros_like(start),
            jnp.zeros((rows.size, zeros.size), zeros.dtype),
        ),
        jnp.full_like(zeros, jnp.inf),
        zeros,
        zeros.astype(jnp.int32),
        active,
        jnp.zeros_like(active),
    )
    return iterate_genes(
        step, lambda s: s.running, state, problem.columns(), rounds=_NEWTON_ROUNDS
    )


def only_intercept(matrix: Float[Array, "samples coefs"]) -> Bool[Array, ""]:
    """Whether the design is a single column of ones."""
    if matrix.shape[1] != 1:
        return jnp.zeros((), bool)
    return (lax.stop_gradient(matrix) == 1).all()
