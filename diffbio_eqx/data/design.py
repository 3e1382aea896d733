"""The design of an experiment: which coefficients there are, and what is tested."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from diffbio_eqx._checks import fail, require
from diffbio_eqx._typing import HostArray


class Design(eqx.Module):
    """A design matrix with a contrast, and the reduced model of a ratio test.

    - `matrix` (samples, coefs): X, one row a sample, usually with an intercept.
    - `contrast` (coefs,): c; the tested effect is `c' beta`.
    - `contrast_samples` (samples,): the samples that the contrast compares. Where all
      of them are zero in a gene, its effect is 0 with p-value 1, as in DESeq2.
    - `reduced` (samples, reduced coefs): design of the smaller model, or None.

    Make it with `Design.from_arrays`, or from a formula with
    `diffbio_eqx.data.design_from_formula`.
    """

    matrix: Float[HostArray, "samples coefs"]
    contrast: Float[HostArray, " coefs"]
    contrast_samples: Bool[HostArray, " samples"]
    reduced: Float[HostArray, "samples reduced"] | None = None

    @staticmethod
    def from_arrays(
        matrix: Any,
        contrast: Any = None,
        *,
        contrast_samples: Any = None,
        reduced: Any = None,
    ) -> "Design":
        """A design from arrays; the last coefficient is tested unless told otherwise.

        `contrast` may also be the index of a coefficient. `contrast_samples` defaults
        to every sample (no gene's effect is then set to 0 for want of counts) for one
        coefficient, and else to those with a nonzero entry in a contrasted column.

        **Raises:** `ValueError` for shapes that do not fit, for numbers that are not
        finite, and for a matrix without full rank.
        """
        matrix = np.asarray(matrix, float)
        require(matrix.ndim == 2, "design", expected="a matrix", got=matrix.shape)
        samples, coefs = matrix.shape
        _require_design("design", matrix)
        if contrast is None or np.ndim(contrast) == 0:
            index = coefs - 1 if contrast is None else int(contrast)
            if not -coefs <= index < coefs:
                fail("contrast", expected=f"a coefficient of {coefs}", got=index)
            contrast = np.eye(coefs)[index]
        contrast = np.asarray(contrast, float)
        require(
            contrast.shape == (coefs,) and np.isfinite(contrast).all(),
            "contrast",
            expected=f"{coefs} finite numbers, one for each coefficient",
            got=contrast,
        )
        require(contrast.any(), "contrast", expected="a nonzero entry", got="zeros")
        if contrast_samples is None:
            several = np.count_nonzero(contrast) > 1
            touched = (matrix[:, contrast != 0] != 0).any(1)
            contrast_samples = touched if several else np.ones(samples, bool)
        contrast_samples = np.asarray(contrast_samples, bool)
        require(
            contrast_samples.shape == (samples,),
            "contrast_samples",
            expected=f"{samples} booleans, one for each sample",
            got=contrast_samples.shape,
        )
        if reduced is not None:
            reduced = np.asarray(reduced, float)
            right = reduced.ndim == 2 and len(reduced) == samples
            require(right, "reduced design", expected="a row a sample", got=reduced)
            _require_design("reduced design", reduced)
            _require_nested(reduced, matrix)
        return Design(matrix, contrast, contrast_samples, reduced)

    def with_dtype(self, dtype: Any) -> "Design":
        """The same with JAX arrays of one floating dtype."""
        cast = lambda x: None if x is None else jnp.asarray(x, dtype)
        return Design(
            cast(self.matrix),
            cast(self.contrast),
            jnp.asarray(self.contrast_samples),
            cast(self.reduced),
        )

    def same_cell(self) -> Bool[Array, "samples samples"]:
        """Which samples have the same row in the design."""
        rows = jnp.asarray(self.matrix)
        return (rows[:, None, :] == rows[None, :, :]).all(-1)

    def replicates(self) -> Float[Array, " samples"]:
        """How many samples, itself included, share the row of each sample."""
        return self.same_cell().sum(1).astype(jnp.asarray(self.matrix).dtype)

    def is_saturated(self) -> Bool[Array, ""]:
        """Whether there are as many different rows as coefficients."""
        cells = (1.0 / self.replicates()).sum()
        return jnp.round(cells).astype(int) == self.matrix.shape[1]

    def padding(self) -> dict[str, Any]:
        """Samples to stack must have designs of one shape."""
        names = ("matrix", "contrast", "contrast_samples", "reduced")
        return dict.fromkeys(names)


def _require_design(what: str, matrix: np.ndarray) -> None:
    require(matrix.shape[1] >= 1, what, expected="a coefficient", got="none")
    finite = np.isfinite(matrix)
    require(
        finite.all(),
        what,
        expected="finite numbers",
        got=f"{(~finite).sum()} that are not",
        hint="leave out samples without a value, or fill them in",
    )
    rank = np.linalg.matrix_rank(matrix)
    require(
        rank == matrix.shape[1],
        what,
        expected=f"full rank, {matrix.shape[1]}",
        got=f"rank {rank}",
        hint="leave out columns that are sums of others",
    )


def _require_nested(reduced: np.ndarray, matrix: np.ndarray) -> None:
    fit = matrix @ np.linalg.lstsq(matrix, reduced, rcond=None)[0]
    nested = np.allclose(fit, reduced, atol=1e-8 * max(1.0, np.abs(reduced).max()))
    smaller = reduced.shape[1] < matrix.shape[1]
    require(
        nested and smaller,
        "reduced design",
        expected="a part of the full design",
        got="one that is not nested in it, or not smaller",
        hint="leave terms out of the full formula",
    )
