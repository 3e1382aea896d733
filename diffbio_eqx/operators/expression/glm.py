"""The negative binomial GLM of every gene: coefficients, errors, leverages."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require
from diffbio_eqx._numerics import safe_sqrt
from diffbio_eqx._special import log
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.gene_blocks import map_genes
from diffbio_eqx.operators.expression.glm_fit import GLMFit as GLMFit
from diffbio_eqx.operators.expression.glm_fit import fit_glm as fit_glm
from diffbio_eqx.operators.expression.glm_fit import fit_rules
from diffbio_eqx.operators.expression.glm_solver import NO_FLOOR, only_intercept
from diffbio_eqx.operators.expression.glm_steps import (
    FitRules,
    Observed,
    best_likelihood,
    gram,
    likelihood_loss,
    slopes,
    weighted,
)
from diffbio_eqx.operators.expression.small_cholesky import (
    SmallCholesky,
    pair_indices,
    pair_products,
    unpack,
)


class NegativeBinomialGLM(AbstractOperator):
    """Fit of log mu = log n + X beta to the counts of every gene (see `fit_glm`).

    - `coefficients` beta (coefs, genes), natural logarithms.
    - `covariance` V B V with B = X' W X and V = (B + ridge)^-1; `coefficient_errors`,
      the roots of its diagonal. W = w mu / (1 + alpha mu) at mu held at 0.5 or above.
    - `means` mu = n exp(X beta), not held; `deviance`, -2 log likelihood at `means`.
    - `leverages` h_j = W_j x_j' V x_j.
    - `converged`, `iterations`: R's `betaConv` and `betaIter`.

    **Arguments:** a `GeneTable` with `scale` and `dispersion`.

    **Returns:** the table with these columns.

    **Exact:** R's DESeq2, with `solver="deseq2"` the very iterate at which R stops.
    Nothing is relaxed. **Gradients** are implicit (see `fit_glm`).

    **Reference:** M. I. Love, W. Huber, S. Anders, "Moderated estimation of fold change
    and dispersion for RNA-seq data with DESeq2", 2014, doi:10.1186/s13059-014-0550-8.

    ```python
    table = NegativeBinomialGLM()(table)  # after `MapDispersion`
    log2_effects = table.coefficients / jnp.log(2.0)
    ```
    """

    rules: FitRules

    def __init__(
        self,
        solver: str = "deseq2",
        *,
        min_mean: float = 0.5,
        tolerance: float = 1e-8,
        rounds: int = 100,
    ):
        self.rules = fit_rules(solver, min_mean, tolerance, rounds)

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> GeneTable:
        return self.with_matrix(table, jnp.asarray(table.design.matrix))

    def with_matrix(
        self, table: GeneTable, matrix: Float[Array, "samples coefs"]
    ) -> GeneTable:
        """The same for another design matrix, such as that of a reduced model."""
        scale, dispersion = table.scale, table.dispersion
        require(scale is not None, "table", expected="its scale", got="none")
        require(dispersion is not None, "table", expected="its dispersion", got="none")
        fit = fit_glm(
            table.counts,
            scale,
            matrix,
            dispersion,
            weights=table.weights,
            active=table.tested,
            rules=self.rules,
        )
        details = fit_details(table, matrix, fit, self.rules)
        return table.replace(
            coefficients=fit.coefficients,
            coefficient_errors=details.errors,
            covariance=details.covariance,
            means=details.means,
            leverages=details.leverages,
            deviance=details.deviance,
            converged=fit.converged,
            iterations=fit.iterations,
        )


class FitDetails(NamedTuple):
    """What follows from a fit: see the columns of `NegativeBinomialGLM`."""

    errors: Float[Array, "coefs genes"]
    covariance: Float[Array, "coefs coefs genes"]
    means: Float[Array, "samples genes"]
    leverages: Float[Array, "samples genes"]
    deviance: Float[Array, " genes"]


def fit_details(
    table: GeneTable,
    matrix: Float[Array, "samples coefs"],
    fit: GLMFit,
    rules: FitRules,
) -> FitDetails:
    """Ordinary, differentiable functions of the coefficients and of the data.

    As in R, a gene that fell back keeps the leverages of the iterations that failed,
    and its likelihood is that of the means held at the floor.
    """
    weights = table.observation_weights
    closed = only_intercept(matrix)
    shared = table.scale.shape[1] != table.counts.shape[1]
    columns = {
        "counts": table.counts,
        "dispersion": table.dispersion,
        "beta": fit.coefficients,
        "last": lax.stop_gradient(fit.last),
        "fell_back": fit.fell_back,
        "tested": table.tested,
    } | ({} if shared else {"scale": table.scale})
    own = weights is not None and weights.shape[1] == table.counts.shape[1]
    columns |= {"weights": weights} if own else {}

    def one_block(block):
        tested = block["tested"]
        log_scale = log(table.scale if shared else block["scale"])
        dispersion = jnp.where(tested, block["dispersion"], 1.0)
        counts = jnp.where(tested, block["counts"], 1.0)
        weight = block.get("weights", weights)
        data = Observed(counts, log_scale, dispersion, matrix, weight)
        beta = jnp.where(tested, block["beta"], 0.0)
        floor = jnp.where(closed, NO_FLOOR, math.log(rules.min_mean))
        floor = floor.astype(beta.dtype)
        ridge = jnp.where(closed, 0.0, rules.ridge).astype(beta.dtype)
        largest = math.log(float(jnp.finfo(beta.dtype).max)) / 2
        log_mean = jnp.minimum(log_scale + matrix @ beta, largest)
        mean = jnp.exp(log_mean)
        held = jnp.exp(jnp.maximum(log_mean, floor))
        fisher = weighted(slopes(held, data)[1], weight)
        plain = gram(matrix, fisher)
        inverse = _inverse(matrix, fisher, ridge)
        product = lambda x, y: (x[:, :, None] * y[None]).sum(1)
        full = unpack(plain, matrix.shape[1])
        covariance = product(product(inverse, full), inverse)
        variances = jnp.stack([covariance[i, i] for i in range(matrix.shape[1])])

        # R leaves the leverages of a failed fit where its iterations ended.
        failed = block["fell_back"] & tested
        last = log_scale + matrix @ jnp.where(failed, block["last"], 0.0)
        last = slopes(jnp.exp(jnp.clip(last, floor, largest)), data)[1]
        other = jnp.where(failed, lax.stop_gradient(weighted(last, weight)), fisher)
        leverages = other * _quadratic(matrix, _inverse(matrix, other, ridge))

        taken = jnp.where(failed, jnp.maximum(log_mean, floor), log_mean)
        likelihood = best_likelihood(data) - likelihood_loss(jnp.exp(taken), data)
        return FitDetails(
            safe_sqrt(variances), covariance, mean, leverages, -2 * likelihood
        )

    return map_genes(one_block, columns)


def _inverse(matrix: Array, weight: Array, ridge: Array) -> Array:
    """(X' diag(weight) X + ridge)^-1."""
    return SmallCholesky.of(gram(matrix, weight, ridge), matrix.shape[1]).inverse()


def _quadratic(
    matrix: Float[Array, "samples coefs"], inverse: Float[Array, "coefs coefs genes"]
) -> Float[Array, "samples genes"]:
    """x_j' V x_j of every row of the matrix."""
    rows, columns = pair_indices(matrix.shape[1])
    twice = jnp.asarray(2.0 - (rows == columns), matrix.dtype)[:, None]
    return (twice * pair_products(matrix)).T @ inverse[rows, columns]
