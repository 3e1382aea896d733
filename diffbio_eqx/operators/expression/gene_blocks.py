"""Many small problems, one a gene, solved in blocks that fit the cache.

Arrays have the gene axis last. A block has so many genes that (samples, block) arrays
stay in the cache; small ones are bounded below, so that the cost of starting a loop is
shared by many genes.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, PyTree

State = TypeVar("State")

_ENTRIES = 32_768
_FEWEST, _MOST = 64, 2_048


def block_size(samples: int, genes: int) -> int:
    """Genes in a block of about 32k entries: 64 to 2,048, and at most `genes`."""
    size = _ENTRIES // max(samples, 1)
    return max(1, min(max(size, _FEWEST), _MOST, genes))


def map_genes(function: Callable[[PyTree], PyTree], columns: PyTree) -> PyTree:
    """`function` on blocks of genes, one after the other, with flat memory.

    `function` takes a tree of arrays with genes last and returns such a tree; each gene
    must be handled alone. The blocks are recomputed in the backward pass.
    """
    genes, size = _shape(columns)
    blocks = -(-genes // size)
    if blocks == 1:
        return function(columns)
    split = lambda x: _blocked(x, blocks, size)
    result = lax.map(jax.checkpoint(function), jax.tree.map(split, columns))
    join = lambda x: jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], -1)[..., :genes]
    return jax.tree.map(join, result)


def iterate_genes(
    step: Callable[[State, PyTree], State],
    unfinished: Callable[[State], Bool[Array, " block"]],
    state: State,
    columns: PyTree,
    *,
    rounds: int,
    chunk: int = 8,
) -> State:
    """`step` every gene until it is finished, and no gene longer than needed.

    - `state`, `columns`: trees of arrays with genes last; `columns` stay as they are.
    - `step(state, columns)`: one round for a block of genes. It must leave a finished
      gene as it is.
    - `unfinished(state)`: which genes of a block need another round.
    - `rounds`: no gene gets more than this, rounded up to a multiple of `chunk`.

    Every `chunk` rounds the unfinished genes are brought together, so that a few hard
    genes do not keep their whole block busy. Not for differentiation: wrap the solution
    in an implicit rule.
    """
    genes, size = _shape((state, columns))
    places = jnp.arange(-(-genes // size) * size)

    def advance(block: State, fixed: PyTree) -> State:
        go = lambda carry: (carry[1] < chunk) & unfinished(carry[0]).any()
        one = lambda carry: (step(carry[0], fixed), carry[1] + 1)
        return lax.while_loop(go, one, (block, 0))[0]

    def some_round(carry):
        state, done, _ = carry
        active = unfinished(state)
        count = active.sum()
        order = jnp.argsort(~active, stable=True)
        order = jnp.where(places < count, jnp.resize(order, places.shape), genes)

        def one_block(index, state):
            chosen = lax.dynamic_slice(order, (index * size,), (size,))
            take = lambda x: jnp.take(x, chosen, axis=-1, mode="clip")
            block = advance(jax.tree.map(take, state), jax.tree.map(take, columns))
            put = lambda x, y: x.at[..., chosen].set(y, mode="drop")
            return jax.tree.map(put, state, block)

        state = lax.fori_loop(0, -(-count // size), one_block, state)
        return state, done + chunk, unfinished(state).any()

    going = lambda carry: carry[2] & (carry[1] < rounds)
    return lax.while_loop(going, some_round, (state, 0, unfinished(state).any()))[0]


def _shape(columns: PyTree) -> tuple[int, int]:
    """Number of genes and genes in a block."""
    leaves = jax.tree.leaves(columns)
    genes = leaves[0].shape[-1]
    assert all(leaf.shape[-1] == genes for leaf in leaves), "genes are the last axis"
    return genes, block_size(max([x.size // genes for x in leaves]), genes)


def _blocked(x: Array, blocks: int, size: int) -> Array:
    """(..., genes) to (blocks, ..., size); the last gene fills the end."""
    lack = blocks * size - x.shape[-1]
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, lack)], mode="edge")
    return jnp.moveaxis(x.reshape(*x.shape[:-1], blocks, size), -2, 0)
