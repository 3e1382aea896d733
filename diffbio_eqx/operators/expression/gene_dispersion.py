"""The dispersion of every gene by itself."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require, require_choice, require_range
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.dispersion_likelihood import (
    Genes,
    at_optimum,
    dispersion_problem,
)
from diffbio_eqx.operators.expression.dispersion_search import (
    largest_dispersion,
    maximise,
    search,
)
from diffbio_eqx.operators.expression.gene_blocks import map_genes
from diffbio_eqx.operators.expression.glm_fit import fit_glm, fit_rules
from diffbio_eqx.operators.expression.glm_steps import gram
from diffbio_eqx.operators.expression.small_cholesky import SmallCholesky

Means = Float[Array, "samples genes"]


class GeneDispersion(AbstractOperator):
    """Dispersion of each gene from its own counts, and the means it is relative to.

    `means` mu = n q: q is the linear model of the scaled counts K / n where the design
    has as many different rows as coefficients, and else that of a negative binomial
    GLM at the starting dispersion; not below `min_mean`.

    `gene_dispersion` alpha maximises the Cox-Reid profile over log alpha,

        sum_j log NB(K_j; mu_j, alpha) - log det(X' W X) / 2,
        W = diag(1 / (1 / mu_j + alpha)),

    in [min_dispersion, max(10, samples)].

    - `solver="deseq2"`: R's number, which often is not the maximum. The start is the
      smaller of two moment estimates; a gradient ascent follows; its start is kept
      where the log likelihood rises by less than a millionth of itself; where the
      ascent takes one round or more than 99, and the dispersion is not at the floor, a
      grid of 20 + 20 points decides. `gene_dispersion_converged` is False for those
      that needed the grid.
    - `solver="exact"`: the maximum, by Newton's method.

    **Arguments:** a `GeneTable` with `scale`; only `tested` genes are fitted.

    **Returns:** the table with `means`, `gene_dispersion`, `gene_dispersion_converged`.

    **Raises:** `ValueError` where there are no more samples than coefficients.

    **Exact:** all; nothing is relaxed. **Gradients** are implicit where the search
    moved or the grid decided, go through the moment estimates where the start was kept,
    and are 0 at the bounds. They flow to counts, scale,
    weights and the design.

    **Reference:** M. I. Love, W. Huber, S. Anders, "Moderated estimation of fold change
    and dispersion for RNA-seq data with DESeq2", 2014, doi:10.1186/s13059-014-0550-8.

    ```python
    table = GeneDispersion()(table)  # after `SizeFactors`
    noisy = table.gene_dispersion > 1.0
    ```
    """

    solver: str = eqx.field(static=True)
    linear_means: bool | None = eqx.field(static=True)
    min_dispersion: float = eqx.field(static=True)
    min_mean: float = eqx.field(static=True)

    def __init__(
        self,
        solver: str = "deseq2",
        *,
        linear_means: bool | None = None,
        min_dispersion: float = 1e-8,
        min_mean: float = 0.5,
    ):
        require_choice("solver of the dispersion", solver, ("deseq2", "exact"))
        # R's grid and ascent end at fixed places below 1e-8.
        require_range("min_dispersion", min_dispersion, 1e-12, 1.0)
        require_range("min_mean", min_mean, 0.0, open_low=True)
        self.solver = solver
        self.linear_means = linear_means
        self.min_dispersion = float(min_dispersion)
        self.min_mean = float(min_mean)

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> GeneTable:
        start = self.start(table)
        return self.from_means(table, start, self.means(table, start))

    def start(self, table: GeneTable, inverse_scale: Genes | None = None) -> Genes:
        """The smaller of two moment estimates of the dispersion, within the bounds.

        With q = K / n, its linear model mu (at least 1) and p coefficients,
        `sum(((q - mu)^2 - mu) / mu^2) / (samples - p)`, not below 0, and
        `(var q - mean(1 / s) mean q) / (mean q)^2`; s is the size factor, or the mean
        normalisation factor of the sample. `inverse_scale` (genes,) is used for
        `mean(1 / s)` if it is given.
        """
        _require_scale(table)
        samples, coefs = table.design.matrix.shape
        require(
            samples > coefs,
            "design",
            expected=f"more samples than coefficients ({coefs})",
            got=samples,
            hint="without replicates no dispersion can be estimated",
        )
        least = float(jnp.finfo(table.counts.dtype).eps)
        if inverse_scale is None:
            inverse_scale = mean_inverse_scale(table)
        columns = {**_columns(table), "inverse_scale": inverse_scale}
        fit = _linear_fit(table)

        def one_block(block):
            scaled = _scaled(table, block)
            weights = block.get("weights", _weights(table))
            sums = lambda x: (weights * x).sum(0)
            if weights.shape[1] == 1:
                sums = lambda x: (weights.T @ x)[0]
            total = weights.sum(0)
            own = jnp.maximum(total - 1, least)
            free = jnp.maximum(total - coefs, least)
            mean = sums(scaled) / total
            variance = sums((scaled - mean) ** 2) / own
            moments = (variance - block["inverse_scale"] * mean) / mean**2
            fitted = jnp.maximum(fit(scaled, weights), 1.0)
            rough = sums(((scaled - fitted) ** 2 - fitted) / fitted**2)
            return jnp.minimum(jnp.maximum(rough / free, 0.0), moments)

        start = map_genes(one_block, columns)
        return jnp.clip(start, self.min_dispersion, largest_dispersion(samples))

    def means(self, table: GeneTable, start: Genes) -> Means:
        """The means of the counts, at least `min_mean`."""
        _require_scale(table)

        def linear():
            fit, scale = _linear_fit(table), table.scale

            def one_block(block):
                weights = block.get("weights", _weights(table))
                fitted = fit(_scaled(table, block), weights)
                fitted = fitted * block.get("scale", scale)
                return jnp.maximum(fitted, self.min_mean)

            return map_genes(one_block, _columns(table))

        def from_glm():
            matrix = jnp.asarray(table.design.matrix)
            fit = fit_glm(
                table.counts,
                table.scale,
                matrix,
                start,
                weights=table.weights,
                active=table.tested,
                rules=fit_rules(self.solver, self.min_mean),
            )
            return fit.means

        if self.linear_means is None:
            return lax.cond(table.design.is_saturated(), linear, from_glm)
        return linear() if self.linear_means else from_glm()

    def from_means(self, table: GeneTable, start: Genes, means: Means) -> GeneTable:
        """The dispersions at these means, from this start."""
        tested, samples = table.tested, table.counts.shape[0]
        start = jnp.where(tested, start, 1.0)
        least, most = self.min_dispersion, largest_dispersion(samples)
        low, high = math.log(least), math.log(most)
        problem = dispersion_problem(table, means)
        still = jax.tree.map(lax.stop_gradient, problem)
        if self.solver == "exact":
            place, converged = maximise(still, tested, low, high)
            kept = ~tested
        else:
            log_start = jnp.log(lax.stop_gradient(start))
            place, kept, gridded = search(
                log_start, still, tested, low, high, gene_wise=True
            )
            kept, converged = kept | ~tested, ~gridded
        free = ~kept & (place > low) & (place < high)
        moved = jnp.clip(jnp.exp(at_optimum(place, problem, free)), least, most)
        return table.replace(
            means=means,
            gene_dispersion=jnp.where(kept, start, moved),
            gene_dispersion_converged=converged & tested,
        )


def _require_scale(table: GeneTable) -> None:
    require(table.scale is not None, "table", expected="its scale", got="none")


def _weights(table: GeneTable) -> Float[Array, "samples _"]:
    if table.weights is None:
        return jnp.ones((table.counts.shape[0], 1), table.counts.dtype)
    return table.observation_weights


def _columns(table: GeneTable) -> dict[str, Array]:
    """What a block of genes needs to make its scaled counts."""
    columns = {"counts": table.counts, "tested": table.tested}
    if table.scale.shape[1] == table.counts.shape[1]:
        columns["scale"] = table.scale
    if table.weights is not None and table.weights.ndim == 2:
        columns["weights"] = table.weights
    return columns


def _scaled(table: GeneTable, block: dict[str, Array]) -> Means:
    """K / n of a block; 1 in genes that are not tested."""
    scaled = block["counts"] / block.get("scale", table.scale)
    return jnp.where(block["tested"], scaled, 1.0)


def mean_inverse_scale(table: GeneTable) -> Genes:
    """The (weighted) mean over samples of 1 / s, for each gene."""
    weights = _weights(table)
    inverse = 1 / _sample_scale(table)[:, None]
    mean = (weights * inverse).sum(0) / weights.sum(0)
    return jnp.broadcast_to(mean, table.tested.shape)


def _sample_scale(table: GeneTable) -> Float[Array, " samples"]:
    """The size factors, or the means of normalisation factors over tested genes."""
    if table.scale.shape[1] == 1:
        return table.scale[:, 0]
    tested = table.tested.astype(table.scale.dtype)
    return table.scale @ tested / jnp.maximum(tested.sum(), 1.0)


def _linear_fit(table: GeneTable):
    """The (weighted) linear model: fitted values from scaled counts and weights."""
    matrix = jnp.asarray(table.design.matrix)
    basis = jnp.linalg.qr(matrix)[0]
    if table.weights is None:
        return lambda scaled, weights: basis @ (basis.T @ scaled)
    # A cell without weight would make this singular.
    ridge = float(jnp.finfo(basis.dtype).eps)

    def fit(scaled: Means, weights: Float[Array, "samples _"]) -> Means:
        packed = gram(basis, weights, ridge)
        right = basis.T @ (weights * scaled)
        factor = SmallCholesky.of(packed, basis.shape[1])
        if weights.shape[1] == 1:
            right = right[:, :, None]
            return basis @ factor.solve(right)[:, :, 0]
        return basis @ factor.solve(right)

    return fit
