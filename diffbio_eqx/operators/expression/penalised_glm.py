"""Posterior modes of the negative binomial GLM under priors on its coefficients.

Minus the log posterior of one gene is, up to a constant,

    sum_j w_j loss(K_j, mu_j) + sum_k r_k beta_k^2 / 2 + sum_k q_k log(1 + (beta_k/S)^2)

with ridges r (normal priors) and Cauchy priors of scale S where q is 1. The Cauchy
part is not convex: there may be two modes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffbio_eqx.operators.expression.gene_blocks import iterate_genes, map_genes
from diffbio_eqx.operators.expression.glm_solver import NO_FLOOR as NO_FLOOR
from diffbio_eqx.operators.expression.glm_solver import Problem as Problem
from diffbio_eqx.operators.expression.glm_steps import (
    Coefs,
    Genes,
    Observed,
    curvature,
    gram,
    log_means,
    slopes,
    weighted,
)
from diffbio_eqx.operators.expression.nb_likelihood import loss
from diffbio_eqx.operators.expression.small_cholesky import SmallCholesky, pair_indices

Flags = Bool[Array, " genes"]
Packed = Float[Array, "pairs genes"]

_ROUNDS = 300
_REACH = 4.0


class Penalty(NamedTuple):
    """Priors: `ridge` r (coefs,), `cauchy` q (coefs,) of 0 and 1, `scale` S."""

    ridge: Float[Array, " coefs"]
    cauchy: Float[Array, " coefs"]
    scale: Float[Array, ""]

    @staticmethod
    def normal(ridge: Float[Array, " coefs"]) -> "Penalty":
        """Normal priors only."""
        return Penalty(ridge, jnp.zeros_like(ridge), jnp.ones_like(ridge[0]))

    def value(self, beta: Coefs) -> Genes:
        """Minus the log prior density, up to a constant."""
        relative = (beta / self.scale) ** 2
        cauchy = self.cauchy[:, None] * jnp.log1p(relative)
        return (self.ridge[:, None] * beta**2 / 2 + cauchy).sum(0)

    def slope(self, beta: Coefs) -> Coefs:
        """Derivative of `value`."""
        weight = 2 * self.cauchy[:, None] / (self.scale**2 + beta**2)
        return (self.ridge[:, None] + weight) * beta

    def bend(self, beta: Coefs) -> Coefs:
        """Second derivative of `value`; negative beyond S."""
        square = self.scale**2
        weight = 2 * self.cauchy[:, None] / (square + beta**2)
        return self.ridge[:, None] + weight * (square - beta**2) / (square + beta**2)

    def majorant(self, beta: Coefs) -> Coefs:
        """Second derivative of the parabola that touches `value` from above."""
        return self.ridge[:, None] + 2 * self.cauchy[:, None] / (
            self.scale**2 + beta**2
        )


class Posterior(NamedTuple):
    """Minus the log posterior, its gradient, and Hessians: its own (`bend`) and one
    that is positive definite (`safe`), packed."""

    value: Genes
    gradient: Coefs
    bend: Packed
    safe: Packed


def evaluate(beta: Coefs, data: Observed, floor: Genes, penalty: Penalty) -> Posterior:
    """At beta; below the logarithm `floor` of a mean its loss goes on as a parabola
    (see `glm_steps`)."""
    log_mean = log_means(beta, data)
    below = jnp.minimum(log_mean - floor, 0.0)
    mean = jnp.exp(log_mean - below)
    slope, fisher = slopes(mean, data)
    lost = loss(data.counts, mean, data.dispersion)
    lost = lost - below * (slope - fisher * below / 2)
    value = weighted(lost, data.weights).sum(0) + penalty.value(beta)
    slope = weighted(slope - fisher * below, data.weights)
    information = jnp.where(log_mean < floor, fisher, curvature(mean, data))
    information = gram(data.matrix, weighted(information, data.weights))
    return Posterior(
        value,
        penalty.slope(beta) - data.matrix.T @ slope,
        add_diagonal(information, penalty.bend(beta)),
        add_diagonal(information, penalty.majorant(beta)),
    )


def add_diagonal(packed: Packed, diagonal: Coefs) -> Packed:
    """Packed symmetric matrices plus diagonal ones."""
    rows, columns = pair_indices(diagonal.shape[0])
    own = jnp.asarray(rows == columns)[:, None]
    return packed + jnp.where(own, diagonal[rows], 0.0)


class Mode(NamedTuple):
    """A minimum of minus the log posterior, and its value there."""

    beta: Coefs
    value: Genes
    rounds: Int[Array, " genes"]
    converged: Flags


class _Newton(NamedTuple):
    beta: Coefs
    value: Genes
    move: Coefs
    length: Genes
    rounds: Int[Array, " genes"]
    running: Flags
    converged: Flags


def newton(
    problem: Problem, start: Coefs, floor: Genes, active: Flags, penalty: Penalty
) -> Mode:
    """The mode downhill of `start`, by Newton's steps; the others keep their start.

    Where the Hessian is not positive definite the majorising one steps instead. A step
    that does not go down is made shorter, as is one that moves a log mean by more than
    4 (it could end far out, where the posterior is flat). The last step is taken where
    the decrease that it promises is small: its own error is then lost in rounding. Not
    for differentiation.
    """
    eps = float(jnp.finfo(start.dtype).eps)

    def step(state: _Newton, block: dict[str, Array]) -> _Newton:
        trial = state.beta + state.length * state.move
        data = problem.observed(block)
        here = evaluate(trial, data, block["floor"], penalty)
        size = weighted(data.counts, data.weights).sum(0)
        slack = eps * (64 * (jnp.abs(here.value) + 1) + 4 * size)
        good = jnp.isfinite(here.value) & (here.value <= state.value + slack)
        move, gain = _move(here)
        reach = jnp.abs(data.matrix @ move).max(0)
        good &= jnp.isfinite(reach)
        close = good & (gain <= jnp.maximum(1e-12, 16 * eps * jnp.abs(here.value)))
        best = jnp.where(close, trial + move, jnp.where(good, trial, state.beta))
        rounds = state.rounds + 1
        new = _Newton(
            best,
            jnp.where(good, here.value, state.value),
            jnp.where(good, move, state.move),
            jnp.where(good, _REACH / jnp.maximum(reach, _REACH), 0.4 * state.length),
            rounds,
            ~close & (rounds < _ROUNDS),
            close,
        )
        keep = lambda x, y: jnp.where(state.running, x, y)
        return jax.tree.map(keep, new, state)

    zeros = jnp.zeros_like(problem.dispersion)
    state = _Newton(
        start,
        zeros + jnp.inf,
        jnp.zeros_like(start),
        zeros,
        zeros.astype(jnp.int32),
        active,
        jnp.zeros_like(active),
    )
    columns = {**problem.columns(), "floor": floor}
    found = iterate_genes(step, lambda s: s.running, state, columns, rounds=_ROUNDS)
    return Mode(found.beta, found.value, found.rounds, found.converged)


def _move(here: Posterior) -> tuple[Coefs, Genes]:
    """Newton's step, and twice the decrease that it promises."""
    coefs = here.gradient.shape[0]
    factor = SmallCholesky.of(here.bend, coefs)
    safe = SmallCholesky.of(here.safe, coefs)
    definite = jnp.isfinite(factor.lower).all((0, 1))
    lower = jnp.where(definite, factor.lower, safe.lower)
    move = -SmallCholesky(lower).solve(here.gradient)
    return move, -(here.gradient * move).sum(0)


