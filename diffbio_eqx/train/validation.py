"""How good is the model now? One number, lower is better."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from diffbio_eqx._checks import require
from diffbio_eqx.train.batches import on_device
from diffbio_eqx.train.step import Loss, evaluate, own

Validator = Callable[[PyTree, PyTree], float]


def validator(validation: Any, loss: Loss, key: PRNGKeyArray) -> Validator:
    """`(diff, rest) -> number` for what the caller gave to `fit`.

    A callable is called with the model; a list holds batches, whose losses are
    averaged; anything else is one batch. Dropout is off, and the key is the same at
    every validation.
    """
    if callable(validation):

        def measured(diff: PyTree, rest: PyTree) -> float:
            model = eqx.combine(own(diff), rest)
            return float(validation(eqx.nn.inference_mode(model)))

        return measured

    batches = validation if isinstance(validation, list) else [validation]
    require(batches, "validation", expected="at least one batch", got="an empty list")
    batches = [on_device(batch) for batch in batches]
    fixed = jax.random.fold_in(key, jnp.uint32(0xFFFFFFFF))

    def mean_loss(diff: PyTree, rest: PyTree) -> float:
        values = [evaluate(diff, rest, loss, b, fixed) for b in batches]
        return sum(map(float, values)) / len(values)

    return mean_loss
