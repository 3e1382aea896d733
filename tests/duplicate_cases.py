"""Contract cases of the weighting of duplicates."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from contract import Case
from read_cases import seed_of

from diffbio_eqx.data.duplicate_families import DuplicateFamilies
from diffbio_eqx.operators.reads.duplicate_weighting import DuplicateWeighting

READS, PADDING = 9, 2


def families(seed):
    """Families of one to four reads, some near the threshold, and two empty rows."""
    rng = np.random.default_rng(seed)
    family = np.array([0, 0, 1, 2, 2, 2, 2, 3, 3])
    similarity = rng.uniform(0.93, 0.99, READS)
    similarity[[0, 2, 3, 7]] = 1.0
    block = DuplicateFamilies.from_groups(
        family, rng.uniform(30, 60, READS), similarity=similarity
    )
    return jax.tree.map(jnp.asarray, block.padded(READS + PADDING))


def poisoned(block):
    """Rubbish in the rows that hold no read."""
    none = ~block.read_mask
    where = lambda x: (x.family, x.similarity, x.quality, x.order, x.certain)
    values = (
        jnp.where(none, 77, block.family),
        jnp.where(none, jnp.nan, block.similarity),
        jnp.where(none, jnp.nan, block.quality),
        jnp.where(none, -5, block.order),
        block.certain | none,
    )
    return eqx.tree_at(where, block, values)


DUPLICATES: dict[str, Case] = {
    "duplicate_weighting": Case(
        make=lambda: DuplicateWeighting(0.95, 0.1),
        inputs=lambda key: families(seed_of(key)),
        poison=poisoned,
    ),
}