class ModeState(NamedTuple):
    """What the derivatives of a mode need to know: the genes whose mode is found, and
    the logarithm of the mean below which the parabola stood in."""

    known: Flags
    floor: Genes


@jax.custom_jvp
def at_mode(
    beta: Coefs, problem: Problem, penalty: Penalty, state: ModeState
) -> Float[Array, "coefs genes"]:
    """`beta`, with the derivatives of a minimum of minus the log posterior.

    H d beta = -d gradient, with the Hessian H of `evaluate`; 0 for genes that are not
    `known`, and where H is not positive definite.
    """
    return beta


@at_mode.defjvp
def _at_mode_jvp(primals, tangents):
    start, problem, penalty, state = primals
    beta = at_mode(start, problem, penalty, state)
    change, change_of_penalty = tangents[1], tangents[2]
    columns = {
        "beta": beta,
        "state": state,
        "data": _by_gene(problem),
        "change": _by_gene(change),
    }

    def one_block(block):
        known, floor = block["state"]
        here = problem._replace(**block["data"])
        moved = change._replace(**block["change"])
        beta = jnp.where(known, block["beta"], 0.0)

        def gradient(problem, penalty):
            data = problem.observed(problem.columns())
            return evaluate(beta, data, floor, penalty).gradient

        point, direction = (here, penalty), (moved, change_of_penalty)
        slope = jax.jvp(gradient, point, direction)[1]
        data = here.observed(here.columns())
        bend = evaluate(beta, data, floor, penalty).bend
        factor = SmallCholesky.of(lax.stop_gradient(bend), beta.shape[0])
        good = known & jnp.isfinite(factor.lower).all((0, 1))
        rows, diagonal = pair_indices(beta.shape[0])
        unit = jnp.asarray((rows == diagonal)[:, None], beta.dtype)
        bend = jnp.where(good, bend, unit)
        move = -SmallCholesky.of(bend, beta.shape[0]).solve(slope)
        return jnp.where(good, move, 0.0)

    return beta, map_genes(one_block, columns)


def _by_gene(problem: Problem) -> dict[str, Array]:
    """The parts of a problem that have a gene axis."""
    parts = {"counts": problem.counts, "dispersion": problem.dispersion}
    if problem.scale.shape[1] == problem.counts.shape[1]:
        parts["scale"] = problem.scale
    return parts


def still(tree):
    """The tree with every gradient stopped."""
    return jax.tree.map(lax.stop_gradient, tree)
