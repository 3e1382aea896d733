"""Indel loci on the host: put together, measured, padded (NumPy leaves)."""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx._checks import require
from diffbio_eqx.data.indel_loci import IndelLoci

_MASKS = {
    "loci": "mask",
    "segments": "segment_mask",
    "pairs": "pair_mask",
    "near": "near_mask",
    "near_pairs": "near_pair_mask",
}
_AXES = {
    "mask": "loci",
    "window_start": "loci",
    "haplotypes": "loci",
    "haplotype_length": "loci",
    "allele_mask": "loci",
    "allele_position": "loci",
    "allele_length": "loci",
    "segment_mask": "segments",
    "segment_locus": "segments",
    "segment_read": "segments",
    "segment_start": "segments",
    "segment_source": "segments",
    "segment_length": "segments",
    "pair_mask": "pairs",
    "pair_segment": "pairs",
    "pair_allele": "pairs",
    "near_mask": "near",
    "near_site": "near",
    "near_locus": "near",
    "near_pair_mask": "near_pairs",
    "near_pair_near": "near_pairs",
    "near_pair_segment": "near_pairs",
}
_FILL = {"haplotypes": 7, "segment_source": -1}
_BYTES = {"haplotypes": np.uint8, "allele_mask": bool} | dict.fromkeys(
    _MASKS.values(), bool
)


def sizes(loci: IndelLoci) -> dict[str, int]:
    """Length of each axis: loci, segments, pairs, near, near_pairs."""
    return {axis: getattr(loci, mask).shape[0] for axis, mask in _MASKS.items()}


def pad_loci(loci: IndelLoci, capacities: Mapping[str, int]) -> IndelLoci:
    """`loci` with every axis of `sizes` grown to its capacity, NumPy leaves.

    **Raises:** `ValueError` for a capacity that is missing or too small.
    """
    for axis, size in sizes(loci).items():
        require(
            capacities.get(axis, -1) >= size,
            f"capacity of {axis}",
            expected=f"at least {size}",
            got=capacities.get(axis, "none"),
            hint="take the next larger bucket",
        )
    fields = {}
    for name, axis in _AXES.items():
        values = np.asarray(getattr(loci, name))
        shape = (capacities[axis], *values.shape[1:])
        fields[name] = np.full(shape, _FILL.get(name, 0), values.dtype)
        fields[name][: len(values)] = values
    return assemble(fields)


def empty_loci(haplotype_columns: int = 160, segment_rows: int = 112) -> IndelLoci:
    """No loci at all, for a window without indels (axes of length 0)."""
    trailing = {
        "haplotypes": (4, haplotype_columns),
        "haplotype_length": (4,),
        "allele_mask": (4,),
        "allele_position": (4,),
        "allele_length": (4,),
        "segment_source": (segment_rows,),
    }
    return assemble(
        {
            name: np.zeros((0, *trailing.get(name, ())), _BYTES.get(name, np.int32))
            for name in _AXES
        }
    )


def assemble(fields: Mapping[str, np.ndarray]) -> IndelLoci:
    """`IndelLoci` with NumPy leaves; masks that are not given are all true.

    Leaves are put in place of a skeleton's, since the fields are declared as JAX
    arrays.
    """
    fields = dict(fields)
    for axis, mask in _MASKS.items():
        other = next(name for name in _AXES if _AXES[name] == axis and name != mask)
        fields.setdefault(mask, np.ones(len(fields[other]), bool))
    names = [field.name for field in dataclasses.fields(IndelLoci)]
    return jax.tree.unflatten(_structure(), [fields[name] for name in names])


@functools.cache
def _structure():
    shapes = {"haplotypes": (0, 4, 0), "segment_source": (0, 0)}
    of_alleles = ["haplotype_length", "allele_mask"]
    of_alleles += ["allele_position", "allele_length"]
    shapes |= dict.fromkeys(of_alleles, (0, 4))

    def empty():
        kind = lambda name: _BYTES.get(name, np.int32)
        return IndelLoci(
            **{name: jnp.zeros(shapes.get(name, (0,)), kind(name)) for name in _AXES}
        )

    return jax.tree.structure(jax.eval_shape(empty))
