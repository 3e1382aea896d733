"""How surprised a caller is by the true genotypes."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx.data.call_labels import LabelledReads
from diffbio_eqx.data.variant_calls import GenotypeCalls


class GenotypeLoss(eqx.Module):
    """Negative log-probability of one labelled sample: genotypes, and bases.

    `(genotypes + base_weight * bases) / n`, n the number of labelled variants (at
    least 1), so that its size does not depend on how many candidates were false:

    - genotypes: sum over sites and loci of `-log P(true genotype | reads)`.
      Substitutions and indels share the error curve: a loss over one of them alone
      spoils the other.
    - bases: sum over the bases of every labelled position of
      `-log P(base | true genotype)`, from the error curve alone. Genotypes say little
      about the error of most qualities; the bases beside them say it all, and keep
      the curve a calibrated one. Together the two are the log-probability of reads
      and genotypes. Weights of bases are held fixed in this term, since it could be
      lowered by counting less.

    Called as `loss(pipeline, batch, key=...)`, it returns the scalar and, apart, the
    mean loss of a site, a locus and a base.
    """

    base_weight: float = eqx.field(static=True, default=1.0)

    def __call__(
        self, model, batch: LabelledReads, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        sample, labels = batch.sample, batch.labels
        calls = model.calls(sample, model.window_features(sample))
        sites = _surprise(calls.substitutions, labels.site_genotype, labels.site_mask)
        loci = _surprise(calls.indels, labels.locus_genotype, labels.locus_mask)
        bases, depth = jnp.zeros_like(sites.sum()), 0.0
        if self.base_weight:
            bases, depth = _base_surprise(model.base_log_likelihood(sample), labels)
        dtype = sites.dtype
        homozygous = calls.substitutions.reference
        homozygous = homozygous * (homozygous + 3) // 2
        variants = (labels.site_mask & (labels.site_genotype != homozygous)).sum()
        variants = variants + (labels.locus_mask & (labels.locus_genotype > 0)).sum()
        total = sites.sum() + loci.sum() + self.base_weight * bases
        mean = lambda loss, mask: loss.sum() / jnp.maximum(mask.sum(), 1).astype(dtype)
        return total / jnp.maximum(variants, 1).astype(dtype), {
            "substitutions": mean(sites, labels.site_mask),
            "indels": mean(loci, labels.locus_mask),
            "bases": bases / jnp.maximum(depth, 1.0),
        }


def _base_surprise(log_likelihood_and_depth, labels):
    log_likelihood, depth = log_likelihood_and_depth
    known = labels.genotype >= 0
    index = jnp.maximum(labels.genotype, 0).astype(jnp.int32)
    picked = jnp.take_along_axis(log_likelihood, index[:, None], axis=1)[:, 0]
    return -jnp.where(known, picked, 0).sum(), jnp.where(known, depth, 0).sum()


def _surprise(calls: GenotypeCalls, genotype, mask):
    picked = jnp.take_along_axis(calls.log_posterior, genotype[:, None], axis=1)[:, 0]
    return jnp.where(mask & calls.mask, -picked, 0.0)
