"""How deep each sample was sequenced: median of ratios."""

from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, PRNGKeyArray

from diffbio_eqx._checks import require, require_choice
from diffbio_eqx._special import log
from diffbio_eqx._typing import Mode
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.gene_blocks import map_genes
from diffbio_eqx.operators.expression.iterative_size_factors import (
    iterate_size_factors,
)
from diffbio_eqx.params import Frozen
from diffbio_eqx.relax import Relaxation
from diffbio_eqx.statistics.robust import median

Method = Literal["auto", "ratio", "poscounts", "iterate"]

_NO_GENE = (
    "size factors: expected a gene without zeros, got none; "
    "use method 'poscounts' or 'auto'."
)


class SizeFactors(AbstractOperator):
    """Size factors of the samples: `scale`, `base_mean` and `base_variance`.

    `s_j = exp median_i (log K_ij - mean_j log K_ij)`

    - `"ratio"`: over genes with no zero in any sample.
    - `"poscounts"`: over genes with K_ij > 0; zeros count as log 1 in the mean, and the
      factors are divided by their geometric mean.
    - `"auto"`: "ratio", but "poscounts" where every gene has a zero
      (`uses_poscounts(table)` tells).
    - `"iterate"`: in turn with a fit of all genes (see `iterate_size_factors`).

    With weights of samples, means over samples are weighted. A table that has a `scale`
    is returned as it is.

    **Arguments:** `table`, a `GeneTable`.

    - `method`: as above.
    - `control_genes`: booleans, one a gene: the genes to take the median over.
    - `geometric_means`: one a gene, 0 to leave it out, in place of those of the counts;
      the factors are then divided by their geometric mean.
    - `temperature`: width of the median's soft form, in natural logarithms.

    **Returns:** the table with `scale` (samples, 1) and what follows from it.

    **Raises:** an error at run time with "ratio" where every gene has a zero, and with
    "iterate" if it does not settle.

    **Exact:** hard and straight-through modes. **Relaxed:** the median in soft mode,
    and its gradient, the mean over genes near it (see `median`).

    ```python
    table = SizeFactors()(GeneTable.start(sample))
    table.scale[:, 0]
    ```

    Reference: Anders and Huber 2010, doi:10.1186/gb-2010-11-10-r106.
    """

    control_genes: Frozen | None
    geometric_means: Frozen | None
    relaxation: Relaxation
    method: Method = eqx.field(static=True)

    def __init__(
        self,
        method: Method = "auto",
        *,
        control_genes: Any = None,
        geometric_means: Any = None,
        temperature: float = 0.05,
        mode: Mode = "straight_through",
    ):
        require_choice("method of size factors", method, get_args(Method))
        limited = geometric_means is not None or control_genes is not None
        require(
            method != "iterate" or not limited,
            "method of size factors",
            expected="another one than 'iterate' with genes or means given",
            got=method,
        )
        if control_genes is not None:
            control_genes = np.asarray(control_genes)
            right = control_genes.dtype == bool and control_genes.any()
            require(
                right,
                "control_genes",
                expected="a boolean for each gene, some of them True",
                got=control_genes,
            )
        if geometric_means is not None:
            geometric_means = np.asarray(geometric_means, float)
            good = np.isfinite(geometric_means) & (geometric_means >= 0)
            require(
                good.all() and geometric_means.any(),
                "geometric_means",
                expected="numbers >= 0, some of them positive",
                got=geometric_means,
            )
        self.control_genes = None if control_genes is None else Frozen(control_genes)
        given = geometric_means is not None
        self.geometric_means = Frozen(geometric_means) if given else None
        self.relaxation = Relaxation(temperature, mode)
        self.method = method

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> GeneTable:
        if table.scale is not None:
            return table
        if self.method == "iterate":
            return table.with_scale(jnp.exp(iterate_size_factors(table))[:, None])
        means, usable, centred = self._log_means(table)
        if self.control_genes is not None:
            usable = usable & self.control_genes.value

        @jax.checkpoint
        def of_sample(counts):
            inside = usable & (counts > 0)
            ratios = log(jnp.where(inside, counts, 1.0)) - means
            return median(ratios, inside, self.relaxation)

        logs = lax.map(of_sample, table.counts)
        logs = logs - jnp.where(centred, _mean(logs, table.weights), 0.0)
        return table.with_scale(jnp.exp(logs)[:, None])

    def uses_poscounts(self, table: GeneTable) -> Bool[Array, ""]:
        """Whether the factors of this table come from "poscounts"."""
        if self.method == "auto" and self.geometric_means is None:
            return ~(_complete(table) & table.genes).any()
        return jnp.asarray(self.method == "poscounts")

    def _log_means(self, table: GeneTable) -> tuple[Array, Array, Array]:
        """Mean logarithms of genes, which genes have one, whether to centre."""
        if self.geometric_means is not None:
            given = self.geometric_means.value.astype(table.counts.dtype)
            usable = table.genes & (given > 0)
            return log(jnp.where(usable, given, 1.0)), usable, jnp.ones((), bool)

        def of_block(counts):
            logs = log(jnp.where(counts > 0, counts, 1.0))
            return _mean(logs, table.weights)

        means = map_genes(of_block, table.counts)
        positive = self.uses_poscounts(table)
        complete = _complete(table)
        usable = table.genes & jnp.where(positive, _counted(table), complete)
        if self.method == "ratio":
            means = eqx.error_if(means, ~usable.any(), _NO_GENE)
        return means, usable, positive


def _mean(logs: Array, weights: Array | None) -> Array:
    """Weighted mean over samples, the first axis."""
    if weights is None:
        return logs.mean(0)
    weights = weights.reshape(-1, *(1,) * (logs.ndim - 1))
    return (weights * logs).sum(0) / weights.sum()


def _counts_at_all(table: GeneTable) -> Bool[Array, "samples 1"]:
    """Samples with a weight above 0."""
    if table.weights is None:
        return jnp.ones((table.counts.shape[0], 1), bool)
    return (table.weights > 0)[:, None]


def _complete(table: GeneTable) -> Bool[Array, " genes"]:
    return ((table.counts > 0) | ~_counts_at_all(table)).all(0)


def _counted(table: GeneTable) -> Bool[Array, " genes"]:
    return ((table.counts > 0) & _counts_at_all(table)).any(0)
