"""The dispersion of every gene, shrunken towards the trend."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import PRNGKeyArray

from diffbio_eqx._checks import require, require_choice, require_range
from diffbio_eqx._typing import Mode
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.dispersion_likelihood import (
    at_optimum,
    dispersion_problem,
)
from diffbio_eqx.operators.expression.dispersion_search import (
    largest_dispersion,
    maximise,
    search,
)
from diffbio_eqx.params import Free
from diffbio_eqx.relax import Relaxation


class MapDispersion(AbstractOperator):
    """The most probable dispersion of each gene, given the trend of all.

    `map_dispersion` maximises, over log alpha, the Cox-Reid profile of `GeneDispersion`
    plus the log prior `-(log alpha - log fitted)^2 / (2 prior_variance)`.

    `dispersion_outlier` is 1 for a gene far above the trend,
    `log gene-wise > log fitted + outlier_deviations * log_residual_deviation`, and

        dispersion = outlier * gene_dispersion + (1 - outlier) * map_dispersion.

    With `solver="deseq2"` the maximum is R's: a gradient ascent from the gene-wise
    dispersion, or from the fitted one where that is more than ten times larger, that
    ends when a step gains less than 1e-6; a grid decides for genes that need 100
    rounds. `"exact"` is the maximum itself.

    **Arguments:** a `GeneTable` with `means`, `gene_dispersion`, `fitted_dispersion`,
    `prior_variance` and `log_residual_deviation`; only `tested` genes are fitted.

    **Returns:** the table with `map_dispersion`, `dispersion_outlier`, `dispersion`.

    **Exact:** the maximum, and the outliers in modes hard and straight-through.
    **Relaxed:** in soft mode the outlier weight is a sigmoid; its temperature is in
    units of log dispersion. **Gradients** of the maximum are implicit, 0 at the bounds.

    **Reference:** M. I. Love, W. Huber, S. Anders, "Moderated estimation of fold change
    and dispersion for RNA-seq data with DESeq2", 2014, doi:10.1186/s13059-014-0550-8.

    ```python
    table = MapDispersion()(table)  # after `DispersionPrior`
    outliers = table.dispersion_outlier.sum()
    ```
    """

    outlier_cutoff: Free
    relaxation: Relaxation
    solver: str = eqx.field(static=True)
    min_dispersion: float = eqx.field(static=True)

    def __init__(
        self,
        solver: str = "deseq2",
        *,
        outlier_deviations: float = 2.0,
        min_dispersion: float = 1e-8,
        temperature: float = 0.1,
        mode: Mode = "straight_through",
    ):
        require_choice("solver of the dispersion", solver, ("deseq2", "exact"))
        require_range("outlier_deviations", outlier_deviations, 0.0)
        require_range("min_dispersion", min_dispersion, 1e-12, 1.0)
        self.outlier_cutoff = Free(outlier_deviations, step=0.05)
        self.relaxation = Relaxation(temperature, mode)
        self.solver = solver
        self.min_dispersion = float(min_dispersion)

    @property
    def outlier_deviations(self) -> Any:
        """How many deviations above the trend a gene counts as an outlier."""
        return self.outlier_cutoff.value

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> GeneTable:
        for name in (
            "means",
            "gene_dispersion",
            "fitted_dispersion",
            "prior_variance",
            "log_residual_deviation",
        ):
            missing = getattr(table, name) is None
            require(not missing, "table", expected=f"its {name}", got="none")
        tested, samples = table.tested, table.counts.shape[0]
        least, most = self.min_dispersion, largest_dispersion(samples)
        low, high = math.log(least), math.log(most)
        gene = jnp.where(tested, table.gene_dispersion, 1.0)
        fitted = jnp.where(tested, table.fitted_dispersion, 1.0)
        log_fitted = jnp.log(fitted)
        problem = dispersion_problem(
            table, table.means, log_fitted, table.prior_variance
        )
        still = jax.tree.map(lax.stop_gradient, problem)
        if self.solver == "exact":
            place, _ = maximise(still, tested, low, high)
        else:
            start = lax.stop_gradient(jnp.where(gene > 0.1 * fitted, gene, fitted))
            place, _, _ = search(
                jnp.log(start), still, tested, low, high, gene_wise=False
            )
        free = tested & (place > low) & (place < high)
        shrunken = jnp.clip(jnp.exp(at_optimum(place, problem, free)), least, most)
        shrunken = jnp.where(tested, shrunken, 1.0)
        cutoff = self.outlier_deviations.astype(gene.dtype)
        limit = cutoff * table.log_residual_deviation
        outlier = self.relaxation.greater(jnp.log(gene) - log_fitted, limit)
        outlier = jnp.where(tested, outlier, 0.0)
        return table.replace(
            map_dispersion=shrunken,
            dispersion_outlier=outlier,
            dispersion=outlier * gene + (1 - outlier) * shrunken,
        )
