"""The leaves of a tree as plain arrays and JSON numbers, and back."""

import hashlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from diffbio_eqx._checks import fail

_PLAIN = (bool, int, float, str, type(None))


def arrays_of(tree: PyTree) -> dict[str, np.ndarray]:
    """Every array leaf by its path; random keys as their data."""
    return {path: _to_numpy(leaf) for path, leaf in _paths(tree) if is_array_like(leaf)}


def plain_of(tree: PyTree) -> dict[str, Any]:
    """Every leaf that is a Python number, flag or text, by its path."""
    return {path: leaf for path, leaf in _paths(tree) if isinstance(leaf, _PLAIN)}


def digest_of(tree: PyTree) -> str:
    """SHA-256 of paths, dtypes and shapes of all array leaves (or their skeletons)."""
    lines = [
        f"{path} {leaf.dtype} {leaf.shape}"
        for path, leaf in _paths(tree)
        if is_array_like(leaf)
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def fill(
    skeleton: PyTree,
    arrays: Mapping[str, np.ndarray],
    plain: Mapping[str, Any],
    what: str,
) -> PyTree:
    """A copy of `skeleton` (arrays or shapes) with these leaves in it.

    **Raises:** `ValueError` if a leaf is missing or has another dtype or shape.
    """

    def leaf_of(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path)
        if not is_array_like(leaf):
            return plain.get(name, leaf)
        if name not in arrays:
            fail(what, expected=f"an array for {name}", got="none", hint=_OTHER_MODEL)
        return _from_numpy(arrays[name], leaf, f"{what}, leaf {name}")

    return jax.tree_util.tree_map_with_path(leaf_of, skeleton)


_OTHER_MODEL = "the file was written for another model or package version"


def _paths(tree: PyTree) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def is_array_like(leaf: Any) -> bool:
    """An array of JAX or NumPy, or the skeleton of one?"""
    return eqx.is_array(leaf) or isinstance(leaf, np.ndarray | jax.ShapeDtypeStruct)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_numpy(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _from_numpy(array: np.ndarray, like: Any, what: str) -> jax.Array:
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array))
    if array.dtype != like.dtype:
        hint = "wrap both saving and loading in jax.enable_x64(...) alike"
        fail(what, expected=f"dtype {like.dtype}", got=str(array.dtype), hint=hint)
    if array.shape != like.shape:
        fail(what, expected=like.shape, got=array.shape, hint=_OTHER_MODEL)
    return jnp.array(array)
