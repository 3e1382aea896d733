"""How much each sample moves each gene's result, without a single refit.

A gene's result depends on a sample's weight through its own likelihoods, and through
what all genes share: size factors, trend, prior width. The own part is diagonal: with
a copy of the weights and of the size factors for every gene, one reverse pass of a
stage gives the derivatives of all genes to all samples. The shared part is small and is
carried forward, sample by sample.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.cooks_distance import cooks_outliers
from diffbio_eqx.operators.expression.gene_dispersion import mean_inverse_scale
from diffbio_eqx.pipelines.differential_expression import (
    DifferentialExpressionPipeline,
    on_trend,
)

Jacobian = Float[Array, "samples genes"]


class _Own(NamedTuple):
    """Copies for every gene: of weights, scale, and the mean over samples of 1 / s."""

    weights: Float[Array, "samples genes"]
    scale: Float[Array, "samples genes"]
    noise: Float[Array, " genes"]


class SampleInfluence(eqx.Module):
    """Derivatives with respect to the weight of each sample, at weight 1.

    - `log_p` (samples, genes): of the natural log of the p-value.
    - `log_fold_change` (samples, genes): of the log2 effect.

    Leaving sample j out changes a gene's `log p` by about `-log_p[j]`. Genes without a
    p-value have 0.
    """

    log_p: Jacobian
    log_fold_change: Jacobian


class _Shared(NamedTuple):
    """What all genes share, by the weight of each sample.

    - `scale` (weights, samples, 1): size factors; given factors do not move.
    - `noise` (weights,): the mean over samples of 1 / s.
    - `fitted` (weights, genes), `variance`, `deviation` (weights,): trend and prior.
    - `trend`: the parameters of the trend, with weights as their first axis.
    """

    scale: Float[Array, "weights samples 1"]
    noise: Float[Array, " weights"]
    fitted: Jacobian | None = None
    variance: Float[Array, " weights"] | None = None
    deviation: Float[Array, " weights"] | None = None
    trend: PyTree = None


def sample_influence(
    pipeline: DifferentialExpressionPipeline, sample: CountMatrix
) -> SampleInfluence:
    """The Jacobian of all log p-values and effects to all sample weights.

    Nothing is fitted again: the cost is that of about two runs, whatever the number of
    samples. A weight acts through everything: the gene's own likelihoods, size factors,
    trend, prior, and the counts of other genes.

    Decisions have the gradient of the pipeline's mode: in the default one, medians and
    the outlier rule that of their relaxation; filters and replaced counts are fixed.

    **Returns:** a `SampleInfluence`.
    """
    before, noise, shared = _scaled(pipeline, sample)
    table, back, dispersions, means = _dispersions(pipeline, before, noise, shared)
    table, shared = _trend(pipeline, table, dispersions, means, shared)
    table, found = _tested(pipeline, table, back, shared)
    table = eqx.filter_jit(pipeline.cooks)(table)
    replacement = pipeline.replacement
    if replacement is not None and len(table.counts) >= replacement.min_replicates:
        again = eqx.filter_jit(replacement)(table)
        todo, back, _, means = _dispersions(pipeline, again.table, noise, shared)
        todo, moved = _on_same_trend(table, todo, means, shared)
        _, other = _tested(pipeline, todo, back, moved)
        choose = lambda new, old: jnp.where(again.replaced, new, old)
        found = tuple(map(choose, other, found))
        table = table.replace(counts=again.table.counts, max_cooks=again.max_cooks)
    known = table.tested & (table.counts > 0).any(0)
    if pipeline.config.cooks_filter:
        left = table.replace(tested=known, counts=before.counts)
        known = known & ~cooks_outliers(left)
    return SampleInfluence(*(jnp.where(known, x, 0.0) for x in found))


@eqx.filter_jit
def _scaled(
    pipeline: DifferentialExpressionPipeline, sample: CountMatrix
) -> tuple[GeneTable, Array, _Shared]:
    """The table with a weight of 1 for each count, `noise`, and how scales change."""
    counts = jnp.asarray(sample.counts)
    ones = jnp.ones(len(counts), counts.dtype)
    weighted = lambda w: pipeline.scaled(dataclasses.replace(sample, weights=w))

    def scales(weights: Array) -> tuple[tuple[Array, Array], GeneTable]:
        table = weighted(weights)
        # Given factors do not move; size factors are a column.
        column = table.scale[:, :1]
        return (column, mean_inverse_scale(table)[0]), table

    (_, noise), push, table = jax.linearize(scales, ones, has_aux=True)
    eye = jnp.eye(len(ones), dtype=ones.dtype)
    scale, change = lax.map(push, eye, batch_size=8)
    wide = lambda x: jnp.broadcast_to(x, counts.shape)
    table = table.replace(weights=wide(ones[:, None])).with_scale(wide(table.scale))
    return table, noise, _Shared(scale, change)


@eqx.filter_jit
def _dispersions(
    pipeline: DifferentialExpressionPipeline,
    table: GeneTable,
    noise: Float[Array, ""],
    shared: _Shared,
) -> tuple[GeneTable, Callable, Jacobian, Jacobian]:
    """Dispersions of single genes; they, and mean counts, by every weight.

    The function that is returned takes cotangents of `gene_dispersion` and `means`
    back to the copies of weights and scale.
    """

    operator = pipeline.gene_dispersion

    def run(own: _Own) -> tuple[tuple[Array, Array], GeneTable]:
        given = _with(table, own)
        start = operator.start(given, own.noise)
        found = operator.from_means(given, start, operator.means(given, start))
        return (found.gene_dispersion, found.means), found

    noise = jnp.broadcast_to(noise, table.tested.shape)
    own = _Own(table.weights, table.scale, noise)
    (dispersion, means), back, found = jax.vjp(run, own, has_aux=True)
    (to_own,) = back((jnp.ones_like(dispersion), jnp.zeros_like(means)))
    mean, back_mean = jax.vjp(lambda own: _with(table, own).base_mean, own)
    (to_mean,) = back_mean(jnp.ones_like(mean))
    return found, back, _chain(to_own, shared), _chain(to_mean, shared)


@eqx.filter_jit
def _trend(
    pipeline: DifferentialExpressionPipeline,
    table: GeneTable,
    dispersions: Jacobian,
    means: Jacobian,
    shared: _Shared,
) -> tuple[GeneTable, _Shared]:
    """Trend and prior, and their change with each weight."""

    def run(dispersion: Array, mean: Array, weights: Array) -> tuple:
        given = table.replace(
            gene_dispersion=dispersion, base_mean=mean, weights=weights
        )
        found = pipeline.prior(pipeline.trend(given))
        moving, still = eqx.partition(found.trend, eqx.is_inexact_array)
        prior = found.prior_variance, found.log_residual_deviation
        return (found.fitted_dispersion, *prior, moving), still

    ones = table.weights[:, 0]
    values, push, still = jax.linearize(
        run, table.gene_dispersion, table.base_mean, ones, has_aux=True
    )
    inputs = (dispersions, means, jnp.eye(len(ones), dtype=ones.dtype))
    changes = lax.map(lambda x: push(*x), inputs, batch_size=8)
    fitted, variance, deviation, moving = values
    table = table.replace(
        fitted_dispersion=fitted,
        prior_variance=variance,
        log_residual_deviation=deviation,
        trend=eqx.combine(moving, still),
    )
    return table, _Shared(shared.scale, shared.noise, *changes)


@eqx.filter_jit
def _on_same_trend(
    first: GeneTable, table: GeneTable, means: Jacobian, shared: _Shared
) -> tuple[GeneTable, _Shared]:
    """What the trend of `first` says of the means of `table`, and its change."""
    moving, still = eqx.partition(first.trend, eqx.is_inexact_array)

    def run(moving: PyTree, mean: Array) -> Array:
        given = table.replace(trend=eqx.combine(moving, still), base_mean=mean)
        return on_trend(given).fitted_dispersion

    fitted, push = jax.linearize(run, moving, table.base_mean)
    change = lax.map(lambda x: push(*x), (shared.trend, means), batch_size=8)
    prior = first.prior_variance, first.log_residual_deviation
    table = table.replace(
        fitted_dispersion=fitted,
        prior_variance=prior[0],
        log_residual_deviation=prior[1],
    )
    return table, shared._replace(fitted=change)


@eqx.filter_jit
def _tested(
    pipeline: DifferentialExpressionPipeline,
    table: GeneTable,
    back: Callable,
    shared: _Shared,
) -> tuple[GeneTable, tuple[Jacobian, Jacobian]]:
    """Last dispersions, fits and tests; log p and effects by every weight."""
    each = lambda x: jnp.broadcast_to(x, table.tested.shape)

    def run(own: _Own, stage: tuple, prior: tuple) -> tuple:
        given = _with(table, own).replace(
            gene_dispersion=stage[0],
            means=stage[1],
            fitted_dispersion=prior[0],
            prior_variance=prior[1],
            log_residual_deviation=prior[2],
        )
        found = pipeline.glm(pipeline.map_dispersion(given))
        statistics = pipeline.test(found)
        return (statistics.log_p, statistics.log_fold_change), found

    own = _Own(table.weights, table.scale, jnp.zeros_like(table.base_mean))
    stage = (table.gene_dispersion, table.means)
    scalars = each(table.prior_variance), each(table.log_residual_deviation)
    prior = (table.fitted_dispersion, *scalars)
    values, pull, found = jax.vjp(run, own, stage, prior, has_aux=True)
    ones, zeros = jnp.ones_like(values[0]), jnp.zeros_like(values[0])

    def jacobian(cotangents: tuple[Array, Array]) -> Jacobian:
        direct, to_stage, to_prior = pull(cotangents)
        (through,) = back(to_stage)
        total = jax.tree.map(jnp.add, direct, through)
        fitted, variance, deviation = to_prior
        return (
            _chain(total, shared)
            + fitted * shared.fitted
            + variance * shared.variance[:, None]
            + deviation * shared.deviation[:, None]
        )

    return found, (jacobian((ones, zeros)), jacobian((zeros, ones)))


def _with(table: GeneTable, own: _Own) -> GeneTable:
    """The table with a weight and a scale for each count."""
    return table.replace(weights=own.weights).with_scale(own.scale)


def _chain(to_own: _Own, shared: _Shared) -> Jacobian:
    """From copies for every gene to the weights that they are copies of."""
    by_scale = shared.scale[:, :, 0] @ to_own.scale
    return to_own.weights + by_scale + shared.noise[:, None] * to_own.noise
