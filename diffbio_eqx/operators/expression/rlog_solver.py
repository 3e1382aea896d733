"""Fit of a level for each gene and a penalised deviation of each sample from it.

log mu_j = log n_j + b + d_j, with a ridge on every d_j and nearly none on b. The
equations of a gene are an arrow: a diagonal with one full row.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffbio_eqx._special import log
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.gene_blocks import iterate_genes, map_genes
from diffbio_eqx.operators.expression.nb_likelihood import loss, saturated

Table = Float[Array, "samples genes"]
Genes = Float[Array, " genes"]
Flags = Bool[Array, " genes"]

_FLAT = 1e-6 / math.log(2.0) ** 2
_LOG_FLOOR = math.log(0.5)
_LARGEST = 30.0
_REACH = 4.0
_ROUNDS, _NEWTON_ROUNDS = 100, 300


class RlogProblem(NamedTuple):
    """What is fitted. `ridge`: of the deviations, natural units; `free`: 1 if there is
    a level to fit, 0 if it stays at 0."""

    counts: Table
    scale: Float[Array, "samples _"]
    dispersion: Genes
    weights: Float[Array, "samples 1"] | None
    ridge: Float[Array, ""]
    free: Float[Array, ""]

    @staticmethod
    def of(table: GeneTable, variance: Float[Array, ""], free: float) -> "RlogProblem":
        """By the fitted dispersion; `variance` of the deviations in log2 units.

        Untested genes hold harmless numbers.
        """
        tested = table.tested
        return RlogProblem(
            jnp.where(tested, table.counts, 1.0),
            table.scale,
            jnp.where(tested, table.fitted_dispersion, 1.0),
            None if table.weights is None else table.weights[:, None],
            1 / (variance * math.log(2.0) ** 2),
            jnp.asarray(free, table.counts.dtype),
        )

    def columns(self) -> dict[str, Array]:
        """What has a gene axis."""
        columns = {"counts": self.counts, "dispersion": self.dispersion}
        if self.scale.shape[1] == self.counts.shape[1]:
            columns["scale"] = self.scale
        return columns

    def block(self, columns: dict[str, Array]) -> "RlogProblem":
        """The problem of the genes of a block of `columns`."""
        names = ("counts", "dispersion", "scale")
        return self._replace(**{k: columns[k] for k in names if k in columns})

    def weighted(self, x: Table) -> Table:
        """w x, or x without weights."""
        return x if self.weights is None else self.weights * x


class Values(NamedTuple):
    """Level b of a gene and deviations d of its samples, natural logarithms."""

    level: Genes
    sample: Table

    @property
    def total(self) -> Table:
        """b + d."""
        return self.level + self.sample

    def moved(self, move: "Values", length: Genes) -> "Values":
        """These plus `length` times a step."""
        return Values(
            self.level + length * move.level, self.sample + length * move.sample
        )


class RlogFit(NamedTuple):
    """Values, and which genes' are a solution."""

    values: Values
    converged: Flags


def fit_rlog(problem: RlogProblem, active: Flags, *, exact: bool) -> RlogFit:
    """By R's rounds, or exactly; with implicit derivatives where it converged."""
    still = jax.tree.map(lax.stop_gradient, problem)
    solve = _newton if exact else _reweight
    start = map_genes(lambda b: _start(still.block(b)), still.columns())
    values, converged = solve(still, start, active)
    return RlogFit(_at_fit(values, problem, converged & active), converged)


def _start(here: RlogProblem) -> Values:
    """With a level: the log mean and no deviations. Else the log counts."""
    scaled = here.counts / here.scale
    level = here.free * log(jnp.maximum(scaled.mean(0), 1e-30))
    return Values(level, (1 - here.free) * log(scaled + 0.1))


class _Sides(NamedTuple):
    """At some values: the loss, minus its derivative to log mu, and two curvatures:
    `fisher` (expected) and `bend` (observed). Below the floor of a mean the loss goes
    on as the parabola that R's iterations imply; `held` is the loss at the floor."""

    held: Table
    lost: Table
    residual: Table
    fisher: Table
    bend: Table


def _sides(here: RlogProblem, total: Table) -> _Sides:
    log_mean = log(here.scale) + total
    below = jnp.minimum(log_mean - _LOG_FLOOR, 0.0)
    mean = jnp.exp(log_mean - below)
    spread = 1 + here.dispersion * mean
    slope, fisher = (here.counts - mean) / spread, mean / spread
    observed = fisher * (1 + here.dispersion * here.counts) / spread
    lost = loss(here.counts, mean, here.dispersion)
    return _Sides(
        here.weighted(lost),
        here.weighted(lost - below * (slope - fisher * below / 2)),
        here.weighted(slope - fisher * below),
        here.weighted(fisher),
        here.weighted(jnp.where(below < 0, fisher, observed)),
    )


def _arrow(here: RlogProblem, level: Genes, sample: Table, weight: Table) -> Values:
    """Solve for (b, d): `sum_j W_j (b + d_j) + r b = level` and
    `W_j (b + d_j) + ridge d_j = sample_j`, with r the ridge of the level."""
    share = here.ridge / (weight + here.ridge)
    top = level - (sample * (1 - share)).sum(0)
    b = here.free * top / (_FLAT + (weight * share).sum(0))
    return Values(b, (sample - weight * b) / (weight + here.ridge))


def _step(
    here: RlogProblem, values: Values, residual: Table, weight: Table
) -> tuple[Values, Genes]:
    """The step of this curvature, and twice the decrease that it promises."""
    level = residual.sum(0) - _FLAT * values.level
    sample = residual - here.ridge * values.sample
    move = _arrow(here, level, sample, weight)
    return move, level * move.level + (sample * move.sample).sum(0)


