"""How surprised a caller is by the true genotypes."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx.data.call_labels import LabelledReads
from diffbio_eqx.data.variant_calls import GenotypeCalls


class GenotypeLoss(eqx.Module):
    """Negative log-posterior of the true genotypes of one labelled sample.

    `(sum over sites + indel_weight * sum over loci of -log P(true genotype)) / n`, n
    the number of labelled variants (at least 1), so that its size does not depend on
    how many candidates were false. Substitutions and indels share the error curve and
    the priors of reads: a loss over one of them alone spoils the other.

    Called as `loss(pipeline, batch, key=...)`, it returns the scalar and, apart, the
    mean loss of sites and loci (`substitutions`, `indels`).

    `indel_weight`: a plain number; 1 makes it the log-likelihood of all genotypes.
    """

    indel_weight: float = eqx.field(static=True, default=1.0)

    def __call__(
        self, model, batch: LabelledReads, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        sample, labels = batch.sample, batch.labels
        calls = model.calls(sample, model.window_features(sample))
        sites = _surprise(calls.substitutions, labels.site_genotype, labels.site_mask)
        loci = _surprise(calls.indels, labels.locus_genotype, labels.locus_mask)
        dtype = sites.dtype
        homozygous = calls.substitutions.reference
        homozygous = homozygous * (homozygous + 3) // 2
        variants = (labels.site_mask & (labels.site_genotype != homozygous)).sum()
        variants = variants + (labels.locus_mask & (labels.locus_genotype > 0)).sum()
        total = (sites.sum() + self.indel_weight * loci.sum()) / jnp.maximum(
            variants, 1
        ).astype(dtype)
        mean = lambda loss, mask: loss.sum() / jnp.maximum(mask.sum(), 1).astype(dtype)
        return total, {
            "substitutions": mean(sites, labels.site_mask),
            "indels": mean(loci, labels.locus_mask),
        }


def _surprise(calls: GenotypeCalls, genotype, mask):
    picked = jnp.take_along_axis(calls.log_posterior, genotype[:, None], axis=1)[:, 0]
    return jnp.where(mask & calls.mask, -picked, 0.0)
