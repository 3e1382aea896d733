"""Contract cases of the GLM and of its tests."""

import jax.numpy as jnp
from contract import Case
from expression_tables import small_table

from diffbio_eqx.operators.expression.glm import NegativeBinomialGLM


def dispersed_table(key, **options):
    """A small table with a dispersion of every gene."""
    table = small_table(key, **options)
    genes = table.counts.shape[1]
    return table.replace(dispersion=jnp.linspace(0.05, 0.5, genes))


CASES = {
    "negative_binomial_glm": Case(
        lambda: NegativeBinomialGLM("exact"),
        lambda key: dispersed_table(key, covariate=True),
        slow=True,
    ),
}
