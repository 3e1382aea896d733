"""Batches by step, from whatever the caller has."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from diffbio_eqx._checks import fail, require

Batches = Callable[[int], PyTree] | Sequence[PyTree] | Iterable[PyTree]


def batch_source(batches: Batches, *, checkpointed: bool) -> Callable[[int], PyTree]:
    """A function of the step: the caller's own, a cycle, or the next of an iterator.

    Warns if a run with a checkpoint gets an iterator, which nobody can wind back.
    """
    if callable(batches):
        return batches
    if hasattr(batches, "__getitem__") and hasattr(batches, "__len__"):
        count = len(batches)
        require(count > 0, "batches", expected="at least one batch", got="none")
        return lambda step: batches[step % count]
    if not isinstance(batches, Iterable):
        fail(
            "batches",
            expected="a function of the step, a sequence or an iterator",
            got=type(batches).__name__,
            hint="for one batch at every step pass `lambda step: batch`",
        )
    if checkpointed:
        warnings.warn(
            "batches is an iterator: a resumed run goes on with its next items, not "
            "with those that an unbroken run would have seen. Pass a function of the "
            "step or a sequence for a resume that is equal to the bit.",
            stacklevel=3,
        )
    iterator = iter(batches)

    def following(step: int) -> PyTree:
        try:
            return next(iterator)
        except StopIteration:
            fail(
                "batches",
                expected="one batch for every step",
                got=f"an iterator that ended before step {step}",
                hint="lower `steps`, or pass a sequence, which is cycled",
            )

    return following


def on_device(batch: PyTree) -> PyTree:
    """Numbers and NumPy arrays as JAX arrays, so that no value is compiled in."""

    def leaf_of(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray | np.generic):
            return jnp.asarray(leaf)
        if isinstance(leaf, bool | int | float):
            return jnp.asarray(leaf, type(leaf))
        return leaf

    return jax.tree.map(leaf_of, batch)
