"""Solvers for the dispersions of all genes: R's line search and grid, and Newton's."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from diffbio_eqx.operators.expression.dispersion_likelihood import (
    DispersionProblem,
    Genes,
    constant_part,
    log_posterior,
)
from diffbio_eqx.operators.expression.gene_blocks import iterate_genes

Flags = Bool[Array, " genes"]

_LOWEST, _HIGHEST = -30.0, 10.0
_SHORT = 0.02
_GRID = 20
_FINISHED = 2 * _GRID
_SCAN = 24


class Search(NamedTuple):
    """What R's search ends with.

    - `log_dispersion`; `kept`: the start was kept; `gridded`: the grid decided.
    """

    log_dispersion: Genes
    kept: Flags
    gridded: Flags


def search(
    start: Genes,
    problem: DispersionProblem,
    active: Flags,
    low: float,
    high: float,
    *,
    gene_wise: bool,
    tolerance: float = 1e-6,
    rounds: int = 100,
) -> Search:
    """Gradient ascent in log dispersion by R's rules, and its grid.

    A step of kappa times the slope is taken if the value rises by at least 1e-4 kappa
    slope^2, else kappa is halved. After a step kappa grows by a tenth, to 1 at most,
    and is halved at each fifth. It ends when a step gains less than `tolerance`, or
    leads below a tenth of the lowest dispersion (whose gain is not counted), or after
    `rounds`. Proposals stay in [-30, 10].

    With `gene_wise` the start is kept if the log likelihood, in R's form, rose by less
    than a millionth of itself, and the grid decides after `rounds` rounds or one, where
    the dispersion is more than ten times the lowest. Else it does after `rounds`.

    The grid: the best of 20 points in [low, high], then of 20 around that point which
    span one step of the first to both sides.
    """
    dtype = problem.counts.dtype
    zero, none = jnp.zeros_like(start), jnp.zeros(start.shape, int)
    # `stage` is -1 during the ascent and counts the points of the grid after it, when
    # `value` and `place` are the best so far and `slope` is the centre.
    state = {
        "place": start,
        "value": zero,
        "slope": zero,
        "kappa": zero,
        "first": zero,
        "round": none - 1,
        "steps": none,
        "stage": jnp.where(active, -1, _FINISHED),
        "gridded": ~active & active,
    }
    columns = {"start": start, "data": problem.by_gene()}
    if gene_wise:
        columns["constant"] = constant_part(problem)
    delta = (high - low) / (_GRID - 1)

    def is_kept(state, columns):
        if not gene_wise:
            return jnp.zeros(state["round"].shape, bool)
        size = jnp.abs(state["first"] + columns["constant"])
        return state["value"] - state["first"] < 1e-6 * size

    def needs_grid(state, columns):
        unfinished = state["round"] >= rounds
        if not gene_wise:
            return unfinished
        kept = is_kept(state, columns)
        place = jnp.where(kept, columns["start"], state["place"])
        odd = unfinished | (state["round"] == 1)
        return odd & (place > low + math.log(10.0))

    def ascend(state, columns, ahead, kappa, value, slope):
        fresh = state["round"] < 0
        gain = value - state["value"]
        if dtype.itemsize < 8:
            # Gains near the end are below the rounding of the value, not of the slope.
            move = ahead - state["place"]
            gain_by_slope = 0.5 * move * (slope + state["slope"])
            gain = jnp.where(jnp.abs(move) < _SHORT, gain_by_slope, gain)
        taken = fresh | (gain >= kappa * 1e-4 * state["slope"] ** 2)
        small = taken & ~fresh & (gain < tolerance)
        below = taken & ~fresh & ~small & (ahead < low - math.log(10.0))
        onward = taken & ~small & ~below
        steps = state["steps"] + (taken & ~fresh).astype(int)
        longer = jnp.minimum(1.1 * kappa, 1.0)
        longer = jnp.where(steps % 5 == 0, 0.5 * longer, longer)
        shorter = jnp.where(taken, kappa, 0.5 * kappa)
        kappa = jnp.where(onward, longer, shorter)
        new = {
            "place": jnp.where(taken, ahead, state["place"]),
            "value": jnp.where(taken & ~below, value, state["value"]),
            "slope": jnp.where(onward, slope, state["slope"]),
            "kappa": jnp.where(fresh, 1.0, kappa),
            "first": jnp.where(fresh, value, state["first"]),
            "round": state["round"] + 1,
            "steps": steps,
        }
        over = small | below | (new["round"] >= rounds)
        odd = over & needs_grid(new, columns)
        stage = jnp.where(odd, 0, jnp.where(over, _FINISHED, -1))
        return new | {"stage": stage, "gridded": odd}

    def try_point(state, here, centre, value):
        stage = state["stage"]
        better = (stage % _GRID == 0) | (value > state["value"])
        return state | {
            "place": jnp.where(better, here, state["place"]),
            "value": jnp.where(better, value, state["value"]),
            "slope": centre,
            "stage": jnp.minimum(stage + 1, _FINISHED),
        }

    def step(state, columns):
        place, slope, stage = state["place"], state["slope"], state["stage"]
        kappa, safe = state["kappa"], jnp.where(slope == 0, 1.0, slope)
        ahead = place + kappa * slope
        kappa = jnp.where(ahead < _LOWEST, (_LOWEST - place) / safe, kappa)
        kappa = jnp.where(ahead > _HIGHEST, (_HIGHEST - place) / safe, kappa)
        ahead = place + kappa * slope
        centre = jnp.where(stage == _GRID, place, slope)
        part = (stage % _GRID).astype(dtype) / (_GRID - 1)
        fine = centre + delta * (2 * part - 1)
        point = jnp.where(stage < _GRID, low + (high - low) * part, fine)
        here = lax.optimization_barrier(jnp.where(stage < 0, ahead, point))
        # The barriers keep XLA from computing the likelihood once for each use of it.
        value, slope = log_posterior(here, problem._replace(**columns["data"]))
        value, slope, kappa = lax.optimization_barrier((value, slope, kappa))
        new = ascend(state, columns, here, kappa, value, slope)
        tried = try_point(state, here, centre, value)
        tried["stage"] = jnp.where(stage < _FINISHED, tried["stage"], stage)
        finished = stage >= _FINISHED
        choose = lambda a, b, c: jnp.where(finished, c, jnp.where(stage < 0, a, b))
        return jax.tree.map(choose, new, tried, state)

    unfinished = lambda s: s["stage"] < _FINISHED
    most = rounds + 1 + _FINISHED
    state = iterate_genes(step, unfinished, state, columns, rounds=most)
    gridded = state["gridded"]
    kept = is_kept(state, columns) & ~gridded
    place = jnp.where(kept, start, jnp.clip(state["place"], low, high))
    return Search(place, kept, gridded)


class Maximum(NamedTuple):
    """The highest point: `log_dispersion`, and whether it was found (`converged`)."""

    log_dispersion: Genes
    converged: Flags


def maximise(
    problem: DispersionProblem,
    active: Flags,
    low: float,
    high: float,
    *,
    rounds: int = 60,
) -> Maximum:
    """The maximum in [low, high]: a scan of 24 points, then Newton in a bracket.

    The slope at the best point tells on which side the maximum lies, and its neighbour
    there closes the bracket. A Newton step that would leave it is a bisection. One more
    step follows a slope below 1e-10 (7e-5 in float32). Where the scan ends on a bound
    with the slope outwards, the bound is the maximum.
    """
    dtype = problem.counts.dtype
    tolerance = 3 * float(jnp.finfo(dtype).eps) ** (2 / 3)
    place, slope = _scan(problem, active, low, high)
    gap = (high - low) / (_SCAN - 1)
    up = slope > 0
    bound = jnp.where(up, place >= high, place <= low)
    state = {
        "place": place,
        "low": jnp.where(up, place, place - gap),
        "high": jnp.where(up, place + gap, place),
        "round": jnp.where(active & ~bound, 0, rounds),
        "converged": bound,
    }

    def step(state, columns):
        here, place = problem._replace(**columns), state["place"]
        slope_at = lambda x: log_posterior(x, here)[1]
        slope, bend = jax.jvp(slope_at, (place,), (jnp.ones_like(place),))
        low = jnp.where(slope > 0, place, state["low"])
        high = jnp.where(slope < 0, place, state["high"])
        newton = place - slope / jnp.where(bend < 0, bend, -1.0)
        near = jnp.abs(slope) <= tolerance
        inside = (bend < 0) & (near | ((newton > low) & (newton < high)))
        new = {
            "place": jnp.where(inside, newton, 0.5 * (low + high)),
            "low": low,
            "high": high,
            "round": jnp.where(near, rounds, state["round"] + 1),
            "converged": near,
        }
        done = state["round"] >= rounds
        return jax.tree.map(lambda a, b: jnp.where(done, b, a), new, state)

    unfinished = lambda s: s["round"] < rounds
    state = iterate_genes(
        step, unfinished, state, problem.by_gene(), rounds=rounds, chunk=4
    )
    return Maximum(jnp.clip(state["place"], low, high), state["converged"])


def _scan(
    problem: DispersionProblem, active: Flags, low: float, high: float
) -> tuple[Genes, Genes]:
    """The best of 24 equidistant points, and the slope there."""
    dtype = problem.counts.dtype
    zero = jnp.zeros(active.shape[0], dtype)
    state = {
        "round": jnp.where(active, 0, _SCAN),
        "best": zero,
        "place": zero + low,
        "slope": zero,
    }

    def step(state, columns):
        count = state["round"]
        part = count.astype(dtype) / (_SCAN - 1)
        here = jnp.where(count == _SCAN - 1, high, low + (high - low) * part)
        value, slope = log_posterior(here, problem._replace(**columns))
        better = (count == 0) | (value > state["best"])
        new = {"best": value, "place": here, "slope": slope}
        better = better & (count < _SCAN)
        new = {k: jnp.where(better, new[k], state[k]) for k in new}
        return new | {"round": jnp.minimum(count + 1, _SCAN)}

    unfinished = lambda s: s["round"] < _SCAN
    state = iterate_genes(
        step, unfinished, state, problem.by_gene(), rounds=_SCAN, chunk=_SCAN
    )
    return state["place"], state["slope"]


def largest_dispersion(samples: int) -> float:
    """No dispersion is above 10, or above the number of samples if that is more."""
    return float(max(10, samples))
