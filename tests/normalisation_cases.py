"""Contract cases: size factors, trend, prior, filtering, variance stabilising."""

import jax
import jax.numpy as jnp
from contract import Case
from expression_tables import small_table

from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.dispersion_prior import DispersionPrior
from diffbio_eqx.operators.expression.dispersion_trend import DispersionTrend
from diffbio_eqx.operators.expression.fitted_trend import FittedTrend
from diffbio_eqx.operators.expression.independent_filtering import IndependentFiltering
from diffbio_eqx.operators.expression.size_factors import SizeFactors
from diffbio_eqx.operators.expression.variance_stabilising import VarianceStabilising


def unscaled_table(key: jax.Array) -> GeneTable:
    """A table before its size factors, with weights."""
    table = small_table(key)
    weights = jnp.linspace(0.5, 1.5, 8)
    return table.replace(
        scale=None, base_mean=None, base_variance=None, weights=weights
    )


def dispersed_table(key: jax.Array, genes: int = 12, noise: float = 0.4) -> GeneTable:
    """A table with gene-wise dispersions around `0.1 + 3 / mean`."""
    table = small_table(key, genes=genes)
    residual = noise * jax.random.normal(jax.random.fold_in(key, 1), (genes,))
    return table.replace(
        gene_dispersion=(0.1 + 3 / table.base_mean) * jnp.exp(residual)
    )


def fitted_table(key: jax.Array) -> GeneTable:
    """The same with the trend itself."""
    table = dispersed_table(key, noise=1.2)
    trend = FittedTrend(
        jnp.array([0.1, 3.0]), None, jnp.zeros((), bool), jnp.ones((), bool)
    )
    return table.replace(trend=trend, fitted_dispersion=trend(table.base_mean))


def tests_of_genes(key: jax.Array):
    """Log p-values, which genes have one, means, which genes are real."""
    genes = 40
    strong = jnp.arange(genes) % 2 == 0
    uniform = jax.random.uniform(key, (genes,), minval=0.01)
    log_p = jnp.log(uniform) - jnp.where(strong, 8.0, 0.0)
    mean = jnp.arange(1.0, genes + 1) ** 2
    return log_p, jnp.arange(genes) % 9 != 4, mean, jnp.arange(genes) < genes - 3


def poisoned_tests(item):
    """NaN in the p-values that are none and in the means of padding."""
    log_p, tested, mean, genes = item
    return (
        jnp.where(tested, log_p, jnp.nan),
        tested,
        jnp.where(genes, mean, jnp.nan),
        genes,
    )


CASES = {
    "size_factors": Case(SizeFactors, unscaled_table),
    "poscounts": Case(lambda: SizeFactors("poscounts"), unscaled_table),
    "parametric_trend": Case(
        lambda: DispersionTrend(solver="exact"), dispersed_table, slow=True
    ),
    "local_trend": Case(lambda: DispersionTrend("local"), dispersed_table),
    "dispersion_prior": Case(DispersionPrior, fitted_table),
    "independent_filtering": Case(
        IndependentFiltering, tests_of_genes, poison=poisoned_tests
    ),
    "variance_stabilising": Case(
        lambda: VarianceStabilising(blind=False), fitted_table
    ),
}
