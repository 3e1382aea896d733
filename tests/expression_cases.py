"""Contract cases of the operators of Differential Expression."""

import dataclasses

import jax
import jax.numpy as jnp
from contract import Case
from dispersion_cases import CASES as DISPERSIONS
from expression_tables import small_table
from glm_cases import CASES as FITS
from normalisation_cases import CASES as TRENDS
from shrinkage_cases import CASES as SHRINKAGES

from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.cooks_distance import CooksDistance
from diffbio_eqx.operators.expression.expected_power import (
    ExpectedPower,
    PlannedExperiment,
)
from diffbio_eqx.operators.expression.fitted_trend import FittedTrend
from diffbio_eqx.operators.expression.glm import NegativeBinomialGLM
from diffbio_eqx.operators.expression.likelihood_ratio_test import LikelihoodRatioTest
from diffbio_eqx.operators.expression.outlier_replacement import OutlierReplacement
from diffbio_eqx.operators.expression.wald_test import WaldTest


def tested_table(key: jax.Array) -> GeneTable:
    """A small table with a fit of every gene, such as `NegativeBinomialGLM` leaves."""
    table = small_table(key, samples=14)
    genes, dtype = table.counts.shape[1], table.counts.dtype
    spread = jnp.geomspace(0.05, 0.4, genes, dtype=dtype)
    effect = jnp.linspace(-1.5, 1.7, genes, dtype=dtype)
    group = table.design.matrix[:, 1]
    means = table.scale * table.base_mean * jnp.exp(0.3 * group[:, None])
    covariance = jnp.array([[1.0, -1.0], [-1.0, 2.0]], dtype)[..., None] * spread
    level = jnp.log(table.base_mean)
    return table.replace(
        dispersion=spread,
        coefficients=jnp.stack([level, effect]),
        covariance=covariance,
        means=means,
        leverages=jnp.full_like(means, 1 / 7),
        deviance=jnp.full_like(spread, -1e3),
    )


def with_reduced(key: jax.Array) -> GeneTable:
    """The same with a reduced design, an intercept alone."""
    table = tested_table(key)
    design = table.design
    one = design.matrix[:, :1]
    return table.replace(design=dataclasses.replace(design, reduced=one))


def with_cooks(key: jax.Array) -> GeneTable:
    """The same with Cook's distances, one of them large."""
    table = tested_table(key)
    cooks = jnp.full_like(table.means, 0.1).at[3, 1].set(50.0)
    return table.replace(cooks=cooks, max_cooks=cooks.max(0))


def a_trend() -> FittedTrend:
    """0.1 + 3 / mean."""
    yes = jnp.ones((), bool)
    return FittedTrend(jnp.array([0.1, 3.0]), None, ~yes, yes)


def planned_experiment(key: jax.Array, genes: int = 6) -> PlannedExperiment:
    """Two cells of a two-group design, and genes with an effect."""
    keys = jax.random.split(key, 3)
    effects = 1.0 + jax.random.uniform(keys[0], (genes,))
    return PlannedExperiment(
        cells=jnp.array([[1.0, 0.0], [1.0, 1.0]]),
        replicates=jnp.array([3.0, 4.0]),
        contrast=jnp.array([0.0, 1.0]),
        depth=jnp.asarray(1.0, float),
        mean=jnp.exp(3.0 + jax.random.normal(keys[1], (genes,))),
        dispersion=0.05 + 0.2 * jax.random.uniform(keys[2], (genes,)),
        coefficients=jnp.stack([jnp.zeros(genes), effects]),
    )


EXPRESSION_OPERATORS: dict[str, Case] = {
    **DISPERSIONS,
    **FITS,
    **TRENDS,
    **SHRINKAGES,
    "wald_test": Case(WaldTest, tested_table),
    "wald_test_of_small_effects": Case(
        lambda: WaldTest(1.0, "lessAbs", use_t=True), tested_table
    ),
    "likelihood_ratio_test": Case(
        lambda: LikelihoodRatioTest(NegativeBinomialGLM("exact")),
        with_reduced,
        fixed=("design",),
        slow=True,
    ),
    "cooks_distance": Case(
        CooksDistance,
        lambda key: tested_table(jax.random.fold_in(key, 1)),  # no near ties
        fixed=("design",),
    ),
    "outlier_replacement": Case(
        OutlierReplacement, with_cooks, fixed=("design",), slow=True
    ),
    "fitted_trend": Case(a_trend, lambda key: 5.0 + jax.random.exponential(key, (6,))),
    "expected_power": Case(ExpectedPower, planned_experiment, slow=True),
    "expected_power_at_a_level": Case(
        lambda: ExpectedPower(fdr=None), planned_experiment
    ),
}
