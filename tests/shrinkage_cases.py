"""Contract cases of shrinkage and of the regularised logarithm."""

import jax.numpy as jnp
import numpy as np
from contract import Case
from expression_tables import small_table

from diffbio_eqx.operators.expression.apeglm import Apeglm
from diffbio_eqx.operators.expression.normal_shrinkage import NormalShrinkage
from diffbio_eqx.operators.expression.rlog import RegularisedLog


def fitted_table(key, **options):
    """A small table with dispersions, and rough estimates of its coefficients."""
    table = small_table(key, **options)
    genes = table.counts.shape[1]
    dispersion = np.linspace(0.05, 0.4, genes)
    matrix = np.asarray(table.design.matrix, float)
    logs = np.log(np.asarray(table.counts / table.scale, float) + 0.1)
    inverse = np.linalg.inv(matrix.T @ matrix)
    errors = np.sqrt(np.diag(inverse)[:, None] * dispersion)
    cast = lambda x: jnp.asarray(x, table.counts.dtype)
    return table.replace(
        dispersion=cast(dispersion),
        fitted_dispersion=cast(np.linspace(0.3, 0.1, genes)),
        coefficients=cast(inverse @ (matrix.T @ logs)),
        coefficient_errors=cast(errors),
    )


def padded_table(key):
    """The same with two genes that are none."""
    table = fitted_table(key)
    real = jnp.arange(table.counts.shape[1]) < 10
    return table.replace(tested=table.tested & real, genes=table.genes & real)


def poisoned(table):
    """Rubbish in the columns of genes that are none."""
    bad = lambda x: jnp.where(table.genes, x, 1e3)
    names = ("dispersion", "fitted_dispersion", "coefficients", "coefficient_errors")
    columns = {name: bad(getattr(table, name)) for name in (*names, "base_mean")}
    return table.replace(**columns)


CASES = {
    "normal_shrinkage": Case(
        lambda: NormalShrinkage("exact"), padded_table, poisoned, slow=True
    ),
    "apeglm": Case(lambda: Apeglm("exact"), padded_table, poisoned, slow=True),
    "regularised_log": Case(
        lambda: RegularisedLog("exact", prior_variance=0.4),
        padded_table,
        poisoned,
        slow=True,
    ),
}
