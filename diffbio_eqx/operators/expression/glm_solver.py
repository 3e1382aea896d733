"""Solvers of the negative binomial GLM: R's iterations, and a safeguarded Newton."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffbio_eqx._special import log
from diffbio_eqx.operators.expression.gene_blocks import iterate_genes, map_genes
from diffbio_eqx.operators.expression.glm_steps import (
    Coefs,
    FitRules,
    Genes,
    Observed,
    Table,
    constant_terms,
    fisher_step,
    floored_terms,
    information,
    least_squares_start,
    score,
)
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
    weights: Float[Array, "samples 1"] | None

    def columns(self) -> dict[str, Array]:
        """What has a gene axis."""
        columns = {"counts": self.counts, "dispersion": self.dispersion}
        if self.scale.shape[1] == self.counts.shape[1]:
            columns["log_scale"] = log(self.scale)
        return columns

    def observed(self, columns: dict[str, Array]) -> Observed:
        """The data of the genes of a block of `columns`."""
        log_scale = columns.get("log_scale")
        if log_scale is None:
            log_scale = log(self.scale)
        return Observed(
            columns["counts"],
            log_scale,
            columns["dispersion"],
            self.matrix,
            self.weights,
        )


class Solution(NamedTuple):
    """Coefficients found, and how.

    - `last`: where reweighting ended, from which R takes the leverages.
    - `plain`: genes fitted without the floor of the means.
    - `inside`: no coefficient is held by the bounds.
    """

    coefficients: Coefs
    last: Coefs
    converged: Flags
    inside: Flags
    plain: Flags
    iterations: Int[Array, " genes"]


def solve(problem: Problem, active: Flags, rules: FitRules) -> Solution:
    """Fit the genes that are `active`; the others keep their start."""
    start = map_genes(
        lambda block: _start(problem, block), {**problem.columns(), "active": active}
    )
    if rules.solver == "exact":
        floor = jnp.full_like(problem.dispersion, math.log(rules.min_mean))
        found = _newton(problem, start, floor, active, rules)
        beta, rounds, done = found.beta, found.rounds, found.converged | ~active
        plain, last = jnp.zeros_like(active), beta
    else:
        state = _reweight(problem, start, active, rules)
        failed = active & ~state.converged
        floor = jnp.full_like(problem.dispersion, NO_FLOOR)
        found = _newton(problem, start, floor, failed, rules)
        beta = jnp.where(failed, found.beta, state.beta)
        done = state.converged | found.converged | ~active
        rounds = jnp.where(failed, rules.rounds, state.rounds)
        plain, last = failed, state.beta
    bound = rules.largest * math.log(2.0)
    inside = (jnp.abs(beta) < bound).all(0) | ~plain
    return Solution(beta, last, done, inside, plain, rounds)


def _start(problem: Problem, block: dict[str, Array]) -> Coefs:
    scale = jnp.exp(block["log_scale"]) if "log_scale" in block else problem.scale
    return least_squares_start(block["counts"], scale, problem.matrix)


class _Reweighting(NamedTuple):
    beta: Coefs
    terms: Genes
    rounds: Int[Array, " genes"]
    running: Flags
    converged: Flags


def _reweight(
    problem: Problem, start: Coefs, active: Flags, rules: FitRules
) -> _Reweighting:
    """DESeq2's loop: it ends where the deviance changes by less than `tolerance`."""
    dtype = start.dtype
    tolerance = max(rules.tolerance, 8 * float(jnp.finfo(dtype).eps))
    columns = problem.columns()
    constants = lambda b: constant_terms(b["counts"], b["dispersion"], problem.weights)
    columns["constant"] = map_genes(constants, columns)

    def step(state: _Reweighting, block: dict[str, Array]) -> _Reweighting:
        beta, terms = fisher_step(state.beta, problem.observed(block), rules)
        change = 2 * jnp.abs(terms - state.terms)
        size = 2 * jnp.abs(terms + block["constant"]) + 0.1
        converged = (state.rounds >= 2) & (change / size < tolerance)
        good = jnp.isfinite(terms) & (jnp.abs(beta) <= rules.largest).all(0)
        going = state.running & ~converged & good & (state.rounds < rules.rounds)
        return _Reweighting(
            jnp.where(going, beta, state.beta),
            jnp.where(state.running, terms, state.terms),
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


class _Newton(NamedTuple):
    beta: Coefs
    value: Genes
    damping: Genes
    rounds: Int[Array, " genes"]
    running: Flags
    converged: Flags


_NEWTON_ROUNDS = 200


def _newton(
    problem: Problem, start: Coefs, floor: Genes, active: Flags, rules: FitRules
) -> _Newton:
    """Maximum of `floored_terms` in the box |beta| <= `largest` log2 units.

    Newton's step with a damping that grows where the step fails; a coefficient at its
    bound with a gradient that points out of the box is held there.
    """
    bound = rules.largest * math.log(2.0)
    eps = float(jnp.finfo(start.dtype).eps)
    rows, diagonal = pair_indices(start.shape[0])
    own = (rows == diagonal)[:, None]

    def step(state: _Newton, block: dict[str, Array]) -> _Newton:
        data, low = problem.observed(block), block["floor"]
        beta = state.beta
        gradient = score(beta, data, low, rules.ridge)
        packed = information(beta, data, low, rules.ridge)
        held = (jnp.abs(beta) >= bound) & (gradient * beta > 0)
        gradient = jnp.where(held, 0.0, gradient)
        packed = jnp.where(~own & (held[rows] | held[diagonal]), 0.0, packed)
        packed = packed * jnp.where(own, 1 + state.damping, 1.0)
        move = SmallCholesky.of(packed, beta.shape[0]).solve(gradient)
        moved = jnp.clip(beta + move, -bound, bound)
        value = floored_terms(moved, data, low, rules.ridge)
        slack = 64 * eps * (jnp.abs(value) + 1)
        better = (value >= state.value - slack) & jnp.isfinite(moved).all(0)
        gain = (gradient * move).sum(0)
        small = gain <= jnp.maximum(1e-12, 16 * eps * (jnp.abs(value) + 1))
        converged = better & small & (state.damping < 1e-3)
        accept = state.running & better
        damping = jnp.where(better, state.damping / 16, 8 * state.damping + 1e-2)
        rounds = state.rounds + state.running.astype(jnp.int32)
        going = state.running & ~converged & (rounds < _NEWTON_ROUNDS)
        return _Newton(
            jnp.where(accept, moved, beta),
            jnp.where(accept, value, state.value),
            jnp.where(state.running, damping, state.damping),
            rounds,
            going,
            jnp.where(state.running, converged, state.converged),
        )

    zeros = jnp.zeros_like(problem.dispersion)
    state = _Newton(
        jnp.clip(start, -bound, bound),
        jnp.full_like(zeros, -jnp.inf),
        zeros,
        zeros.astype(jnp.int32),
        active,
        jnp.zeros_like(active),
    )
    columns = {**problem.columns(), "floor": floor}
    return iterate_genes(
        step, lambda s: s.running, state, columns, rounds=_NEWTON_ROUNDS
    )


def only_intercept(matrix: Float[Array, "samples coefs"]) -> Bool[Array, ""]:
    """Whether the design is a single column of ones."""
    if matrix.shape[1] != 1:
        return jnp.zeros((), bool)
    return (lax.stop_gradient(matrix) == 1).all()
