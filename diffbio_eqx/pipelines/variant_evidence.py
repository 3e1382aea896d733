"""The bases that speak for the candidates of a window, with errors and weights."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffbio_eqx._numerics import as_float
from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.operators.reads.error_curve import (
    ErrorCurve,
    MappingError,
    combined_error,
)
from diffbio_eqx.operators.reads.quality_filter import QualityFilter
from diffbio_eqx.operators.variants.genotype_likelihood import Column
from diffbio_eqx.operators.variants.indel_likelihood import IndelEvidence

DELETION = 5


def without_padding(sample: AlignedReads) -> AlignedReads:
    """`sample` with zeros where floating numbers stand in padding.

    Padding may hold NaN; no value and no gradient shall see it. Whole numbers have no
    NaN, so that a sample from a file stays as it is.
    """
    real = (sample.bases < 7) & sample.read_mask[:, None]
    floating = lambda x: x is not None and jnp.issubdtype(x.dtype, jnp.floating)
    keep = {
        "qualities": real,
        "mapping_quality": sample.read_mask,
        "base_probs": real[..., None],
        "mass": real,
        "read_weights": sample.read_mask,
    }
    fields = {name: getattr(sample, name) for name in keep}
    clean = {
        name: jnp.where(keep[name], x, 0) for name, x in fields.items() if floating(x)
    }
    return dataclasses.replace(sample, **clean)


def base_weights(
    sample: AlignedReads, quality_filter: QualityFilter
) -> Float[Array, "reads width"]:
    """How much each column of each read counts: filter, trimming and read's weight."""
    mapping = sample.mapping_quality[:, None]
    weight = quality_filter((sample.qualities, mapping))
    counted = sample.read_mask[:, None] & (sample.qualities > 0)
    deleted = (sample.bases == DELETION) & sample.read_mask[:, None]
    weight = jnp.where(counted, weight, 0)
    weight = jnp.where(deleted, quality_filter.of_reads(mapping), weight)
    for part in (sample.mass, _column(sample.read_weights)):
        weight = weight if part is None else weight * part.astype(weight.dtype)
    return weight


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
    read, column = sites.entry_read, sites.entry_column
    quality = sample.qualities[read, column]
    mapping = sample.mapping_quality[read]
    mapping_rate = mapping_error(as_float(mapping))
    weight = quality_filter((quality, mapping))
    if sample.mass is not None:
        weight = weight * sample.mass[read, column].astype(weight.dtype)
    if sample.read_weights is not None:
        weight = weight * sample.read_weights[read].astype(weight.dtype)
    if sample.base_probs is None:
        base = sample.bases[read, column]
        probs = jax.nn.one_hot(base, 4, dtype=weight.dtype)
    else:
        probs = sample.base_probs[read, column].astype(weight.dtype)
    return Column(
        probs=probs,
        error=combined_error(error_curve(quality), mapping_rate),
        weight=jnp.where(sites.entry_mask, weight, 0),
        reverse=sample.reverse[read],
        site=sites.entry_site,
    )


def gather_segments(
    sample: AlignedReads, quality_filter: QualityFilter, error_curve: ErrorCurve
) -> IndelEvidence:
    """The `IndelEvidence` of all candidate loci of a sample.

    A base that is trimmed away tells as much as a base drawn at random. Bases in no
    column (`extra_bases`) are whole.
    """
    loci = sample.loci
    source, read = loci.segment_source, loci.segment_read
    in_row, in_extra = source >= 0, source < -1
    column = jnp.where(in_row, source, 0)
    extra = jnp.where(in_extra, -2 - source, 0)
    pick = lambda rows, others: jnp.where(
        in_extra, _taken(others, extra), rows[read[:, None], column]
    )
    real = in_row | in_extra
    bases = pick(sample.bases, sample.extra_bases)
    mapping = as_float(sample.mapping_quality[read])
    errors = error_curve(pick(sample.qualities, sample.extra_qualities))
    if sample.mass is not None:
        mass = sample.mass.astype(errors.dtype)
        whole = jnp.ones(sample.extra_bases.shape, errors.dtype)
        errors = combined_error(errors, 1.0 - pick(mass, whole))
    weight = jnp.where(sample.read_mask[read], quality_filter.of_reads(mapping), 0)
    if sample.read_weights is not None:
        weight = weight * sample.read_weights[read].astype(weight.dtype)
    return IndelEvidence(
        loci=loci,
        bases=jnp.where(real, bases, jnp.uint8(4)),
        errors=errors,
        mapping_quality=mapping,
        weight=weight,
    )


def _column(x):
    return None if x is None else x[:, None]


def _taken(values, index):
    """`values[index]`; zeros if there are no values at all."""
    if not values.shape[0]:
        return jnp.zeros(index.shape, values.dtype)
    return values[index]
