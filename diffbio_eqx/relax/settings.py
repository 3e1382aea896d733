"""Reading and changing the mode and temperature of every `Relaxation` in a tree."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from diffbio_eqx._checks import fail, require_choice
from diffbio_eqx._typing import Mode, Natural
from diffbio_eqx.relax.relaxation import MODES, Relaxation


def is_relaxation(node: Any) -> bool:
    """Is this node a `Relaxation`? For `is_leaf` of tree functions."""
    return isinstance(node, Relaxation)


def set_mode(tree: PyTree, mode: Mode) -> PyTree:
    """A copy of `tree` in which every `Relaxation` has this mode.

    The mode is part of the tree's structure: set it on a whole model, not between
    `eqx.partition` and `eqx.combine`.

    **Raises:** `ValueError` for an unknown mode.
    """
    require_choice("mode of a Relaxation", mode, MODES)
    new = lambda n: _with_mode(n, mode) if is_relaxation(n) else n
    return jax.tree.map(new, tree, is_leaf=is_relaxation)


def set_temperature(tree: PyTree, temperature: Natural) -> PyTree:
    """A copy of `tree` in which every `Relaxation` has this temperature.

    Shapes and dtypes stay, so that nothing recompiles. Temperatures are in the units
    of what each operator compares; use `eqx.tree_at` to change a single one.

    **Raises:** `ValueError` unless the temperature is > 0 and finite.
    """

    level = Relaxation(temperature).temperature

    def new(node: Any) -> Any:
        if not is_relaxation(node):
            return node
        old = node.temperature
        if old is None:  # the other half of a partition holds it
            return node
        return eqx.tree_at(
            lambda n: n.temperature,
            node,
            jnp.broadcast_to(level.astype(old.dtype), old.shape),
        )

    return jax.tree.map(new, tree, is_leaf=is_relaxation)


def modes(tree: PyTree) -> dict[str, Mode]:
    """The mode of every `Relaxation`, by its path in the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_relaxation)
    return {
        jax.tree_util.keystr(path): node.mode
        for path, node in leaves
        if is_relaxation(node)
    }


def set_modes(tree: PyTree, by_path: dict[str, Mode]) -> PyTree:
    """A copy of `tree` with the modes that `modes` returned.

    **Raises:** `ValueError` if the paths are not those of the tree's relaxations.
    """
    if by_path.keys() != modes(tree).keys():
        odd = sorted(by_path.keys() ^ modes(tree).keys())
        fail(
            "modes by path",
            expected="the paths of the tree's relaxations",
            got=f"a difference at {odd[0]}",
            hint="take them from `modes` of a tree of the same structure",
        )

    def new(path: Any, node: Any) -> Any:
        if not is_relaxation(node):
            return node
        mode = by_path[jax.tree_util.keystr(path)]
        require_choice("mode of a Relaxation", mode, MODES)
        return _with_mode(node, mode)

    return jax.tree_util.tree_map_with_path(new, tree, is_leaf=is_relaxation)


def _with_mode(node: Relaxation, mode: Mode) -> Relaxation:
    """Change the mode and nothing else, also of a skeleton of shapes."""
    leaves = jax.tree.leaves(node)
    return jax.tree.unflatten(jax.tree.structure(Relaxation(1.0, mode)), leaves)
