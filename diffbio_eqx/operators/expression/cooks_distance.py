"""Cook's distances: how far one count moves the coefficients of its gene."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from diffbio_eqx._checks import require
from diffbio_eqx.data.design import Design
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.gene_blocks import map_genes
from diffbio_eqx.operators.expression.trimmed_cells import TrimmedCells
from diffbio_eqx.statistics.tail_probabilities import f_quantile

LEAST_DISPERSION = 0.04
FEWEST_REPLICATES = 3
QUANTILE = 0.99
_LARGER_COUNTS = 3

Table = Float[Array, "samples genes"]


class CooksDistance(AbstractOperator):
    """`cooks` D (samples, genes) and `max_cooks`, their largest where it counts.

    `D_j = (K_j - mu_j)^2 / (mu_j + alpha mu_j^2) / p * h_j / (1 - h_j)^2` with the
    leverage h and a robust dispersion `alpha = max((v - q) / q^2, 0.04)`: q is the mean
    of the scaled counts, v the largest of the trimmed variances of cells of the design
    (samples of the same row) with 3 or more samples. A trimmed variance of n samples
    leaves out n/3, n/4 (from 4 on) or n/8 (from 24 on) at each end, of the counts for
    the centre and of the squares about it, and is multiplied by 2.04, 1.86 or 1.51.
    Without such a cell all samples are taken as one, as in the largest class.

    `max_cooks` is over samples in cells of 3 or more; without any it is 0.

    **Arguments:** `table`, a `GeneTable` after `NegativeBinomialGLM`.

    **Returns:** the table with `cooks` and `max_cooks`.

    **Exact:** all; weights of samples enter through the leverages only.

    ```python
    table = CooksDistance()(table)
    ```

    Reference: Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8; Cook 1977,
    doi:10.1080/00401706.1977.10489493.
    """

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> GeneTable:
        for name in ("means", "leverages", "scale"):
            found = getattr(table, name) is not None
            require(found, "table", expected=f"its {name}", got="none")
        cell_variance = _CellVariance.of(table.design)
        coefs = table.design.matrix.shape[1]
        shared = table.scale.shape[1] == 1
        columns = {
            "counts": table.counts,
            "means": jnp.where(table.tested, table.means, 1.0),
            "leverages": jnp.where(table.tested, table.leverages, 0.0),
            **({} if shared else {"scale": table.scale}),
        }

        def one_block(block):
            counts, mean = block["counts"], block["means"]
            scaled = counts / block.get("scale", table.scale)
            variance = cell_variance(scaled)
            level = jnp.maximum(scaled.mean(0), float(jnp.finfo(mean.dtype).tiny))
            robust = (variance - level) / level / level
            robust = jnp.maximum(robust, LEAST_DISPERSION)
            residual = (counts - mean) ** 2 / (mean + robust * mean**2)
            leverage = block["leverages"]
            rest = jnp.maximum(1 - leverage, float(jnp.finfo(mean.dtype).eps))
            return residual / coefs * leverage / rest**2

        cooks = jnp.where(table.tested, map_genes(one_block, columns), 0.0)
        counted = table.design.replicates() >= FEWEST_REPLICATES
        return table.replace(cooks=cooks, max_cooks=largest(cooks, counted))


class _CellVariance(eqx.Module):
    """The largest trimmed variance of a cell."""

    cells: TrimmedCells
    counted: Bool[Array, " samples"]
    factor: Float[Array, " samples"]

    @staticmethod
    def of(design: Design) -> "_CellVariance":
        """For cells of 3 samples and more; without one, all samples are a cell."""
        same = design.same_cell()
        enough = same.sum(1) >= FEWEST_REPLICATES
        some = enough.any()
        same = same | ~some
        size = same.sum(1).astype(jnp.int32)
        few, middle = (size <= 3) & some, (size < 24) & some
        share = jnp.where(few, 3, jnp.where(middle, 4, 8)).astype(size.dtype)
        factor = jnp.where(few, 2.04, jnp.where(middle, 1.86, 1.51))
        cells = TrimmedCells(same, size // share, size)
        return _CellVariance(cells, enough | ~some, factor)

    def __call__(self, x: Table) -> Float[Array, " genes"]:
        squares = (x - self.cells.mean(x)) ** 2
        within = self.factor.astype(x.dtype)[:, None] * self.cells.mean(squares)
        return jnp.max(within, 0, where=self.counted[:, None], initial=0.0)


def largest(cooks: Table, counted: Bool[Array, " samples"]) -> Float[Array, " genes"]:
    """The largest distance over the samples that count."""
    return jnp.max(cooks, 0, where=counted[:, None], initial=0.0)


def cooks_cutoff(table: GeneTable) -> float:
    """The 99 % quantile of F(p, m - p): distances above it are of outliers."""
    samples, coefs = table.design.matrix.shape
    return f_quantile(QUANTILE, coefs, samples - coefs)


def cooks_outliers(table: GeneTable) -> Bool[Array, " genes"]:
    """Genes whose largest distance is above the cutoff. No gradient.

    In a design of two groups and nothing else, a gene is kept where three counts or
    more are larger than the one with the largest distance.
    """
    beyond = table.tested & (table.max_cooks > cooks_cutoff(table))
    if table.design.matrix.shape[1] != 2:
        return beyond
    worst = jnp.argmax(table.cooks, 0)
    count = jnp.take_along_axis(table.counts, worst[None], 0)
    excused = (table.counts > count).sum(0) >= _LARGER_COUNTS
    return beyond & ~(excused & table.design.is_saturated())
