"""A table that forgets its design."""

import jax.numpy as jnp

from diffbio_eqx.data.design import Design
from diffbio_eqx.data.gene_table import GeneTable


def intercept_only(table: GeneTable) -> GeneTable:
    """The counts, weights and scale with the design `~ 1`; no other column."""
    samples = table.counts.shape[0]
    dtype = table.counts.dtype
    design = Design(
        jnp.ones((samples, 1), dtype), jnp.ones(1, dtype), jnp.ones(samples, bool)
    )
    plain = GeneTable(table.counts, design, table.weights, table.genes, table.tested)
    return plain if table.scale is None else plain.with_scale(table.scale)
