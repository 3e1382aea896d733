"""R's bounded optimiser, step for step, for many small problems at once.

R's `optim(method = "L-BFGS-B")` takes gradients as differences over 0.001 and stops
where the function falls by less than 2e-9 of itself. DESeq2 turns to it where its own
iterations fail, often with columns of very different units in the design; there it
stops far from the optimum, and only its own path leads to its answer.

Reference: R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, "A limited memory algorithm for bound
constrained optimization", 1995, doi:10.1137/0916069.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree

from diffbio_eqx.operators.expression.line_search import LineSearch, advance, begin

Scalar = Float[Array, ""]
Vector = Float[Array, " coefs"]
Objective = Callable[[Float[Array, "coefs points"], PyTree], Float[Array, " points"]]

_DIFFERENCE = 1e-3
_MEMORY = 5
_GROUP = 32
_ITERATIONS = 100
_TRIALS = 20
_FACTOR = 1e7


class _State(NamedTuple):
    """One problem: the iterate `base`, what is tried next, pairs of steps and turns."""

    trial: Vector
    base: Vector
    value: Scalar
    gradient: Vector
    direction: Vector
    search: LineSearch
    trials: Int[Array, ""]
    steps: Float[Array, "memory coefs"]
    turns: Float[Array, "memory coefs"]
    pairs: Int[Array, ""]
    iteration: Int[Array, ""]
    fresh: Bool[Array, ""]
    running: Bool[Array, ""]
    converged: Bool[Array, ""]


def minimise_like_r(
    objective: Objective,
    start: Float[Array, "coefs genes"],
    columns: PyTree,
    active: Bool[Array, " genes"],
    bound: float,
) -> tuple[Float[Array, "coefs genes"], Bool[Array, " genes"]]:
    """Where R's optimiser ends in the box [-bound, bound], and whether it says so.

    **Arguments:** `objective(points, column)`: values of the points (coefs, points) for
    one gene, whose part of `columns` comes without the gene axis; `start`; `columns`, a
    tree with genes last; `active`: genes to work on, the others keep their start.
    """

    one = lambda state, column: _round(state, lambda x: objective(x, column), bound)
    by_gene = jax.vmap(one, (-1, -1), -1)
    limit = _ITERATIONS * _TRIALS

    def solve(start: Array, active: Array, block: PyTree) -> tuple[Array, Array]:
        state = jax.vmap(_first, (-1, -1), -1)(start, active)
        go = lambda carry: carry[0].running.any() & (carry[1] < limit)
        step = lambda carry: (by_gene(carry[0], block), carry[1] + 1)
        state = lax.while_loop(go, step, (state, 0))[0]
        return state.base, state.converged

    genes = active.size
    size = min(_GROUP, genes)
    places = jnp.arange(-(-genes // size) * size)
    count = active.sum()
    order = jnp.resize(jnp.argsort(~active, stable=True), places.shape)
    order = jnp.where(places < count, order, genes)

    def group(index: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        chosen = lax.dynamic_slice(order, (index * size,), (size,))
        take = lambda x: jnp.take(x, chosen, axis=-1, mode="clip")
        here = solve(take(found[0]), chosen < genes, jax.tree.map(take, columns))
        put = lambda x, y: x.at[..., chosen].set(y, mode="drop")
        return put(found[0], here[0]), put(found[1], here[1])

    found = (jnp.clip(start, -bound, bound), jnp.zeros_like(active))
    return lax.fori_loop(0, -(-count // size), group, found)


def _first(start: Vector, active: Bool[Array, ""]) -> _State:
    zero, none = jnp.zeros_like(start[0]), jnp.zeros_like(start)
    no, yes = jnp.zeros_like(active), jnp.ones_like(active)
    history = jnp.zeros((_MEMORY, start.size), start.dtype)
    count = jnp.zeros((), jnp.int32)
    search = begin(zero, zero, zero)
    return _State(
        start,
        start,
        zero,
        none,
        none,
        search,
        count,
        history,
        history,
        count,
        count,
        yes,
        active,
        no,
    )


def _round(state: _State, objective: Callable, bound: float) -> _State:
    """Evaluate the trial; go on with the line search, or take the next direction."""
    x = state.trial
    value, gradient = _with_differences(objective, x, bound)
    eps = float(jnp.finfo(x.dtype).eps)
    search, over = advance(state.search, value, gradient @ state.direction)
    over = over | state.fresh
    trials = state.trials + 1
    failed = ~over & (trials >= _TRIALS)
    arrived = over & ~failed

    # What the iterate is now, and what was learned of the curvature.
    keep = lambda new, old: jnp.where(arrived, new, old)
    base, at, slope = (
        keep(x, state.base),
        keep(value, state.value),
        keep(gradient, state.gradient),
    )
    moved = state.search.step * state.direction
    turned = gradient - state.gradient
    down = -(state.gradient @ moved)
    useful = arrived & ~state.fresh & (turned @ moved > eps * down)
    push = lambda old, new: jnp.where(useful, jnp.roll(old, -1, 0).at[-1].set(new), old)
    steps, turns = push(state.steps, moved), push(state.turns, turned)
    pairs = jnp.minimum(state.pairs + useful.astype(jnp.int32), _MEMORY)
    pairs = jnp.where(failed, 0, pairs)
    iteration = state.iteration + (arrived & ~state.fresh).astype(jnp.int32)

    # Where to go from there.
    fall = (state.value - value) / jnp.maximum(
        jnp.maximum(jnp.abs(state.value), jnp.abs(value)), 1.0
    )
    flat = (jnp.clip(base - slope, -bound, bound) == base).all()
    late = iteration > _ITERATIONS
    small = ~state.fresh & (fall <= _FACTOR * eps)
    converged = arrived & ~late & (flat | small)
    target = _model_minimum(base, slope, _curvature(steps, turns, pairs), pairs, bound)
    direction = target - base
    descent = slope @ direction
    largest = _largest_step(base, direction, bound)
    largest = jnp.where(iteration == 0, 1.0, largest)
    uphill = descent >= 0
    again = begin(at, descent, largest)
    turn = arrived | failed
    lost = (failed & (state.pairs == 0)) | (turn & uphill & (pairs == 0))
    running = state.running & ~(arrived & (late | converged)) & ~lost
    choose = lambda new, old: jnp.where(turn, new, old)
    ahead = state.base + search.step * state.direction
    # Without descent the memory is dropped, and the iterate is evaluated once more.
    reset = turn & uphill
    following = _State(
        jnp.where(reset, base, choose(target, ahead)),
        base,
        at,
        slope,
        choose(direction, state.direction),
        jax.tree.map(choose, again, search),
        choose(0, trials),
        steps,
        turns,
        jnp.where(reset, 0, pairs),
        iteration,
        reset,
        running,
        converged,
    )
    go = lambda new, old: jnp.where(state.running, new, old)
    return jax.tree.map(go, following, state)


def _with_differences(
    objective: Callable, x: Vector, bound: float
) -> tuple[Scalar, Vector]:
    """Value, and gradient by central differences cut at the bounds."""
    up = jnp.minimum(bound - x, _DIFFERENCE)
    down = jnp.minimum(x + bound, _DIFFERENCE)
    points = [x[:, None], x[:, None] + jnp.diag(up), x[:, None] - jnp.diag(down)]
    values = objective(jnp.concatenate(points, 1))
    worst = 1e300 if x.dtype.itemsize == 8 else 1e30
    values = jnp.where(jnp.isfinite(values), values, worst)
    above, below = jnp.split(values[1:], 2)
    return values[0], (above - below) / (up + down)


def _curvature(
    steps: Float[Array, "memory coefs"],
    turns: Float[Array, "memory coefs"],
    pairs: Int[Array, ""],
) -> Float[Array, "coefs coefs"]:
    """The matrix of the quadratic model from the last pairs of steps and turns."""
    last = turns[-1]
    scale = last @ last / _nonzero(steps[-1] @ last)
    scale = jnp.where(pairs > 0, scale, 1.0)
    matrix = scale * jnp.eye(last.size, dtype=last.dtype)

    def update(matrix, pair):
        index, step, turn = pair
        image = matrix @ step
        new = jnp.outer(turn, turn) / _nonzero(turn @ step)
        new = matrix + new - jnp.outer(image, image) / _nonzero(step @ image)
        return jnp.where(index >= _MEMORY - pairs, new, matrix), None

    index = jnp.arange(_MEMORY, dtype=pairs.dtype)
    return lax.scan(update, matrix, (index, steps, turns))[0]


def _model_minimum(
    x: Vector,
    gradient: Vector,
    matrix: Float[Array, "coefs coefs"],
    pairs: Int[Array, ""],
    bound: float,
) -> Vector:
    """Minimum of the model: first along the projected gradient, then in what is free.

    From the Cauchy point, the first minimum on the path bent at the bounds, the free
    coefficients go to the model's minimum, or as far as the first bound.
    """
    outward = ((gradient < 0) & (x >= bound)) | ((gradient > 0) & (x <= -bound))
    way = jnp.where(outward, 0.0, -gradient)
    to_bound = (jnp.sign(way) * bound - x) / _nonzero(way)
    reach = jnp.where(way == 0, jnp.inf, to_bound)

    def segment(_, carry):
        gone, way, time, over = carry
        slope = gradient @ way + way @ (matrix @ gone)
        bend = way @ (matrix @ way)
        stay = -slope / _nonzero(bend)
        ends = jnp.where(way == 0, jnp.inf, reach)
        end = ends.min()
        last = stay < end - time
        length = jnp.where(last, jnp.maximum(stay, 0.0), end - time)
        length = jnp.where(over | ~jnp.isfinite(length), 0.0, length)
        gone = gone + length * way
        hit = (ends == end) & ~last & ~over & jnp.isfinite(end)
        gone = jnp.where(hit, jnp.sign(way) * bound - x, gone)
        way = jnp.where(hit, 0.0, way)
        return gone, way, jnp.where(over | last, time, end), over | last

    zero = jnp.zeros_like(x)
    carry = (zero, way, zero[0], jnp.zeros((), bool))
    gone, left, _, _ = lax.fori_loop(0, x.size, segment, carry)
    cauchy = x + gone
    free = ~outward & ~((way != 0) & (left == 0))
    rest = jnp.where(free, -(gradient + matrix @ gone), 0.0)
    both = free[:, None] & free[None, :]
    inner = jnp.where(both, matrix, jnp.eye(x.size, dtype=x.dtype))
    move = jnp.where(free, jnp.linalg.solve(inner, rest), 0.0)
    part = _largest_step(cauchy, move, bound)
    inside = jnp.clip(cauchy + jnp.minimum(part, 1.0) * move, -bound, bound)
    return jnp.where(pairs > 0, inside, cauchy)


def _largest_step(x: Vector, direction: Vector, bound: float) -> Scalar:
    """How far one can go before a bound; at most 1e10."""
    room = (jnp.sign(direction) * bound - x) / _nonzero(direction)
    room = jnp.where(direction == 0, 1e10, jnp.maximum(room, 0.0))
    return jnp.minimum(room.min(), 1e10)


def _nonzero(x: Array) -> Array:
    return jnp.where(x == 0, 1.0, x)
