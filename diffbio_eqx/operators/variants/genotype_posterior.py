"""From likelihoods, priors and corrections to posteriors and class log-odds."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, Int, UInt8

from diffbio_eqx.operators.variants.genotype_likelihood import GENOTYPES
from diffbio_eqx.operators.variants.haplotype_rescoring import RescoredSites


def is_reference(reference: Int[Array, "*sites"]) -> Bool[Array, "*sites 10"]:
    """Which of the ten genotypes is homozygous for the reference allele."""
    homozygous = reference * (reference + 3) // 2
    return homozygous[..., None] == jnp.arange(10, dtype=reference.dtype)


def normalised_posterior(
    log_likelihood: Float[Array, "sites 10"],
    log_prior: Float[Array, "sites 10"],
    reference: Int[Array, " sites"],
    correction: Float[Array, "sites 2"] | None = None,
) -> Float[Array, "sites 10"]:
    """`log_softmax(log-likelihood + log-prior + correction of the class)`.

    `correction[:, 0]` goes to the homozygous reference, `correction[:, 1]` to every
    other genotype.
    """
    joint = log_likelihood + log_prior
    if correction is not None:
        reference_class = is_reference(reference)
        joint = joint + jnp.where(reference_class, correction[:, :1], correction[:, 1:])
    return jax.nn.log_softmax(joint, axis=-1)


def variant_log_odds(
    log_likelihood: Float[Array, "*sites 10"],
    log_prior: Float[Array, "*sites 10"],
    reference: Int[Array, "*sites"],
) -> Float[Array, "*sites"]:
    """Log-odds of any other genotype against the homozygous reference."""
    joint = log_likelihood + log_prior
    own = is_reference(reference)
    variant = logsumexp(jnp.where(own, -1e30, joint), axis=-1)
    return variant - jnp.where(own, joint, 0.0).sum(-1)


def best_alternative(
    joint: Float[Array, "sites 10"], reference: Int[Array, " sites"]
) -> UInt8[Array, " sites"]:
    """The base other than the reference with the largest total of its genotypes."""
    first, second = jnp.asarray(GENOTYPES, reference.dtype).T
    bases = jnp.arange(4, dtype=reference.dtype)
    holds = (first == bases[:, None]) | (second == bases[:, None])
    score = logsumexp(jnp.where(holds, joint[:, None, :], -1e30), axis=-1)
    own = bases == reference[:, None]
    return jnp.argmax(jnp.where(own, -jnp.inf, score), axis=1).astype(jnp.uint8)


def with_rescored(
    log_likelihood: Float[Array, "sites 10"],
    rescored: RescoredSites,
    reference: Int[Array, " sites"],
    alternative: UInt8[Array, " sites"],
) -> Float[Array, "sites 10"]:
    """Likelihoods in which sites beside a called indel have those of its haplotypes.

    Genotypes of the reference and the alternative are replaced; others keep their
    distance from the homozygous reference, but at most that of the worst of the three.
    """
    alt = alternative.astype(reference.dtype)
    low, high = jnp.minimum(reference, alt), jnp.maximum(reference, alt)
    slots = jnp.stack(
        [
            reference * (reference + 3) // 2,
            high * (high + 1) // 2 + low,
            alt * (alt + 3) // 2,
        ],
        axis=1,
    )
    three = rescored.log_likelihood.astype(log_likelihood.dtype)
    worst = three.min(axis=1, keepdims=True)
    anchor = jnp.take_along_axis(log_likelihood, slots[:, :1], axis=1)
    others = jnp.minimum(log_likelihood - anchor + three[:, :1], worst)
    place = slots[:, :, None] == jnp.arange(10, dtype=slots.dtype)
    replaced = jnp.where(place, three[:, :, None], 0).sum(1)
    whole = jnp.where(place.any(1), replaced, others)
    return jnp.where(rescored.used[:, None], whole, log_likelihood)
