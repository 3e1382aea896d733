"""Outlying counts replaced by what the other samples say, where there are enough."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from diffbio_eqx._checks import require
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.cooks_distance import (
    FEWEST_REPLICATES,
    cooks_cutoff,
    largest,
)
from diffbio_eqx.operators.expression.gene_blocks import map_genes
from diffbio_eqx.operators.expression.trimmed_cells import TrimmedCells

_TRIM = 0.2


class ReplacedOutliers(eqx.Module):
    """A table to fit again, and what becomes of the first fit.

    - `table`: the counts with outliers replaced, `tested` only for the genes to fit
      again, base means and variances of the new counts.
    - `replaced` (genes,): genes with an outlier. `emptied`: of these, genes without a
      count left, whose effect is then 0 with p-value 1.
    - `max_cooks` (genes,): the largest distance over samples that were not open to
      replacement, from the first fit.
    """

    table: GeneTable
    replaced: Bool[Array, " genes"]
    emptied: Bool[Array, " genes"]
    max_cooks: Float[Array, " genes"]


class OutlierReplacement(AbstractOperator):
    """Replaces counts with a large Cook's distance in cells of many replicates.

    A count with a distance above the 99 % quantile of F(p, m - p), of a sample that
    shares its row of the design with at least `min_replicates` samples (itself
    included), becomes the mean of the scaled counts over all samples, 20 % trimmed off
    at each end, times the sample's scale, rounded down. Nothing else is changed. The
    genes are to be fitted again with the trend and the prior that are there; results
    and distances of the others stay.

    **Arguments:** `table`, a `GeneTable` after `CooksDistance`.

    - `min_replicates`: at least 3.

    **Returns:** `ReplacedOutliers`.

    **Exact:** all. A replaced count passes no gradient.

    ```python
    again = OutlierReplacement(min_replicates=7)(table)
    ```

    Reference: Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8.
    """

    min_replicates: int = eqx.field(static=True)

    def __init__(self, min_replicates: int = 7):
        require(
            min_replicates >= FEWEST_REPLICATES,
            "min_replicates",
            expected="at least 3",
            got=min_replicates,
            hint="an outlier cannot be told among fewer samples",
        )
        self.min_replicates = int(min_replicates)

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> ReplacedOutliers:
        require(table.cooks is not None, "table", expected="its cooks", got="none")
        replicates = table.design.replicates()
        open_samples = replicates >= self.min_replicates
        cooks = lax.stop_gradient(table.cooks)
        outlying = cooks > cooks_cutoff(table)
        replaced = table.tested & outlying.any(0) & open_samples.any()
        counts = table.counts
        new = jnp.floor(_trimmed_mean(lax.stop_gradient(table)) * table.scale)
        new = lax.stop_gradient(new)
        counts = jnp.where(outlying & open_samples[:, None] & replaced, new, counts)
        empty = ~(counts > 0).any(0)
        again = table.replace(counts=counts, tested=replaced & ~empty)
        rest = (replicates >= FEWEST_REPLICATES) & ~open_samples
        some = (replaced & ~empty).any()
        max_cooks = jnp.where(some, largest(cooks, rest), table.max_cooks)
        return ReplacedOutliers(
            again.with_scale(table.scale), replaced, replaced & empty, max_cooks
        )


def _trimmed_mean(table: GeneTable) -> Float[Array, " genes"]:
    """Mean of the scaled counts without 20 % at each end."""
    samples = table.counts.shape[0]
    size = jnp.full(samples, samples, jnp.int32)
    cut = jnp.full_like(size, int(samples * _TRIM))
    together = TrimmedCells(jnp.ones((samples, samples), bool), cut, size)
    total = map_genes(lambda x: together.kept(x).sum(0), table.counts / table.scale)
    return total / (samples - 2 * int(samples * _TRIM))
