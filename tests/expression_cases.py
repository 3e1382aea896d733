"""Contract cases of the operators of Differential Expression."""

import jax
import jax.numpy as jnp
from contract import Case

from diffbio_eqx.operators.expression.expected_power import (
    ExpectedPower,
    PlannedExperiment,
)


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
    "expected_power": Case(ExpectedPower, planned_experiment),
    "expected_power_at_a_level": Case(
        lambda: ExpectedPower(fdr=None), planned_experiment
    ),
}
