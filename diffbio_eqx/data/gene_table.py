"""What the stages of Differential Expression know of every gene so far."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.design import Design

Genes = Float[Array, " genes"] | None
Flags = Bool[Array, " genes"] | None
BySample = Float[Array, "samples genes"] | None
ByCoefficient = Float[Array, "coefs genes"] | None


class GeneTable(eqx.Module):
    """Counts and the columns that stages add: each stage takes one and returns one.

    The gene axis is last everywhere. A column that no stage has filled is None.
    Entries of genes that are not `tested` (padding, or without any count) are finite
    and mean nothing. Coefficients are natural logarithms.

    Input:

    - `counts` K, `design`: see `CountMatrix`, JAX arrays of one dtype. `weights` w:
      (samples,), or (samples, genes) for a weight of each count.
    - `tested`: real genes with a count in some sample; `genes`: real genes.
    - `scale` n (samples, genes) or (samples, 1): size factors or normalisation factors.

    Columns, by the stage that fills them:

    - `SizeFactors`: `scale`, and from it `base_mean` (mean of K / n over samples) and
      `base_variance` (divisor m - 1).
    - `GeneDispersion`: `means` mu (samples, genes), `gene_dispersion`,
      `gene_dispersion_converged`.
    - `DispersionTrend`: `fitted_dispersion`, and `trend` (what fits new means).
    - `DispersionPrior`: `prior_variance`, `log_residual_deviation` (scalars; or one
      for each gene, as a copy to take derivatives to).
    - `MapDispersion`: `map_dispersion`, `dispersion_outlier` (weight in [0, 1], 1 for
      an outlier), `dispersion` (the one to test with).
    - `NegativeBinomialGLM`: `coefficients`, `coefficient_errors`, `covariance` (coefs,
      coefs, genes), `means` (of that fit), `leverages`, `deviance` (-2 log likelihood),
      `converged`, `iterations`.
    - `CooksDistance`: `cooks` (samples, genes), `max_cooks` (NaN-free; 0 where no
      sample counts).
    """

    counts: Float[Array, "samples genes"]
    design: Design
    weights: Float[Array, "*observations"] | None
    genes: Bool[Array, " genes"]
    tested: Bool[Array, " genes"]
    scale: Float[Array, "samples _"] | None = None
    base_mean: Genes = None
    base_variance: Genes = None
    means: BySample = None
    gene_dispersion: Genes = None
    gene_dispersion_converged: Flags = None
    fitted_dispersion: Genes = None
    trend: Any = None
    prior_variance: Float[Array, "*copies"] | None = None
    log_residual_deviation: Float[Array, "*copies"] | None = None
    map_dispersion: Genes = None
    dispersion_outlier: Genes = None
    dispersion: Genes = None
    coefficients: ByCoefficient = None
    coefficient_errors: ByCoefficient = None
    covariance: Float[Array, "coefs coefs genes"] | None = None
    leverages: BySample = None
    deviance: Genes = None
    converged: Flags = None
    iterations: Int[Array, " genes"] | None = None
    cooks: BySample = None
    max_cooks: Genes = None

    @staticmethod
    def start(sample: CountMatrix) -> "GeneTable":
        """The table before any stage; `scale` is filled where the sample brings it."""
        counts = jnp.asarray(sample.counts)
        dtype = counts.dtype
        count = counts.shape[1]
        genes = jnp.ones(count, bool) if sample.genes is None else sample.genes
        genes = jnp.asarray(genes)
        counts = jnp.where(genes, counts, 0.0)
        scale = None
        if sample.normalization_factors is not None:
            scale = jnp.asarray(sample.normalization_factors, dtype)
            scale = jnp.where(genes, scale, 1.0)
        elif sample.size_factors is not None:
            scale = jnp.asarray(sample.size_factors, dtype)[:, None]
        weights = sample.weights
        table = GeneTable(
            counts,
            sample.design.with_dtype(dtype),
            None if weights is None else jnp.asarray(weights, dtype),
            genes,
            genes & (counts > 0).any(0),
        )
        return table if scale is None else table.with_scale(scale)

    def with_scale(self, scale: Float[Array, "samples _"]) -> "GeneTable":
        """`scale` and what follows from it: `base_mean` and `base_variance`."""
        scaled = self.counts / scale
        mean = _weighted_mean(scaled, self.observation_weights)
        samples = self.counts.shape[0]
        square = _weighted_mean((scaled - mean) ** 2, self.observation_weights)
        variance = square * (samples / max(samples - 1, 1))
        return self.replace(scale=scale, base_mean=mean, base_variance=variance)

    @property
    def observation_weights(self) -> Float[Array, "samples _"] | None:
        """The weights as (samples, 1) or (samples, genes), or None."""
        weights = self.weights
        if weights is None or weights.ndim == 2:
            return weights
        return weights[:, None]

    def replace(self, **columns: Any) -> "GeneTable":
        """The table with these columns put in."""
        return dataclasses.replace(self, **columns)


def _weighted_mean(x: Array, weights: Array | None) -> Array:
    if weights is None:
        return x.mean(0)
    return (weights * x).sum(0) / weights.sum(0)
