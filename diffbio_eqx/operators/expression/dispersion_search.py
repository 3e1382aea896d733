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
    """The maximum in [low, high]: a scan of 24 points, then the root of the slope.

    The slope at the best point tells on which side the maximum lies, and its neighbour
    there closes the bracket. A secant step that would leave the bracket is a bisection.
    One more step follows a slope below 1e-10 (7e-5 in float32). Where the scan ends on
    a bound with the slope outwards, the bound is the maximum.
    """
    dtype = problem.counts.dtype
    eps = float(jnp.finfo(dtype).eps)
    tolerance = 3 * eps ** (2 / 3)
    gap = (high - low) / (_SCAN - 1)
    last = _SCAN + rounds
    zero = jnp.zeros(active.shape[0], dtype)
    # During the scan `old` is the best point so far, and after it the last one tried.
    state = {
        "place": zero + low,
        "value": zero,
        "old": zero,
        "old_slope": zero,
        "low": zero,
        "high": zero,
        "round": jnp.where(active, 0, last),
        "converged": ~active & active,
    }

    def scan(state, here, value, slope):
        count = state["round"]
        better = (count == 0) | (value > state["value"])
        value = jnp.where(better, value, state["value"])
        old = jnp.where(better, here, state["old"])
        old_slope = jnp.where(better, slope, state["old_slope"])
        up = old_slope > 0
        ahead = jnp.where(count == _SCAN - 2, high, here + gap)
        other = jnp.where(up, old + gap, old - gap)
        bound = jnp.where(up, old >= high, old <= low) & (count == _SCAN - 1)
        place = jnp.where(count == _SCAN - 1, other, ahead)
        return state | {
            "place": jnp.where(bound, old, place),
            "value": value,
            "old": old,
            "old_slope": old_slope,
            "low": jnp.where(up, old, other),
            "high": jnp.where(up, other, old),
            "round": jnp.where(bound, last, count + 1),
            "converged": bound,
        }

    def narrow(state, here, value, slope):
        # The end of the bracket is known to be one whatever its slope.
        inner = state["round"] > _SCAN
        low = jnp.where(inner & (slope > 0), here, state["low"])
        high = jnp.where(inner & (slope < 0), here, state["high"])
        rise = slope - state["old_slope"]
        secant = slope * (here - state["old"]) / jnp.where(rise == 0, 1.0, rise)
        ahead = here - jnp.where(rise == 0, 0.0, secant)
        inside = (ahead > low) & (ahead < high)
        still = jnp.abs(secant) <= 4 * eps * (1 + jnp.abs(here))
        near = (jnp.abs(slope) <= tolerance) | (still & inside)
        near = near | (high - low <= 4 * eps * (1 + jnp.abs(here)))
        short = jnp.abs(secant) < 0.01 * gap
        safe = jnp.where(near, here, 0.5 * (low + high))
        return {
            "place": jnp.where(inside | (near & short), ahead, safe),
            "value": value,
            "old": here,
            "old_slope": slope,
            "low": low,
            "high": high,
            "round": jnp.where(near, last, state["round"] + 1),
            "converged": near,
        }

    def step(state, columns):
        here = lax.optimization_barrier(state["place"])
        value, slope = log_posterior(here, problem._replace(**columns))
        value, slope = lax.optimization_barrier((value, slope))
        count = state["round"]
        first = scan(state, here, value, slope)
        then = narrow(state, here, value, slope)
        choose = lambda a, b, c: jnp.where(
            count >= last, c, jnp.where(count < _SCAN, a, b)
        )
        return jax.tree.map(choose, first, then, state)

    unfinished = lambda s: s["round"] < last
    state = iterate_genes(step, unfinished, state, problem.by_gene(), rounds=last)
    return Maximum(jnp.clip(state["place"], low, high), state["converged"])


def largest_dispersion(samples: int) -> float:
    """No dispersion is above 10, or above the number of samples if that is more."""
    return float(max(10, samples))
