"""Contract cases of the dispersions of genes."""

import jax
import jax.numpy as jnp
from contract import Case
from expression_tables import small_table

from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.gene_dispersion import GeneDispersion
from diffbio_eqx.operators.expression.map_dispersion import MapDispersion


def fitted_table(key: jax.Array, **options) -> GeneTable:
    """A small table as `DispersionPrior` leaves it, with a trend of its own."""
    table = small_table(key, **options)
    genes, dtype = table.counts.shape[1], table.counts.dtype
    means = table.scale * table.base_mean
    gene = jnp.geomspace(0.03, 1.5, genes, dtype=dtype)
    return table.replace(
        means=means,
        gene_dispersion=jnp.roll(gene, 5),
        fitted_dispersion=0.05 + 5 / table.base_mean,
        prior_variance=jnp.asarray(0.6, dtype),
        log_residual_deviation=jnp.asarray(0.7, dtype),
    )


CASES = {
    "gene_dispersion": Case(
        lambda: GeneDispersion("exact"),
        lambda key: small_table(key, covariate=True),
        slow=True,
    ),
    "map_dispersion": Case(
        lambda: MapDispersion("exact", temperature=0.5),
        lambda key: fitted_table(key, covariate=True),
        slow=True,
    ),
}