class _Rounds(NamedTuple):
    values: Values
    lost: Genes
    rounds: Int[Array, " genes"]
    running: Flags
    converged: Flags


def _reweight(
    problem: RlogProblem, start: Values, active: Flags
) -> tuple[Values, Flags]:
    """R's rounds, which end where the deviance changes by less than 1e-4. Where they
    never do (a sample with nearly all counts makes them swing) the 100th stands."""
    tolerance = max(1e-4, 8 * float(jnp.finfo(problem.counts.dtype).eps))
    columns = problem.columns()
    best = lambda b: b.weighted(saturated(b.counts, b.dispersion)).sum(0)
    columns["best"] = map_genes(lambda b: best(problem.block(b)), columns)

    def step(state: _Rounds, block: dict[str, Array]) -> _Rounds:
        here = problem.block(block)
        at = _sides(here, state.values.total)
        lost = at.held.sum(0)
        size = 2 * jnp.abs(block["best"] - lost) + 0.1
        change = 2 * jnp.abs(lost - state.lost) / size
        done = (state.rounds >= 2) & (change < tolerance)
        v = state.values
        large = (jnp.abs(v.sample) > _LARGEST).any(0) | (jnp.abs(v.level) > _LARGEST)
        large &= state.rounds > 0
        stop = done | large | ~jnp.isfinite(lost) | (state.rounds >= _ROUNDS)
        move, _ = _step(here, v, at.residual, at.fisher)
        new = _Rounds(
            v.moved(move, jnp.where(stop, 0.0, 1.0)),
            lost,
            state.rounds + (~stop).astype(jnp.int32),
            ~stop,
            done & ~large & (state.rounds < _ROUNDS),
        )
        keep = lambda x, y: jnp.where(state.running, x, y)
        return jax.tree.map(keep, new, state)

    zeros = jnp.zeros_like(problem.dispersion)
    no = jnp.zeros_like(active)
    state = _Rounds(start, zeros, zeros.astype(jnp.int32), active, no)
    rounds = _ROUNDS + 1
    found = iterate_genes(step, lambda s: s.running, state, columns, rounds=rounds)
    return found.values, found.converged


class _Newton(NamedTuple):
    values: Values
    value: Genes
    move: Values
    length: Genes
    rounds: Int[Array, " genes"]
    running: Flags
    converged: Flags


def _newton(problem: RlogProblem, start: Values, active: Flags) -> tuple[Values, Flags]:
    """The minimum itself: the function is convex, steps that fail are made shorter."""
    eps = float(jnp.finfo(problem.counts.dtype).eps)

    def step(state: _Newton, block: dict[str, Array]) -> _Newton:
        here = problem.block(block)
        trial = state.values.moved(state.move, state.length)
        at = _sides(here, trial.total)
        penalty = here.ridge * (trial.sample**2).sum(0) + _FLAT * trial.level**2
        value = at.lost.sum(0) + penalty / 2
        size = here.weighted(here.counts).sum(0)
        slack = eps * (64 * (jnp.abs(value) + 1) + 4 * size)
        good = jnp.isfinite(value) & (value <= state.value + slack)
        move, gain = _step(here, trial, at.residual, at.bend)
        reach = jnp.abs(move.total).max(0)
        good &= jnp.isfinite(reach)
        close = good & (gain <= jnp.maximum(1e-12, 16 * eps * jnp.abs(value)))
        pick = lambda x, y: jnp.where(good, x, y)
        rounds = state.rounds + 1
        best = jax.tree.map(pick, trial, state.values)
        new = _Newton(
            best.moved(move, jnp.where(close, 1.0, 0.0)),
            pick(value, state.value),
            jax.tree.map(pick, move, state.move),
            pick(_REACH / jnp.maximum(reach, _REACH), 0.4 * state.length),
            rounds,
            ~close & (rounds < _NEWTON_ROUNDS),
            close,
        )
        keep = lambda x, y: jnp.where(state.running, x, y)
        return jax.tree.map(keep, new, state)

    zeros = jnp.zeros_like(problem.dispersion)
    state = _Newton(
        start,
        zeros + jnp.inf,
        jax.tree.map(jnp.zeros_like, start),
        zeros,
        zeros.astype(jnp.int32),
        active,
        jnp.zeros_like(active),
    )
    found = iterate_genes(
        step,
        lambda s: s.running,
        state,
        problem.columns(),
        rounds=_NEWTON_ROUNDS,
    )
    return found.values, found.converged


@jax.custom_jvp
def _at_fit(values: Values, problem: RlogProblem, known: Flags) -> Values:
    """`values` with the derivatives of a solution of the estimating equations."""
    return values


@_at_fit.defjvp
def _at_fit_jvp(primals, tangents):
    values, problem, known = primals
    change = tangents[1]
    columns = {
        "values": values,
        "known": known,
        "data": problem.columns(),
        "change": change.columns(),
    }

    def one_block(block):
        known = block["known"]
        here, moved = problem.block(block["data"]), change.block(block["change"])
        at = jax.tree.map(lambda x: jnp.where(known, x, 0.0), block["values"])

        def equations(here):
            residual = _sides(here, at.total).residual
            return residual, residual - here.ridge * at.sample

        level, sample = jax.jvp(equations, (here,), (moved,))[1]
        bend = _sides(here, at.total).bend
        move = _arrow(here, level.sum(0), sample, bend)
        return jax.tree.map(lambda x: jnp.where(known, x, 0.0), move)

    return values, map_genes(one_block, columns)
