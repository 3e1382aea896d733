"""Intervals and rank stability of effects by the Bayesian bootstrap."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require
from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.design import Design
from diffbio_eqx.pipelines.differential_expression import (
    DifferentialExpressionPipeline,
)

FEWEST_REPLICATES = 3


class BootstrapResult(eqx.Module):
    """Draws of an experiment, genes last.

    - `log_fold_change` (draws, genes): log2; NaN where a gene has no effect to tell.
    - `rank` (draws, genes): 0 for the smallest p-value of the draw.
    - `parametric`: whether counts were drawn (True) or samples weighted (False).
    """

    log_fold_change: Float[Array, "draws genes"]
    rank: Float[Array, "draws genes"]
    parametric: Array

    def interval(self, level: float = 0.95) -> Float[Array, "2 genes"]:
        """Ends of the central interval of the log fold change that holds `level`."""
        tail = (1.0 - level) / 2
        quantiles = jnp.asarray([tail, 1.0 - tail], self.log_fold_change.dtype)
        return jnp.nanquantile(self.log_fold_change, quantiles, axis=0)

    def top_share(self, top: int) -> Float[Array, " genes"]:
        """Share of the draws in which a gene is among the `top` smallest p-values."""
        return (self.rank < top).mean(0)


def bootstrap_expression(
    pipeline: DifferentialExpressionPipeline,
    sample: CountMatrix,
    *,
    key: PRNGKeyArray,
    draws: int = 200,
    block: int = 4,
) -> BootstrapResult:
    """Run the whole pipeline on `draws` bootstrap versions of an experiment.

    With 3 or more replicates in every cell of the design (samples of the same row), a
    draw gives the samples of each cell Dirichlet(1, ..., 1) weights, scaled to mean
    1: the Bayesian bootstrap, under which every stage is fitted anew. With fewer,
    weights would say nothing about the spread; counts are drawn from the fitted
    negative binomial instead (a parametric bootstrap). A design in which every sample
    is a cell of its own, as with a continuous covariate, is such a case.

    **Arguments:**

    - `sample`: on the host (NumPy or concrete arrays); its cells choose the kind.
    - `draws`: how many. `block`: draws that run side by side in a `vmap`; memory grows
      with it.

    **Returns:** a `BootstrapResult`. Equal keys give equal draws.

    Reference: Rubin 1981, doi:10.1214/aos/1176345338.
    """
    require(draws >= 1, "draws", expected="at least 1", got=draws)
    require(block >= 1, "block", expected="at least 1", got=block)
    parametric = bool((sample.design.replicates() < FEWEST_REPLICATES).any())
    draw = _counts_drawn if parametric else _samples_weighted
    keys = jax.random.split(key, draws)
    effects, ranks = _run(pipeline, sample, keys, draw, block)
    return BootstrapResult(effects, ranks, jnp.asarray(parametric))


@eqx.filter_jit
def _run(pipeline, sample, keys, draw, block):
    fitted = None
    if draw is _counts_drawn:
        table = pipeline.fitted(sample)[0]
        fitted = (table.means, table.dispersion)

    def one(key: PRNGKeyArray) -> tuple[Array, Array]:
        result = pipeline(draw(sample, fitted, key))
        log_p = jnp.where(jnp.isnan(result.log_p_values), 0.0, result.log_p_values)
        rank = jnp.argsort(jnp.argsort(log_p)).astype(log_p.dtype)
        return result.log_fold_change, rank

    return lax.map(one, keys, batch_size=block)


def _samples_weighted(sample: CountMatrix, fitted, key: PRNGKeyArray) -> CountMatrix:
    """Dirichlet weights within each cell of the design, of mean 1."""
    design: Design = sample.design
    dtype = jnp.asarray(sample.counts).dtype
    share = jax.random.exponential(key, (len(design.matrix),), dtype)
    same = design.same_cell().astype(dtype)
    return dataclasses.replace(sample, weights=share * same.sum(1) / (same @ share))


def _counts_drawn(sample: CountMatrix, fitted, key: PRNGKeyArray) -> CountMatrix:
    """Negative binomial counts with the fitted means and dispersions."""
    means, dispersion = fitted
    of_rate, of_count = jax.random.split(key)
    shape = 1.0 / dispersion
    rate = jax.random.gamma(of_rate, shape, means.shape, means.dtype) * dispersion
    counts = jax.random.poisson(of_count, means * rate).astype(means.dtype)
    return dataclasses.replace(sample, counts=counts)
