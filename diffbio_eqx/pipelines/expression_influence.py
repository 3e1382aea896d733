"""How much each sample moves each gene's result, without a single refit."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.pipelines.differential_expression import (
    DifferentialExpressionPipeline,
)

_TOGETHER = 8
"""Samples whose derivatives are taken side by side; memory grows with it."""


class SampleInfluence(eqx.Module):
    """Derivatives with respect to the weight of each sample, at weight 1.

    - `log_p` (samples, genes): of the natural log of the p-value.
    - `log_fold_change` (samples, genes): of the log2 effect.

    Leaving sample j out changes a gene's `log p` by about `-log_p[j]`. Genes without a
    p-value have 0.
    """

    log_p: Float[Array, "samples genes"]
    log_fold_change: Float[Array, "samples genes"]


@eqx.filter_jit
def sample_influence(
    pipeline: DifferentialExpressionPipeline, sample: CountMatrix
) -> SampleInfluence:
    """The Jacobian of all log p-values and effects to all sample weights.

    The run is made once, and its derivative, a linear map from weights to results, is
    applied to one sample after the other. Every solver's part in it is one linear
    system a gene, so that nothing is fitted again. A weight acts through everything:
    the gene's own likelihood, size factors, trend, prior, and counts of others.

    Decisions have the gradient of the pipeline's mode: in the default one, medians and
    the outlier rule that of their relaxation; filters and replaced counts are fixed.

    **Returns:** a `SampleInfluence`.
    """

    def run(weights: Array) -> tuple[Array, Array]:
        result = pipeline(dataclasses.replace(sample, weights=weights))
        log_p, effect = result.log_p_values, result.log_fold_change
        finite = lambda x: jnp.where(jnp.isnan(x), 0.0, x)
        return finite(log_p), finite(effect)

    samples = len(sample.counts)
    dtype = jnp.asarray(sample.counts).dtype
    _, derivative = jax.linearize(run, jnp.ones(samples, dtype))
    rows = lax.map(derivative, jnp.eye(samples, dtype=dtype), batch_size=_TOGETHER)
    return SampleInfluence(*rows)
