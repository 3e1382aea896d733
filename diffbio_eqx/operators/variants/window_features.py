"""What the classifier sees of each position."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from diffbio_eqx._numerics import safe_div
from diffbio_eqx.data.pileup import Pileup
from diffbio_eqx.operators.base import AbstractOperator

FEATURES = 17


class WindowFeatures(AbstractOperator):
    """Features (L, 17) of one pileup and its reference.

    Fractions of the coverage that are A C G T forward (4), A C G T reverse (4),
    deleted and followed by an insertion (2); the reference base as one-hot (4, zero
    for N); `log(1 + coverage) / 4`, mean base quality / 40, mean mapping quality / 60.

    **Arguments:** `x`, a pair `(pileup, reference)`.
    """

    def __call__(
        self,
        x: tuple[Pileup, UInt8[Array, " length"]],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "length 17"]:
        pileup, reference = x
        coverage = pileup.coverage[:, None]
        counts = jnp.concatenate(
            [
                pileup.forward,
                pileup.reverse,
                pileup.deletions[:, None],
                pileup.insertions[:, None],
            ],
            axis=1,
        )
        own = reference[:, None] == jnp.arange(4, dtype=reference.dtype)
        return jnp.concatenate(
            [
                safe_div(counts, coverage),
                own.astype(counts.dtype),
                jnp.log1p(coverage) / 4.0,
                pileup.mean_quality[:, None] / 40.0,
                pileup.mean_mapping_quality[:, None] / 60.0,
            ],
            axis=1,
        )
