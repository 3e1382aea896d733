"""Genotypes of candidate substitutions and indels, as arrays."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class GenotypeCalls(eqx.Module):
    """Posterior genotypes of the sites (or indel loci) of one window.

    Alleles are 0-3: A C G T at a site, the reference and its alternatives at a locus;
    the ten genotypes stand in VCF order. Natural logs throughout.

    - `position` (S,): of the base, or of the base before the event; `mask` (S,).
    - `reference` (S,): index of the reference allele.
    - `log_likelihood`, `log_posterior` (S, 10): the posterior is normalised, with the
      prior and the classifier's correction inside.
    - `allele_depth` (S, 4): weighted reads that show each allele.
    """

    position: Int[Array, " sites"]
    mask: Bool[Array, " sites"]
    reference: Int[Array, " sites"]
    log_likelihood: Float[Array, "sites 10"]
    log_posterior: Float[Array, "sites 10"]
    allele_depth: Float[Array, "sites 4"]

    @property
    def genotype(self) -> Int[Array, " sites"]:
        """Index of the most probable genotype."""
        return jnp.argmax(self.log_posterior, axis=-1)

    @property
    def depth(self) -> Float[Array, " sites"]:
        """Weighted reads that show any allele."""
        return self.allele_depth.sum(-1)


class VariantCalls(eqx.Module):
    """Calls of one window: substitutions and indels."""

    substitutions: GenotypeCalls
    indels: GenotypeCalls
