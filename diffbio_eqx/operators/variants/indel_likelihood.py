"""Which candidate haplotypes of a locus the reads speak for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from diffbio_eqx._checks import require_range
from diffbio_eqx.data.indel_loci import IndelLoci
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.variants.gap_model import GapModel
from diffbio_eqx.operators.variants.pair_hmm import PairHMM, ReadOnHaplotype
from diffbio_eqx.params import Free

ABSENT = -1e6
"""Log-likelihood of what is not a candidate: finite, and out of reach."""

GENOTYPE_ALLELES = np.array([[a, b] for b in range(4) for a in range(b + 1)])
"""(10, 2): the two alleles of each diploid genotype, VCF order."""

_LN2 = 0.6931471805599453
_LN10 = 2.302585092994046
_INFORMATIVE = 0.2 * _LN10


class IndelEvidence(eqx.Module):
    """What a window's reads show about its candidate indels, segment by segment.

    - `loci`: the candidates and the segments of reads over them.
    - `bases`, `errors` (P, Q): codes and error probabilities of each segment; N and
      any number beyond its end.
    - `mapping_quality`, `weight` (P,): Phred, and how much each segment counts.
    """

    loci: IndelLoci
    bases: UInt8[Array, "segments rows"]
    errors: Float[Array, "segments rows"]
    mapping_quality: Float[Array, " segments"]
    weight: Float[Array, " segments"]


class IndelScores(eqx.Module):
    """Likelihoods of the alleles and genotypes of each locus.

    - `segment_allele` (P, 4): `log P(segment | haplotype)` by the pair-HMM alone,
      -1e6 where not scored.
    - `diploid` (C, 10), `haploid` (C, 4): log-likelihoods of genotypes in VCF order,
      relative to every read lying on its best haplotype, -1e6 for absent alleles.
    - `support` (C, 4): weight of the reads that tell the alleles apart, by allele (as
      AD counts them); `depth` (C,): weight of all segments.
    """

    segment_allele: Float[Array, "segments 4"]
    diploid: Float[Array, "loci 10"]
    haploid: Float[Array, "loci 4"]
    support: Float[Array, "loci 4"]
    depth: Float[Array, " loci"]


class IndelLikelihood(AbstractOperator):
    """Likelihoods of all genotypes over the haplotypes of each locus of one window.

    Each segment is scored on each haplotype of its locus by the pair-HMM, `L[r, a]`.
    A read may come from a haplotype that is no candidate (a third allele, another
    variant close by), or lie elsewhere; then it fits none better than another:

    `S[r, a] = log(exp L[r, a] + exp F[r])`,
    `L'[r, a] = log((1 - m) exp(S[r, a] - max_a S[r, a]) + m)`,
    `m = 10 ** (-min(mapping quality, cap) / 10)`,

    where `F[r]` is the score that the read's qualities promise, less `unmodelled`
    (Phred 300). It is far below GATK's limit for reads that are left out (Phred 80),
    since true variants close by are no part of these haplotypes.

    `diploid[ab] = sum_r w_r log(exp(L'[r, a]) / 2 + exp(L'[r, b]) / 2)`,
    `haploid[a] = sum_r w_r L'[r, a]`. Values are relative to the best haplotype of each
    read, which keeps float32 safe at any depth and cancels in every comparison.

    **Arguments:** `x`, an `IndelEvidence` (one window of one sample).

    **Returns:** `IndelScores`. Padding of loci and segments gives zeros or -1e6.

    **Raises:** `ValueError` at construction for a `mapping_cap` or `unmodelled` out
    of range.

    **Exact** given the candidates and the band of the pair-HMM; `support` has no
    gradient through the choice of which reads are informative (best haplotype ahead by
    a factor of 10 ** 0.2).

    **Reference:** DePristo et al. 2011, doi:10.1038/ng.806 (mis-mapping cap); Durbin et
    al. 1998 (ISBN 9780521629713).

    ```python
    scores = IndelLikelihood()(evidence)
    best = scores.diploid.argmax(-1)
    ```
    """

    hmm: PairHMM
    gaps: GapModel
    mapping_cap: Free
    unmodelled: Free

    def __init__(
        self,
        hmm: PairHMM | None = None,
        gaps: GapModel | None = None,
        mapping_cap: float = 60.0,
        unmodelled: float = 300.0,
    ):
        """Both are trained from the given value.

        - `mapping_cap`: Phred, 1 to 200; no read counts for more than one mistake of
          this chance.
        - `unmodelled`: Phred, 1 to 1000; how far below the fit that its qualities
          promise a read may lie on every haplotype before it tells them no longer
          apart.
        """
        require_range("mapping_cap", mapping_cap, 1.0, 200.0, hint="a Phred value")
        self.hmm = PairHMM() if hmm is None else hmm
        self.gaps = GapModel() if gaps is None else gaps
        require_range("unmodelled", unmodelled, 1.0, 1000.0, hint="a Phred value")
        self.unmodelled = Free(unmodelled, step=0.2)
        self.mapping_cap = Free(jnp.asarray(mapping_cap, float), step=0.2)

    def __call__(
        self, x: IndelEvidence, *, key: PRNGKeyArray | None = None
    ) -> IndelScores:
        loci = x.loci
        score = self.segment_scores(x)
        dtype = score.dtype
        present = loci.allele_mask[loci.segment_locus] & loci.segment_mask[:, None]
        quality = x.mapping_quality.astype(dtype)
        relative = self.with_mapping(score, present, quality, self.lowest_fit(x))
        weight = jnp.where(loci.segment_mask, x.weight, 0.0)
        weight = weight.astype(dtype)[:, None]

        first, second = GENOTYPE_ALLELES.T
        pairs = jnp.logaddexp(relative[:, first], relative[:, second]) - _LN2
        exists = loci.allele_mask & loci.mask[:, None]
        both = exists[:, first] & exists[:, second]
        share = _support(relative, present)
        each = jnp.concatenate([pairs, relative, share, jnp.ones_like(weight)], axis=1)
        total = jax.ops.segment_sum(
            jnp.where(loci.segment_mask[:, None], each * weight, 0.0),
            loci.segment_locus,
            loci.mask.shape[0],
        )
        diploid, haploid, support, depth = jnp.split(total, (10, 14, 18), axis=1)
        return IndelScores(
            score,
            jnp.where(both, diploid, ABSENT),
            jnp.where(exists, haploid, ABSENT),
            support,
            depth[:, 0],
        )

    def with_mapping(
        self,
        score: Float[Array, "segments choices"],
        present: Bool[Array, "segments choices"],
        mapping_quality: Float[Array, " segments"],
        lowest: Float[Array, " segments"],
    ) -> Float[Array, "segments choices"]:
        """`L'` above: scores with the chances that no haplotype here is the read's."""
        score = jnp.where(present, jnp.logaddexp(score, lowest[:, None]), ABSENT)
        best = score.max(-1, keepdims=True)
        cap = self.mapping_cap.value.astype(score.dtype)
        elsewhere = jnp.exp(jnp.minimum(mapping_quality, cap) * (-_LN10 / 10.0))
        elsewhere = elsewhere[:, None]
        return jnp.log((1.0 - elsewhere) * jnp.exp(score - best) + elsewhere)

    def lowest_fit(self, x: IndelEvidence) -> Float[Array, " segments"]:
        """`F` above: the score of each segment on a haplotype that is no candidate."""
        errors = real_errors(x)
        real = x.loci.segment_source != -1
        fit = (1.0 - errors) * jnp.log1p(-errors) + errors * jnp.log(errors / 3.0)
        expected = jnp.where(real, fit, 0.0).sum(1) - float(np.log(self.hmm.band))
        penalty = self.unmodelled.value.astype(errors.dtype)
        return expected - penalty * (_LN10 / 10.0)

    def segment_scores(self, x: IndelEvidence) -> Float[Array, "segments 4"]:
        """Pair-HMM score of each segment on each haplotype of its locus."""
        loci = x.loci
        bases, errors = x.bases, real_errors(x)
        opening = jax.vmap(jax.vmap(self.gaps))(loci.haplotypes).astype(errors.dtype)
        extend = self.gaps.extend.astype(errors.dtype)

        def chosen(pair):
            segment, allele = loci.pair_segment[pair], loci.pair_allele[pair]
            locus = loci.segment_locus[segment]
            return ReadOnHaplotype(
                bases[segment],
                errors[segment],
                loci.segment_length[segment],
                loci.haplotypes[locus, allele],
                opening[locus, allele],
                extend,
                expected_column(loci, segment, allele, self.hmm.band),
            )

        value = self.hmm.score_chosen(chosen, loci.pair_mask, errors.dtype)
        segment, allele = loci.pair_segment, loci.pair_allele
        # A padded pair writes outside of the table and is dropped.
        row = jnp.where(loci.pair_mask, segment, bases.shape[0])
        table = jnp.full((bases.shape[0], 4), ABSENT, errors.dtype)
        return table.at[row, allele].set(value, mode="drop")


