"""What several tests need: keys, comparison of trees, central differences."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

_count = itertools.count()


def getkey() -> jax.Array:
    """A new key at each call; the sequence is the same in every run of a test file."""
    return jax.random.key(next(_count))


def tree_allclose(a: Any, b: Any, *, rtol: float = 1e-5, atol: float = 1e-6) -> bool:
    """Are two trees equal in structure, dtypes, shapes, and nearly in numbers?

    Integers, booleans and leaves that are no arrays must be equal. NaN equals NaN.
    """
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(_leaf_close(x, y, rtol, atol) for x, y in pairs)


def _leaf_close(x: Any, y: Any, rtol: float, atol: float) -> bool:
    if not eqx.is_array(x) or not eqx.is_array(y):
        return type(x) is type(y) and bool(x == y)
    if x.dtype != y.dtype or x.shape != y.shape:
        return False
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return bool((x == y).all())
    return np.allclose(x, y, rtol=rtol, atol=atol, equal_nan=True)


def finite_difference(
    function: Callable[[Any], jax.Array],
    at: Any,
    direction: Any,
    step: float = 1e-5,
) -> float:
    """Central difference of a scalar function of a tree; use it in float64."""
    moved = lambda h: jax.tree.map(lambda x, d: x + h * d, at, direction)
    return float((function(moved(step)) - function(moved(-step))) / (2 * step))


def random_direction(tree: Any, key: jax.Array) -> Any:
    """A tree of normal random numbers with the shapes and dtypes of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, max(len(leaves), 1))
    normal = [
        jax.random.normal(k, leaf.shape, leaf.dtype)
        for k, leaf in zip(keys, leaves, strict=False)
    ]
    return jax.tree.unflatten(structure, normal)
