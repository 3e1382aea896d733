"""Which leaves of a model an optimiser may move, and how far in a step."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from diffbio_eqx.params import NETWORK_STEP, AbstractParameter, Frozen
from diffbio_eqx.relax import Relaxation


def trainable_spec(model: PyTree) -> PyTree:
    """True at each leaf an optimiser may move, False elsewhere.

    That is every floating JAX array outside of `Relaxation` and `Frozen`. NumPy arrays,
    integers and anything else are False. Narrow it with `eqx.tree_at` to train a part:

    ```python
    spec = jax.tree.map(lambda _: False, dbx.trainable_spec(model))
    spec = eqx.tree_at(lambda m: m.classifier, spec, dbx.trainable_spec(m.classifier))
    ```
    """

    def pick(node: Any) -> Any:
        if isinstance(node, Relaxation | Frozen):
            return jax.tree.map(lambda _: False, node)
        return isinstance(node, jax.Array) and jnp.issubdtype(node.dtype, jnp.inexact)

    stop = lambda node: isinstance(node, Relaxation | Frozen)
    return jax.tree.map(pick, model, is_leaf=stop)


def step_scales(model: PyTree) -> PyTree:
    """How `fit` scales the optimiser's update of each leaf.

    `step / NETWORK_STEP` inside a parameter node, 1 elsewhere.
    """

    def scale(node: Any) -> Any:
        if isinstance(node, AbstractParameter):
            return jax.tree.map(lambda _: node.step / NETWORK_STEP, node)
        return 1.0

    stop = lambda node: isinstance(node, AbstractParameter)
    return jax.tree.map(scale, model, is_leaf=stop)
