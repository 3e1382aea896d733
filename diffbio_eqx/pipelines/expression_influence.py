"""How much each sample moves each gene's result, without a single refit."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffbio_eqx._typing import FloatArray
from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.pipelines.differential_expression import (
    DifferentialExpressionPipeline,
)
from diffbio_eqx.relax import set_mode


class SampleInfluence(eqx.Module):
    """Derivatives with respect to the weight of each sample, at weight 1.

    - `log_p` (samples, genes): of the natural log of the p-value.
    - `log_fold_change` (samples, genes): of the log2 effect.

    Leaving sample j out changes a gene's `log p` by about `-log_p[j]`. Genes without a
    p-value have 0.
    """

    log_p: Float[Array, "samples genes"]
    log_fold_change: Float[Array, "samples genes"]


class _Shared(eqx.Module):
    """What genes have in common, as copies, one for each gene.

    `scale` (samples, genes), `trend` (k, genes), `variance` (genes,).
    """

    scale: FloatArray
    trend: FloatArray
    variance: FloatArray


def sample_influence(
    pipeline: DifferentialExpressionPipeline, sample: CountMatrix
) -> SampleInfluence:
    """The Jacobian of all log p-values and effects to all sample weights.

    A sample's weight acts on a gene through the gene's own likelihood, and through
    what all genes share: size factors s, the coefficients a of the trend, the prior
    variance v. Given a copy of those for each gene, genes do not meet, so that one
    reverse pass gives the derivatives of all genes to their own weights and copies.
    With `d` for the derivative to the weight of a sample, the rest is

        d log p_g = own_g + (log p_g / s) ds + (log p_g / a) da + (log p_g / v) dv,

    where `da` and `dv` are sums over genes of the same kind of own parts, and `ds` is
    the Jacobian of the size factors alone. Nothing is fitted again, and the cost does
    not grow with the number of samples but for the small Jacobian `ds`.

    Medians have the gradient of their relaxation; filters, replaced counts and the
    choice of Cook's outliers are held fixed. The trend must be parametric.

    **Returns:** a `SampleInfluence`.
    """
    return _influence(set_mode(pipeline, "straight_through"), sample)


@eqx.filter_jit
def _influence(pipeline, sample) -> SampleInfluence:
    fitted, _ = pipeline.fitted(sample)
    counts = fitted.counts
    one = jnp.ones(counts.shape[0], counts.dtype)
    copies = lambda x: jnp.broadcast_to(x[..., None], (*x.shape, counts.shape[1]))
    scale = jnp.broadcast_to(fitted.scale, counts.shape)
    trend, variance = fitted.trend.coefficients, fitted.prior_variance
    shared = _Shared(scale, copies(trend), copies(variance))
    own = jnp.ones_like(counts)

    ds = _scale_jacobian(pipeline, sample, one)

    # Gene-wise dispersions and base means, by own weights and own scale.
    first = lambda w, n: _first_stage(pipeline, fitted, w, n)
    (log_disp, base_mean), by_gene = _own(first, own, scale)
    d_disp, d_mean = (_through_scale(part, ds) for part in by_gene)

    # Trend and prior: sums over genes.
    trend, back = jax.vjp(
        lambda d, b: _trend(pipeline, fitted, d, b), log_disp, base_mean
    )
    rows = jax.vmap(lambda e: back(e))(jnp.eye(len(trend), dtype=counts.dtype))
    da = rows[0] @ d_disp.T + rows[1] @ d_mean.T
    prior = lambda w, d, b, a: _prior(pipeline, fitted, w, d, b, a)
    _, back = jax.vjp(prior, one, log_disp, base_mean, trend)
    direct, by_disp, by_mean, by_trend = back(jnp.ones((), counts.dtype))
    dv = direct + by_disp @ d_disp.T + by_mean @ d_mean.T + by_trend @ da

    last = lambda w, s: _last_stage(pipeline, fitted, w, s)
    _, by_gene = _own(last, own, shared)
    results = [_total(part, ds, da, dv) for part in by_gene]
    keep = lambda x: jnp.where(fitted.tested, x, 0.0)
    return SampleInfluence(*map(keep, results))


def _own(function: Callable, *inputs):
    """Values of a function of separate genes, and each output's own-gene gradient."""
    outputs, back = jax.vjp(function, *inputs)
    ones = [jnp.ones_like(output) for output in outputs]
    zeros = [jnp.zeros_like(output) for output in outputs]
    pick = lambda i: (*zeros[:i], ones[i], *zeros[i + 1 :])
    return outputs, [back(pick(i)) for i in range(len(outputs))]


def _through_scale(part, ds: Array) -> Array:
    """(samples, genes): by a sample's weight, its own way and through size factors."""
    by_weight, by_scale = part
    return by_weight + ds.T @ by_scale


def _total(part, ds: Array, da: Array, dv: Array) -> Array:
    by_weight, shared = part
    through = ds.T @ shared.scale + da.T @ shared.trend + dv[:, None] * shared.variance
    return by_weight + through


def _scale_jacobian(pipeline, sample, one: Array) -> Array:
    """(samples, samples): of size factor i to the weight of sample j."""
    if sample.size_factors is not None or sample.normalization_factors is not None:
        return jnp.zeros((one.size, one.size), one.dtype)

    def factors(weights: Array) -> Array:
        return pipeline.scaled(dataclasses.replace(sample, weights=weights)).scale[:, 0]

    return jax.jacfwd(factors)(one)


def _first_stage(pipeline, fitted: GeneTable, weights, scale) -> tuple[Array, Array]:
    """Log gene-wise dispersions and base means, by own weights and own scale."""
    table = fitted.replace(weights=weights).with_scale(scale)
    table = pipeline.gene_dispersion(table)
    return jnp.log(table.gene_dispersion), table.base_mean


def _last_stage(pipeline, fitted: GeneTable, weights, shared) -> tuple[Array, Array]:
    """Log p-values and log2 effects, by own weights and own copies."""
    table = fitted.replace(weights=weights).with_scale(shared.scale)
    table = pipeline.gene_dispersion(table)
    trend = _parametric(shared.trend, table.base_mean)
    table = table.replace(fitted_dispersion=trend, prior_variance=shared.variance)
    table = pipeline.glm(pipeline.map_dispersion(table))
    statistics = pipeline.test(table)
    return statistics.log_p, statistics.log_fold_change


def _trend(pipeline, fitted: GeneTable, log_dispersion, base_mean) -> Array:
    table = fitted.replace(gene_dispersion=jnp.exp(log_dispersion), base_mean=base_mean)
    return pipeline.trend(table).trend.coefficients


def _prior(pipeline, fitted, weights, log_dispersion, base_mean, trend) -> Array:
    table = fitted.replace(
        weights=weights[:, None],
        gene_dispersion=jnp.exp(log_dispersion),
        fitted_dispersion=_parametric(trend, base_mean),
    )
    return pipeline.prior(table).prior_variance


def _parametric(coefficients: Array, mean: Array) -> Array:
    """a0 + a1 / mean; genes that are not fitted have mean 0."""
    return coefficients[0] + coefficients[1] / jnp.where(mean > 0, mean, 1.0)