def real_errors(x: IndelEvidence) -> Float[Array, "segments rows"]:
    """The errors of the evidence, 1/2 beyond the end of each segment."""
    real = (x.loci.segment_source != -1) & x.loci.segment_mask[:, None]
    return jnp.where(real, x.errors, 0.5)


def expected_column(
    loci: IndelLoci,
    segment: Int[Array, " pairs"],
    allele: Int[Array, " pairs"],
    band: int,
) -> Int[Array, " pairs"]:
    """Haplotype column where the band of a pair is centred for the first base.

    A read that begins right of the event lies `allele_length` further right on the
    haplotype. One that begins left of it is on diagonal 0 before the event and on
    `allele_length` after it: the band is centred between the two, but never so far
    that it loses the left one. A band of 32 holds both for indels of up to 29 bases.
    """
    locus = loci.segment_locus[segment]
    start = loci.segment_start[segment]
    length = loci.allele_length[locus, allele]
    half = jnp.sign(length) * jnp.minimum(jnp.abs(length) // 2, band // 2 - 1)
    right = start > loci.allele_position[locus, allele]
    shift = jnp.where(right, length, half)
    return (start - loci.window_start[locus] + shift).astype(jnp.int32)


def _support(relative, present):
    """Share of each allele in each informative read, 0 in the others."""
    share = jnp.where(present, jax.nn.softmax(relative, -1), 0.0)
    value = jax.lax.stop_gradient(jnp.where(present, relative, ABSENT))
    best = value.argmax(-1, keepdims=True)
    others = jnp.where(jnp.arange(value.shape[1]) == best, ABSENT, value)
    ahead = value.max(-1) - others.max(-1) > _INFORMATIVE
    return jnp.where(ahead[:, None], share, 0.0)
