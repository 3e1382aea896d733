"""The regularised logarithm: samples' values pulled to the level of their gene."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require, require_choice, require_range
from diffbio_eqx._numerics import masked_mean
from diffbio_eqx._special import log
from diffbio_eqx._typing import Natural
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.data.regularised_counts import RegularisedCounts
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.normal_shrinkage import LOG2, NORMAL_95, UPPER
from diffbio_eqx.operators.expression.rlog_solver import (
    RlogFit,
    RlogProblem,
    fit_rlog,
)
from diffbio_eqx.operators.expression.weighted_quantile import weighted_quantile
from diffbio_eqx.params import Positive

_MANY = 100.0


class RegularisedLog(AbstractOperator):
    """log2 counts with a normal prior on how far each sample is from its gene's level.

    The GLM `log mu_ij = log n_ij + b_i + d_ij` has a coefficient for every sample and
    an intercept; `d` has the prior N(0, v) and b hardly any. With the fitted dispersion
    alpha the values `(b + d) / log 2` are log2 counts where these are large, and near
    the gene's level where they are small. The prior variance v (log2 units) is such
    that its upper 5 % begin where those of the log2 ratios of `K / n + 1/2` to
    `base_mean + 1/2` do, over all genes and samples, weighted by
    `1 / (1 / base_mean + alpha)`.

    All samples share the intercept only, so the m + 1 equations of a gene are an arrow:
    a diagonal with one full row. A round costs O(m).

    **Arguments:** a `GeneTable` with `scale`, `base_mean` and `fitted_dispersion`. For
    a "blind" transformation these come from the design `~ 1`.

    - `prior_variance`: v, log2 units, instead of the estimated one.
    - `solver`: "deseq2" or "exact".

    **Returns:** `RegularisedCounts`. Use `frozen` to transform other samples with its
    `intercept` and `prior_variance`.

    **Exact:** DESeq2's `rlog`; with `solver="deseq2"` iterations that stop, as in R,
    where the deviance changes by less than 1e-4. Nothing is relaxed. **Gradients** are
    implicit; 0 for genes that did not converge.

    **Reference:** M. I. Love, W. Huber, S. Anders, "Moderated estimation of fold change
    and dispersion for RNA-seq data with DESeq2", 2014, doi:10.1186/s13059-014-0550-8.

    ```python
    regularised = RegularisedLog()(table)  # after `DispersionTrend`
    regularised.values  # (samples, genes)
    ```
    """

    variance: Positive | None
    solver: str = eqx.field(static=True)

    def __init__(self, solver: str = "deseq2", *, prior_variance: float | None = None):
        require_choice("solver of RegularisedLog", solver, ("deseq2", "exact"))
        if prior_variance is not None:
            require_range("prior_variance", prior_variance, 0.0, open_low=True)
        self.variance = None if prior_variance is None else Positive(prior_variance)
        self.solver = solver

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> RegularisedCounts:
        _require_columns(table)
        require(table.base_mean is not None, "table", expected="base_mean", got="none")
        if self.variance is None:
            variance = prior_variance(table)
        else:
            variance = self.variance.value.astype(table.counts.dtype)
        fit = self._fit(table, variance, 1.0)
        values = jnp.where(table.tested, fit.values.total / LOG2, 0.0)
        intercept = jnp.where(table.tested, fit.values.level / LOG2, 0.0)
        return RegularisedCounts(
            values, intercept, variance, fit.converged, sparsity(table)
        )

    def frozen(
        self,
        table: GeneTable,
        intercept: Float[Array, " genes"],
        variance: Natural,
    ) -> RegularisedCounts:
        """Transform other samples by the intercepts and prior variance of a first fit.

        `table` holds the new samples with their own size factors and the first fit's
        `fitted_dispersion`; its `tested` genes are those of the first fit.
        """
        _require_columns(table)
        variance = jnp.asarray(variance, table.counts.dtype)
        intercept = jnp.where(table.tested, intercept, 0.0)
        scale = table.scale * jnp.exp(intercept * LOG2)
        fit = self._fit(table.replace(scale=scale), variance, 0.0)
        values = jnp.where(table.tested, fit.values.sample / LOG2 + intercept, 0.0)
        return RegularisedCounts(
            values, intercept, variance, fit.converged, sparsity(table)
        )

    def _fit(
        self, table: GeneTable, variance: Float[Array, ""], free: float
    ) -> RlogFit:
        problem = RlogProblem.of(table, variance, free)
        return fit_rlog(problem, table.tested, exact=self.solver == "exact")


def prior_variance(table: GeneTable) -> Float[Array, ""]:
    """Variance of samples' deviations from their gene's level, log2 units."""
    tested = table.tested
    mean = jnp.where(tested, table.base_mean, 1.0)
    spread = jnp.where(tested, table.fitted_dispersion, 1.0)
    counts = jnp.where(tested, table.counts, 1.0)
    deviation = (log(counts / table.scale + 0.5) - log(mean + 0.5)) / LOG2
    weight = jnp.where(tested, 1 / (1 / mean + spread), 0.0)
    if table.weights is not None:
        weight = weight * table.weights[:, None]
    width = weighted_quantile(jnp.abs(deviation), weight, 1 - UPPER) / NORMAL_95
    return jnp.maximum(width, 1e-6) ** 2


def sparsity(table: GeneTable) -> Float[Array, ""]:
    """Share of genes with many counts in which one sample has nearly all of them."""
    scaled = jnp.where(table.tested, table.counts, 0.0) / table.scale
    total = scaled.sum(0)
    many = table.tested & (total > _MANY)
    alone = scaled.max(0) > 0.9 * jnp.where(many, total, 1.0)
    return masked_mean(alone.astype(total.dtype), many)


def _require_columns(table: GeneTable) -> None:
    for name in ("scale", "fitted_dispersion"):
        value = getattr(table, name)
        require(value is not None, "table", expected=f"its {name}", got="none")
