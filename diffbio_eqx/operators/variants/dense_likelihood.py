"""Genotype likelihoods at every position of a window, in closed form."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.variants.genotype_likelihood import genotypes_from_sums
from diffbio_eqx.operators.window_add import add_by_base


class DenseLikelihood(AbstractOperator):
    """Log-likelihoods of the ten genotypes at every position of one window.

    The sums of `GenotypeLikelihood` without its dependency of errors, which changes
    nothing where no two reads show the same wrong base: there the two agree exactly.
    Candidate sites get the full form.

    **Arguments:** `x`, `(reads, weight, error)`: an `AlignedReads`, and for each
    column its weight and its error probability, (R, W).

    **Returns:** (L, 10) natural logs; zeros where no read lies.
    """

    def __call__(
        self,
        x: tuple[
            AlignedReads, Float[Array, "reads width"], Float[Array, "reads width"]
        ],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "length 10"]:
        reads, weight, error = x
        shows = (reads.bases < 4) & reads.read_mask[:, None]
        e = jnp.where(shows, error, 0.5)
        w = jnp.where(shows, weight, 0)
        sums = (
            add_by_base(reads, w * term)
            for term in (
                jnp.log1p(-e),
                jnp.log(e / 3.0),
                jnp.log(0.5 * (1.0 - e) + e / 6.0),
            )
        )
        return genotypes_from_sums(*sums)
