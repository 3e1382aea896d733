"""How common each genotype is before the reads are seen."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from diffbio_eqx._checks import require_choice, require_range
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.variants.genotype_likelihood import GENOTYPES, HOMOZYGOUS
from diffbio_eqx.params import Positive

_IMPOSSIBLE = -1e4


class GenotypePrior(AbstractOperator):
    """Log prior of the genotypes of one site or locus whose reference allele is given.

    With heterozygosity `theta` (per site): each heterozygote of the reference and one
    of n alternatives has `theta / n`, each homozygous alternative
    `theta / (n * ratio)`, each pair of two alternatives
    `theta * second / (n (n - 1) / 2)`, and the homozygous reference what is left.
    `second` is how often a heterozygote has two alternatives: theta itself if the two
    copies mutate apart (the default, for substitutions), far more for indels, most of
    which lie in repeats that mutate again and again. `ratio` is het : hom, 2 in a
    diploid population at equilibrium (Watterson 1975,
    doi:10.1016/0040-5809(75)90020-9, for theta). `flat=True` gives every
    genotype the same prior. At ploidy 1 only the four alleles are possible, each
    alternative with `theta / n`.

    **Arguments:** `x`, index 0-3 of the reference allele.

    **Returns:** (10,) natural logs in VCF order; impossible genotypes have -1e4.
    """

    theta: Positive
    ratio: Positive
    second: Positive | None
    flat: bool = eqx.field(static=True)
    ploidy: int = eqx.field(static=True)

    def __init__(
        self,
        theta: float = 0.001,
        ratio: float = 2.0,
        second: float | None = None,
        *,
        flat: bool = False,
        ploidy: int = 2,
    ):
        hint = "0.001 suits people, and flat=True asks for no prior at all"
        require_range("theta", theta, 0.0, 0.3, open_low=True, hint=hint)
        if second is not None:
            require_range("second", second, 0.0, 1.0, open_low=True)
        require_choice("ploidy", ploidy, (1, 2))
        self.theta = Positive(theta, step=0.02)
        self.ratio = Positive(ratio, step=0.02)
        self.second = None if second is None else Positive(second, step=0.02)
        self.flat = flat
        self.ploidy = ploidy

    def __call__(
        self, x: Int[Array, ""], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, " 10"]:
        return self.table()[x]

    def table(self) -> Float[Array, "4 10"]:
        """The prior for each of the four possible reference alleles."""
        theta, ratio = self.theta.value, self.ratio.value
        none = jnp.zeros_like(theta)
        if self.ploidy == 1:
            by_kind = [none, none, none, theta / 3.0]
        else:
            second = theta if self.second is None else self.second.value
            by_kind = [none, theta / 3.0, theta * second / 3.0, theta / (3.0 * ratio)]
        kinds = jnp.asarray(_kinds())
        rate = jnp.stack(by_kind)[kinds]
        rate = jnp.where(kinds == 0, 1.0 - rate.sum(1, keepdims=True), rate)
        possible = jnp.asarray(HOMOZYGOUS | (self.ploidy == 2))
        if self.flat:
            rate = jnp.full_like(rate, 0.1 if self.ploidy == 2 else 0.25)
        return jnp.where(possible, jnp.log(jnp.where(possible, rate, 1.0)), _IMPOSSIBLE)


def _kinds() -> np.ndarray:
    """(4, 10): 0 hom-ref, 1 het with the reference, 2 two alternatives, 3 hom-alt."""
    reference = np.arange(4)[:, None]
    first, second = GENOTYPES.T
    with_reference = (first == reference) | (second == reference)
    kind = np.where(with_reference, 1, 2)
    kind = np.where(HOMOZYGOUS & with_reference, 0, kind)
    return np.where(HOMOZYGOUS & ~with_reference, 3, kind)
