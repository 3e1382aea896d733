"""Batches: pad samples to one shape and stack them."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from diffbio_eqx._checks import fail, require, require_range


def stack(samples: Sequence[PyTree]) -> PyTree:
    """Pad every array of the samples to the largest shape, and stack along a new axis.

    Works on the host, leaf by leaf; for `jax.vmap(pipeline)(stack(samples))`. Padding
    is 0, 0.0 or False, so padded entries of a mask are False. A data type that needs
    something else defines

    ```python
    def padding(self) -> dict[str, Any]:
        return {"bases": 7, "reference": None}
    ```

    from the names of its own array fields to fill values; `None` means that all samples
    must agree in shape. A field named `reference` must agree unless its type says
    otherwise.

    **Raises:** `ValueError` if there is no sample, or if the samples differ in
    structure, rank, dtype, or where they must agree.
    """
    samples = list(samples)
    require(samples, "samples to stack", expected="at least one", got="none")
    first = jax.tree_util.tree_flatten_with_path(samples[0])
    leaves = [[leaf] for _, leaf in first[0]]
    for index, sample in enumerate(samples[1:], 1):
        flat, structure = jax.tree.flatten(sample)
        if structure != first[1]:
            fail(
                "samples to stack",
                expected="the same fields in every sample",
                got=f"another structure in sample {index} than in sample 0",
                hint="give an optional field to all samples or to none",
            )
        for column, leaf in zip(leaves, flat, strict=True):
            column.append(leaf)
    stacked = []
    for (path, _), column in zip(first[0], leaves, strict=True):
        fill, agree = _fill_of(samples[0], path)
        where = jax.tree_util.keystr(path)
        stacked.append(_stack_leaf(where, column, fill, agree=agree))
    return jax.tree.unflatten(first[1], stacked)


def bucket(n: int, *, growth: float = 1.5, minimum: int = 16) -> int:
    """The smallest bucket length >= `n`, so that few shapes compile.

    Lengths start at `minimum` and grow by `growth` (1.05 to 4), rounded up to a
    multiple of 8. `bucket(bucket(n)) == bucket(n)`.
    """
    require(n >= 0, "length to bucket", expected="at least 0", got=n)
    require(minimum >= 1, "minimum", expected="at least 1", got=minimum)
    require_range("growth", growth, 1.05, 4.0)
    size = minimum
    while size < n:
        size = math.ceil(size * growth / 8) * 8
    return size


def _fill_of(sample: PyTree, path: tuple[Any, ...]) -> tuple[Any, bool]:
    """Fill value of a leaf, and whether its shape must agree in all samples."""
    parent = sample
    for entry in path[:-1]:
        parent = _child(parent, entry)
    name = getattr(path[-1], "name", None) if path else None
    fills = parent.padding() if hasattr(type(parent), "padding") else {}
    if name in fills:
        return fills[name], fills[name] is None
    return 0, name == "reference"


def _child(parent: Any, entry: Any) -> Any:
    if isinstance(entry, jax.tree_util.GetAttrKey):
        return getattr(parent, entry.name)
    return parent[entry.idx if hasattr(entry, "idx") else entry.key]


def _stack_leaf(where: str, column: list[Any], fill: Any, *, agree: bool) -> Any:
    if not eqx.is_array(column[0]):
        fail(
            f"field {where}",
            expected="an array in every sample",
            got=type(column[0]).__name__,
            hint="data types hold arrays only",
        )
    arrays = [np.asarray(array) for array in column]
    shapes = [array.shape for array in arrays]
    for what, values in (
        ("dtype", [str(array.dtype) for array in arrays]),
        ("number of axes", [array.ndim for array in arrays]),
        ("shape", shapes if agree else shapes[:1]),
    ):
        for index, value in enumerate(values):
            require(
                value == values[0],
                f"{what} of {where}",
                expected=f"{values[0]} as in sample 0",
                got=f"{value} in sample {index}",
                hint="stack only samples that agree in it, such as windows of one size",
            )
    size = tuple(max(lengths) for lengths in zip(*shapes, strict=True))
    padded = np.full((len(arrays), *size), fill or 0, arrays[0].dtype)
    for index, array in enumerate(arrays):
        padded[(index, *(slice(n) for n in array.shape))] = array
    return jnp.asarray(padded)
