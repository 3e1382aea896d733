"""Reference blocks of a window from the same likelihoods as its variants."""

import numpy as np
from jaxtyping import Float

from diffbio_eqx.data.variant_records import genotype_quality, phred_likelihoods
from diffbio_eqx.io.gvcf import ReferenceBlocks, reference_blocks
from diffbio_eqx.operators.variants.genotype_likelihood import GENOTYPES

_FIRST, _SECOND = GENOTYPES.T


def window_blocks(
    start: int,
    reference: np.ndarray,
    log_likelihoods: Float[np.ndarray, "length 10"],
    log_prior: Float[np.ndarray, "4 10"],
    depth: Float[np.ndarray, " length"],
    wanted: np.ndarray,
    excluded: np.ndarray,
    *,
    ploidy: int,
) -> ReferenceBlocks:
    """Blocks over the callable positions of `[start, start + length)`.

    A position is callable if its reference base is known and it is `wanted`. The
    likelihoods of 0/0, 0/<*> and <*>/<*> are those of the homozygous reference, and
    the best heterozygote with it and the best of the other homozygotes. The genotype
    quality is that of the homozygous reference under the prior.
    """
    known = reference < 4
    base = np.minimum(reference, 3).astype(np.int64)
    rows = np.arange(len(base))
    own = base * (base + 3) // 2
    homozygous = _FIRST == _SECOND
    with_reference = (_FIRST == base[:, None]) | (_SECOND == base[:, None])
    best = lambda value, mask: np.where(mask, value, -np.inf).max(1)
    three = lambda value: np.stack(
        [
            value[rows, own],
            best(value, with_reference & ~homozygous),
            best(value, homozygous & ~with_reference),
        ],
        axis=1,
    )
    likelihood = three(log_likelihoods)
    joint = three(log_likelihoods + log_prior[base])
    if ploidy == 1:
        likelihood, joint = likelihood[:, [0, 2]], joint[:, [0, 2]]
    joint = joint - joint.max(1, keepdims=True)
    posterior = np.exp(joint)
    quality = np.where(joint.argmax(1) == 0, genotype_quality(posterior), 0)
    return reference_blocks(
        start,
        np.rint(depth).astype(np.int64),
        quality,
        phred_likelihoods(likelihood),
        known & wanted,
        excluded,
        reference=reference,
    )
