"""The bases over the candidate sites of a window, with their errors and weights."""

import jax
import jax.numpy as jnp

from diffbio_eqx._numerics import as_float
from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.operators.reads.error_curve import (
    ErrorCurve,
    MappingError,
    combined_error,
)
from diffbio_eqx.operators.reads.quality_filter import QualityFilter
from diffbio_eqx.operators.variants.genotype_likelihood import Column


def gather_columns(
    sample: AlignedReads,
    quality_filter: QualityFilter,
    error_curve: ErrorCurve,
    mapping_error: MappingError,
) -> Column:
    """The `Column` of all candidate sites of a sample, laid end to end.

    Only bases over candidates are touched, so the cost does not grow with the reads.
    """
    sites = sample.sites
    source = sites.entry_source
    read = source // sample.bases.shape[1]
    quality = sample.qualities.reshape(-1)[source]
    mapping = sample.mapping_quality[read]
    mapping_rate = mapping_error(as_float(mapping))
    weight = quality_filter((quality, mapping))
    if sample.base_probs is None:
        base = sample.bases.reshape(-1)[source]
        probs = jax.nn.one_hot(base, 4, dtype=weight.dtype)
    else:
        probs = sample.base_probs.reshape(-1, 4)[source].astype(weight.dtype)
    return Column(
        probs=probs,
        error=combined_error(error_curve(quality), mapping_rate),
        weight=jnp.where(sites.entry_mask, weight, 0),
        reverse=sample.reverse[read],
        site=sites.entry_site,
    )
