"""One step of training and one evaluation, compiled once a run."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from diffbio_eqx._checks import fail

Loss = Callable[..., tuple[Float[Array, ""], dict[str, Array]]]


class Inputs(NamedTuple):
    """What a step reads and does not change. Arrays are traced, the rest static."""

    rest: PyTree
    loss: Loss
    optimiser: optax.GradientTransformation
    scales: PyTree
    clip_norm: float | None
    batch: PyTree
    key: PRNGKeyArray
    index: Array


class Report(NamedTuple):
    """What a step tells about itself."""

    loss: Array
    grad_norm: Array
    aux: dict[str, Array]


@eqx.filter_jit(donate="all-except-first")
def train_step(
    inputs: Inputs, diff: PyTree, opt_state: PyTree
) -> tuple[PyTree, PyTree, Report]:
    """Move `diff` once; the buffers of `diff` and `opt_state` are given away."""
    key = jax.random.fold_in(inputs.key, inputs.index)

    def objective(diff: PyTree) -> tuple[Array, dict[str, Array]]:
        model = eqx.combine(diff, inputs.rest)
        return _checked(inputs.loss(model, inputs.batch, key=key))

    (value, aux), grads = jax.value_and_grad(objective, has_aux=True)(diff)
    norm = _norm(grads, value.dtype)
    if inputs.clip_norm is not None:
        factor = jnp.minimum(1.0, inputs.clip_norm / jnp.maximum(norm, 1e-30))
        grads = jax.tree.map(lambda g: g * factor.astype(g.dtype), grads)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes int and float counts
        updates, state = inputs.optimiser.update(grads, opt_state, diff)
    updates = jax.tree.map(lambda u, s: u * s, updates, inputs.scales)
    moved = eqx.apply_updates(diff, updates)
    return _like(moved, diff), _like(state, opt_state), Report(value, norm, aux)


@eqx.filter_jit
def evaluate(
    diff: PyTree, rest: PyTree, loss: Loss, batch: PyTree, key: PRNGKeyArray
) -> Array:
    """The loss of the model on one batch, dropout off."""
    model = eqx.nn.inference_mode(eqx.combine(diff, rest))
    return _checked(loss(model, batch, key=key))[0]


def own(tree: PyTree) -> PyTree:
    """A copy in buffers of its own, strongly typed."""
    copy = lambda x: jnp.array(x, dtype=x.dtype, copy=True) if eqx.is_array(x) else x
    return jax.tree.map(copy, tree)


def _norm(grads: PyTree, dtype: Any) -> Array:
    squares = [jnp.sum(jnp.abs(g) ** 2).astype(dtype) for g in jax.tree.leaves(grads)]
    return jnp.sqrt(sum(squares, start=jnp.zeros((), dtype)))


def _like(new: PyTree, old: PyTree) -> PyTree:
    """`new` with the dtypes of `old`, so that the next step finds the same types."""

    def cast(x: Any, like: Any) -> Any:
        return jnp.asarray(x, like.dtype) if eqx.is_array(like) else x

    return jax.tree.map(cast, new, old)


def _checked(outcome: Any) -> tuple[Array, dict[str, Array]]:
    hint = "return (scalar, dict of scalars)"
    if not isinstance(outcome, tuple) or len(outcome) != 2:
        kind = type(outcome).__name__
        fail("value of the loss", expected="a pair", got=kind, hint=hint)
    value, aux = outcome
    if not isinstance(aux, dict):
        kind = type(aux).__name__
        fail("auxiliary values of the loss", expected="a dict", got=kind, hint=hint)
    for name, number in {"loss": value, **aux}.items():
        if jnp.shape(number) != ():
            shape = f"shape {jnp.shape(number)}"
            fail(f"{name!r} of the loss", expected="a scalar", got=shape, hint=hint)
        if name in _RESERVED and name in aux:
            fail("auxiliary name", expected="a free one", got=name, hint="rename it")
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        fail("loss", expected="a floating scalar", got=str(value.dtype), hint=hint)
    return value, {name: jnp.asarray(number) for name, number in aux.items()}


_RESERVED = (
    "step",
    "loss",
    "grad_norm",
    "temperature",
    "validation",
    "validation_step",
)
