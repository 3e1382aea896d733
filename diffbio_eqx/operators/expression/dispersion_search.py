"""Solvers for the dispersions of all genes: R's line search and grid, and Newton's."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from diffbio_eqx.operators.expression.dispersion_likelihood import (
    DispersionProblem,
    Genes,
    log_posterior,
)
from diffbio_eqx.operators.expression.gene_blocks import iterate_genes

Flags = Bool[Array, " genes"]

_LOWEST, _HIGHEST = -30.0, 10.0
_GRID = 20
_SCAN = 24


class LineSearch(NamedTuple):
    """Where the ascent ended.

    - `log_dispersion`; `start` (value of `log_posterior` there), `gain` (how far the
      value rose); `rounds`, of steps tried.
    """

    log_dispersion: Genes
    start: Genes
    gain: Genes
    rounds: Int[Array, " genes"]


def line_search(
    start: Genes,
    problem: DispersionProblem,
    active: Flags,
    *,
    lowest: float,
    tolerance: float = 1e-6,
    rounds: int = 100,
) -> LineSearch:
    """Gradient ascent in log dispersion by R's rules.

    A step of kappa times the slope is taken if the value rises by at least 1e-4 kappa
    slope^2, else kappa is halved. After a step kappa grows by a tenth, to 1 at most,
    and is halved at each fifth. It ends when a step gains less than `tolerance`, or
    leads below `lowest` (whose gain is not counted), or after `rounds`. Proposals stay
    in [-30, 10].
    """
    zero = jnp.zeros_like(start)
    none = jnp.zeros(start.shape, int)
    state = {
        "place": start,
        "value": zero,
        "slope": zero,
        "kappa": zero,
        "first": zero,
        "round": none - 1,
        "steps": none,
        "done": ~active,
    }

    def step(state, columns):
        place, kappa, slope = state["place"], state["kappa"], state["slope"]
        fresh = state["round"] < 0
        safe = jnp.where(slope == 0, 1.0, slope)
        ahead = place + kappa * slope
        kappa = jnp.where(ahead < _LOWEST, (_LOWEST - place) / safe, kappa)
        kappa = jnp.where(ahead > _HIGHEST, (_HIGHEST - place) / safe, kappa)
        ahead = place + kappa * slope
        value, new_slope = log_posterior(ahead, problem._replace(**columns))
        gain = value - state["value"]
        taken = gain >= kappa * 1e-4 * slope * slope
        small = taken & (gain < tolerance)
        low = taken & ~small & (ahead < lowest)
        onward = taken & ~small & ~low
        count = state["steps"] + taken.astype(int)
        longer = jnp.minimum(1.1 * kappa, 1.0)
        longer = jnp.where(count % 5 == 0, 0.5 * longer, longer)
        last = state["round"] + 1 >= rounds
        new = {
            "place": jnp.where(taken, ahead, place),
            "value": jnp.where(small | onward, value, state["value"]),
            "slope": jnp.where(onward, new_slope, slope),
            "kappa": jnp.where(onward, longer, jnp.where(taken, kappa, 0.5 * kappa)),
            "first": state["first"],
            "round": state["round"] + 1,
            "steps": count,
            "done": small | low | last,
        }
        # The first round only evaluates the start.
        begin = {
            "value": value,
            "slope": new_slope,
            "kappa": jnp.ones_like(place),
            "first": value,
            "round": state["round"] + 1,
        }
        begin = state | begin
        choose = lambda a, b, c: jnp.where(state["done"], c, jnp.where(fresh, a, b))
        return jax.tree.map(choose, begin, new, state)

    state = iterate_genes(
        step, lambda s: ~s["done"], state, problem.by_gene(), rounds=rounds + 1
    )
    gain = state["value"] - state["first"]
    return LineSearch(state["place"], state["first"], gain, state["round"])


def grid_search(
    problem: DispersionProblem, active: Flags, low: float, high: float
) -> Genes:
    """The best of 20 points in [low, high], then of 20 around it: R's grid.

    The second grid spans one step of the first to both sides.
    """
    genes = active.shape[0]
    dtype = problem.counts.dtype
    delta = (high - low) / (_GRID - 1)
    zero = jnp.zeros(genes, dtype)
    count = jnp.where(active, 0, 2 * _GRID)
    state = {"round": count, "best": zero, "place": zero, "centre": zero}

    def step(state, columns):
        count = state["round"]
        fine = count >= _GRID
        centre = jnp.where(count == _GRID, state["place"], state["centre"])
        part = (count % _GRID).astype(dtype) / (_GRID - 1)
        here = jnp.where(
            fine, centre + delta * (2 * part - 1), low + (high - low) * part
        )
        value, _ = log_posterior(here, problem._replace(**columns))
        better = (count % _GRID == 0) | (value > state["best"])
        new = {
            "round": count + 1,
            "best": jnp.where(better, value, state["best"]),
            "place": jnp.where(better, here, state["place"]),
            "centre": centre,
        }
        done = count >= 2 * _GRID
        return jax.tree.map(lambda a, b: jnp.where(done, b, a), new, state)

    unfinished = lambda s: s["round"] < 2 * _GRID
    rounds = 2 * _GRID
    state = iterate_genes(
        step, unfinished, state, problem.by_gene(), rounds=rounds, chunk=rounds
    )
    return state["place"]


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
