"""Counts of an experiment with its design: the item of Differential Expression."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from diffbio_eqx._checks import fail, require
from diffbio_eqx._typing import HostArray
from diffbio_eqx.data.design import Design


class CountMatrix(eqx.Module):
    """Counts K of one experiment, samples in rows and genes in columns.

    - `counts` (samples, genes): whole numbers >= 0 as floats, so that gradients exist.
    - `design`: the `Design`.
    - `size_factors` (samples,): s, if they are known; else the pipeline estimates them.
    - `normalization_factors` (samples, genes): n, used in place of size factors
      (such as average transcript lengths); rows of equal product over samples 1.
    - `weights` (samples,): weight w of each sample's observations, or None for 1.
    - `genes` (genes,): False for padding (see `dbx.stack`), or None for all real.
    """

    counts: Float[HostArray, "samples genes"]
    design: Design
    size_factors: Float[HostArray, " samples"] | None = None
    normalization_factors: Float[HostArray, "samples genes"] | None = None
    weights: Float[HostArray, " samples"] | None = None
    genes: Bool[HostArray, " genes"] | None = None

    @staticmethod
    def from_arrays(
        counts: Any,
        design: Any,
        contrast: Any = None,
        *,
        reduced: Any = None,
        size_factors: Any = None,
        normalization_factors: Any = None,
        weights: Any = None,
    ) -> "CountMatrix":
        """Counts (samples, genes) with a design matrix (or a `Design`).

        `contrast` and `reduced` are those of `Design.from_arrays`.

        **Raises:** `ValueError` for counts that are no whole numbers >= 0, for a design
        that does not fit, and for factors that are not positive.
        """
        counts = _checked_counts(counts)
        if not isinstance(design, Design):
            design = Design.from_arrays(design, contrast, reduced=reduced)
        elif contrast is not None or reduced is not None:
            fail("contrast", expected="to be part of the Design", got="both")
        samples, genes = counts.shape
        require(
            len(design.matrix) == samples,
            "design",
            expected=f"{samples} rows, one for each sample of the counts",
            got=f"{len(design.matrix)} rows",
            hint="counts have samples in rows and genes in columns",
        )
        shapes = {
            "size_factors": (size_factors, (samples,)),
            "normalization_factors": (normalization_factors, (samples, genes)),
            "weights": (weights, (samples,)),
        }
        checked = {
            name: None if value is None else _positive(name, value, shape)
            for name, (value, shape) in shapes.items()
        }
        return CountMatrix(counts, design, **checked)

    def padding(self) -> dict[str, Any]:
        """Genes may be padded (with False in `genes`); samples must agree."""
        return {"size_factors": None, "weights": None, "normalization_factors": 1.0}


def _checked_counts(counts: Any) -> np.ndarray:
    counts = np.asarray(counts)
    require(counts.ndim == 2, "counts", expected="samples x genes", got=counts.shape)
    require(counts.size, "counts", expected="samples and genes", got=counts.shape)
    values = counts.astype(jnp.zeros(0).dtype)
    for wrong, got in (
        (~np.isfinite(values), "missing or infinite values"),
        (values < 0, "negative numbers"),
        (values != np.round(values), "numbers that are not whole"),
    ):
        if wrong.any():
            sample, gene = np.argwhere(wrong)[0]
            fail(
                "counts",
                expected="whole numbers >= 0 (raw counts, not normalised values)",
                got=f"{wrong.sum()} {got}, the first {values[sample, gene]:g} in "
                f"sample {sample}, gene {gene}",
                hint="give the raw counts; round expected counts yourself",
            )
    return values


def _positive(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    value = np.asarray(value, jnp.zeros(0).dtype)
    low = value >= 0 if name == "weights" else value > 0
    require(value.shape == shape, name, expected=f"shape {shape}", got=value.shape)
    good = np.isfinite(value) & low
    require(good.all(), name, expected="positive numbers", got=value[~good][:1])
    return value
