"""Variant Calling: aligned reads of a window in, genotypes and logits out."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require
from diffbio_eqx._numerics import as_float
from diffbio_eqx._registry import register
from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.pileup import Pileup as PileupCounts
from diffbio_eqx.data.variant_calls import GenotypeCalls, VariantCalls
from diffbio_eqx.operators.reads.error_curve import (
    ErrorCurve,
    MappingError,
    combined_error,
)
from diffbio_eqx.operators.reads.pileup import Pileup
from diffbio_eqx.operators.reads.quality_filter import QualityFilter
from diffbio_eqx.operators.variants.classifier import VariantClassifier
from diffbio_eqx.operators.variants.dense_likelihood import DenseLikelihood
from diffbio_eqx.operators.variants.genotype_likelihood import GenotypeLikelihood
from diffbio_eqx.operators.variants.genotype_posterior import (
    best_alternative,
    normalised_posterior,
    variant_log_odds,
    with_rescored,
)
from diffbio_eqx.operators.variants.genotype_prior import GenotypePrior
from diffbio_eqx.operators.variants.haplotype_rescoring import (
    CalledIndels,
    HaplotypeRescoring,
)
from diffbio_eqx.operators.variants.indel_likelihood import (
    IndelLikelihood,
    IndelScores,
)
from diffbio_eqx.operators.variants.window_features import FEATURES, WindowFeatures
from diffbio_eqx.operators.window_add import add_by_base
from diffbio_eqx.pipelines.variant_evidence import (
    base_weights,
    gather_columns,
    gather_segments,
    without_padding,
)

SECOND_INDEL = 0.14
"""Share of heterozygous indels in people that are two different alternatives."""


@dataclasses.dataclass(frozen=True)
class VariantCallingPipelineConfig:
    """Structure and starting values of a `VariantCallingPipeline`.

    - `reference_length`: of every sample, checked at the call; None takes any.
    - `num_classes`: 3 (ref / SNP / indel) or 2 (ref / variant).
    - `quality_threshold`, `mapping_quality_threshold`: lowest Phred that counts; the
      defaults are bcftools' (a base counts from quality 1 on, and so must its read:
      one of mapping quality 0 says nothing about this place).
    - `pileup_window_size` (odd), `classifier_hidden_dim`: of the classifier.
    - `use_quality_weights`: whether a base adds `1 - e` to the pileup, or 1. The
      genotype likelihoods use the error of each base in either case.
    - `ploidy`: 1 or 2. `theta`: heterozygosity of substitutions; `indel_theta` that
      of indels; None for either is a flat prior.
    """

    reference_length: int | None = None
    num_classes: int = 3
    quality_threshold: float = 1.0
    mapping_quality_threshold: float = 1.0
    pileup_window_size: int = 11
    classifier_hidden_dim: int = 64
    use_quality_weights: bool = True
    ploidy: int = 2
    theta: float | None = 0.001
    indel_theta: float | None = 0.001

    def __post_init__(self):
        require(
            self.num_classes in (2, 3),
            "num_classes",
            expected="2 (ref, variant) or 3 (ref, SNP, indel)",
            got=self.num_classes,
            hint="choose one of them",
        )
        for name in ("reference_length", "classifier_hidden_dim"):
            value = getattr(self, name)
            require(
                value is None or (isinstance(value, int) and value >= 1),
                name,
                expected="a positive whole number",
                got=value,
                hint="give the number of bases or units",
            )


class VariantCallingResult(eqx.Module):
    """What a `VariantCallingPipeline` says of one window of L positions.

    - `pileup` (L, 4): `softmax(log(counts + pseudo-count) / temperature)`.
    - `counts`: the weighted counts behind it.
    - `logits`, `probabilities` (L, num_classes): log-odds of the classes against the
      uncorrected reference class, and their softmax. At candidates they come from
      `calls`, elsewhere from the closed form without dependency of errors.
    - `log_likelihoods` (L, 10): of the genotypes in VCF order over A C G T.
    - `calls`: genotypes at the candidate sites and indel loci.
    """

    pileup: Float[Array, "length 4"]
    counts: PileupCounts
    logits: Float[Array, "length classes"]
    probabilities: Float[Array, "length classes"]
    log_likelihoods: Float[Array, "length 10"]
    calls: VariantCalls


class VariantCallingPipeline(eqx.Module):
    """Calls substitutions and indels of one window of aligned reads.

    Quality filter -> error curve -> pileup -> genotype likelihoods (bases at sites,
    pair-HMM at indel loci, substitutions near called indels again on the called
    haplotypes) -> classifier's correction -> prior -> posterior. Untrained the
    correction is zero and the pipeline is a classical genotype-likelihood caller. The
    correction of a class is added to the log-posterior of every genotype of that class.

    **Arguments:** `sample`, an `AlignedReads` (make it with `AlignedReads.from_arrays`
    or from files by `diffbio_eqx.jobs`).

    **Returns:** a `VariantCallingResult`.

    **Exact:** everything but the quality filter's step (`dbx.set_mode`) and the choice
    of candidates and of called haplotypes, which are hard and pass no gradient.

    ```python
    pipeline = create_variant_calling_pipeline(reference_length=1000)
    sample = AlignedReads.from_arrays(reads, positions, quality, reference=ref)
    result = pipeline(sample)
    ```
    """

    quality_filter: QualityFilter
    error_curve: ErrorCurve
    mapping_error: MappingError
    pileup: Pileup
    likelihood: GenotypeLikelihood
    dense_likelihood: DenseLikelihood
    indel_likelihood: IndelLikelihood
    prior: GenotypePrior
    indel_prior: GenotypePrior
    features: WindowFeatures
    classifier: VariantClassifier | None
    config: VariantCallingPipelineConfig = eqx.field(static=True)

    def __init__(
        self, config: VariantCallingPipelineConfig, *, key: PRNGKeyArray | None
    ):
        """`key` draws the hidden layers of the classifier; None leaves it out."""
        self.quality_filter = QualityFilter(
            config.quality_threshold, config.mapping_quality_threshold
        )
        self.error_curve = ErrorCurve()
        self.mapping_error = MappingError()
        self.pileup = Pileup()
        self.likelihood = GenotypeLikelihood()
        self.dense_likelihood = DenseLikelihood()
        self.indel_likelihood = IndelLikelihood()
        self.prior = _prior(config.theta, 0.001, config.ploidy)
        self.indel_prior = _prior(
            config.indel_theta, 0.001, config.ploidy, SECOND_INDEL
        )
        self.features = WindowFeatures()
        self.classifier = None
        if key is not None:
            self.classifier = VariantClassifier(
                config.pileup_window_size,
                FEATURES,
                config.classifier_hidden_dim,
                config.num_classes,
                key=key,
            )
        self.config = config

    def __call__(
        self, sample: AlignedReads, *, key: PRNGKeyArray | None = None
    ) -> VariantCallingResult:
        self._check_length(sample)
        return self.evaluate(sample)

    def evaluate(self, sample: AlignedReads) -> VariantCallingResult:
        """The call itself, for a window of any length."""
        sample = without_padding(sample)
        weight, errors = self._weights(sample), self._base_errors(sample)
        counts = self._counts(sample, weight, errors)
        features = self.features((counts, sample.reference))
        calls = self.calls(sample, features)
        dense = self.dense_likelihood((sample, weight, errors))
        logits = self._logits(sample, dense, counts, calls)
        if self.classifier is not None:
            logits = logits + self.classifier.everywhere(features)
        return VariantCallingResult(
            pileup=self.pileup.consensus(counts.counts),
            counts=counts,
            logits=logits,
            probabilities=jax.nn.softmax(logits, axis=-1),
            log_likelihoods=dense,
            calls=calls,
        )

    def window_features(self, sample: AlignedReads) -> Float[Array, "length 17"]:
        """What the classifier sees of each position of a window."""
        sample = without_padding(sample)
        weight, errors = self._weights(sample), self._base_errors(sample)
        return self.features((self._counts(sample, weight, errors), sample.reference))

    def _counts(self, sample, weight, errors) -> PileupCounts:
        if self.config.use_quality_weights:
            weight = jnp.where(sample.bases < 4, weight * (1.0 - errors), weight)
        return self.pileup((sample, weight))

    def base_log_likelihood(
        self, sample: AlignedReads
    ) -> tuple[Float[Array, "length 10"], Float[Array, " length"]]:
        """`log P(bases | genotype)` of every position by the error curve alone.

        Returns it with the (weighted) number of bases. The weights of bases are held
        fixed, and mapping errors left out: this is what calibrates the error curve.
        """
        sample = without_padding(sample)
        weight = lax.stop_gradient(self._weights(sample))
        weight = jnp.where(sample.bases < 4, weight, 0)
        errors = self.error_curve(sample.qualities)
        depth = add_by_base(sample, weight).sum(axis=1)
        return self.dense_likelihood((sample, weight, errors)), depth

    def calls(
        self,
        sample: AlignedReads,
        features: Float[Array, "length features"] | None = None,
    ) -> VariantCalls:
        """Genotypes at the candidates only, without the dense results.

        `features` of the window feed the classifier; without a classifier they are
        not needed.
        """
        sample = without_padding(sample)
        evidence = gather_segments(sample, self.quality_filter, self.error_curve)
        scores = self.indel_likelihood(evidence)
        indels = self._indels(sample, scores, features)
        substitutions = self._substitutions(sample, features, evidence, scores, indels)
        return VariantCalls(substitutions, indels)

    def _indels(self, sample, scores: IndelScores, features) -> GenotypeCalls:
        loci = sample.loci
        position = jnp.where(
            loci.allele_mask[:, 1:], loci.allele_position[:, 1:], len(sample.reference)
        ).min(axis=1)
        position = jnp.where(loci.mask, position, 0)
        reference = jnp.zeros_like(position)
        prior = self.indel_prior.table().astype(scores.diploid.dtype)
        return GenotypeCalls(
            position=position,
            mask=loci.mask,
            reference=reference,
            log_likelihood=scores.diploid,
            log_posterior=normalised_posterior(
                scores.diploid,
                prior[reference],
                reference,
                self._correction(features, position, self.config.num_classes - 1),
            ),
            allele_depth=scores.support,
        )

    def _substitutions(
        self, sample, features, evidence, scores, indels: GenotypeCalls
    ) -> GenotypeCalls:
        sites = sample.sites
        column = gather_columns(
            sample, self.quality_filter, self.error_curve, self.mapping_error
        )
        count = sites.mask.shape[0]
        reference = jnp.clip(sample.reference[sites.position], 0, 3).astype(jnp.int32)
        likelihood = self.likelihood.sites(column, count)
        prior = self.prior.table().astype(likelihood.dtype)[reference]
        alternative = best_alternative(likelihood + prior, reference)
        rescored = HaplotypeRescoring(self.indel_likelihood)(
            CalledIndels(
                evidence=evidence,
                scores=scores,
                genotype=lax.stop_gradient(indels.genotype),
                site_position=sites.position,
                site_base=alternative,
            )
        )
        likelihood = with_rescored(likelihood, rescored, reference, alternative)
        return GenotypeCalls(
            position=sites.position,
            mask=sites.mask,
            reference=reference,
            log_likelihood=likelihood,
            log_posterior=normalised_posterior(
                likelihood,
                prior,
                reference,
                self._correction(features, sites.position, 1),
            ),
            allele_depth=column.depth(count),
        )

    def _correction(self, features, position, variant_class: int):
        """(S, 2): added to the reference genotype and to the others."""
        if self.classifier is None:
            return None
        classes = self.classifier.at(features, position)
        return classes[:, jnp.array([0, variant_class])]

    def _weights(self, sample: AlignedReads) -> Float[Array, "reads width"]:
        return base_weights(sample, self.quality_filter)

    def _base_errors(self, sample: AlignedReads) -> Float[Array, "reads width"]:
        mapping = self.mapping_error(as_float(sample.mapping_quality))[:, None]
        return combined_error(self.error_curve(sample.qualities), mapping)

    def _logits(self, sample, dense, counts, calls: VariantCalls):
        reference = jnp.clip(sample.reference, 0, 3).astype(jnp.int32)
        table = self.prior.table().astype(dense.dtype)
        known = sample.reference < 4
        odds = variant_log_odds(dense, table[reference], reference)
        no_reads = variant_log_odds(jnp.zeros_like(table[0]), table[0], jnp.int32(0))
        odds = jnp.where(known, odds, no_reads)
        snp = _placed(odds, calls.substitutions, table)
        rates = self.indel_prior.table().astype(dense.dtype)
        unseen = variant_log_odds(jnp.zeros_like(rates[0]), rates[0], jnp.int32(0))
        indel = unseen - jnp.log(2.0).astype(dense.dtype) * counts.coverage
        indel = _placed(indel, calls.indels, rates)
        if self.config.num_classes == 2:
            columns = [jnp.zeros_like(snp), jnp.logaddexp(snp, indel)]
        else:
            columns = [jnp.zeros_like(snp), snp, indel]
        return jnp.stack(columns, axis=1)

    def _check_length(self, sample: AlignedReads) -> None:
        expected, got = self.config.reference_length, sample.reference.shape[0]
        require(
            expected in (None, got),
            "reference of the sample",
            expected=f"{expected} bases (config.reference_length)",
            got=f"{got} bases",
            hint="cut the sample to that length, or build the pipeline for this one",
        )


def _placed(odds, calls: GenotypeCalls, table):
    """`odds` (L,) with those of the calls put at their positions, the largest first."""
    length = odds.shape[0]
    own = variant_log_odds(
        calls.log_likelihood, table[calls.reference], calls.reference
    )
    index = jnp.where(calls.mask, calls.position, length)
    highest = jnp.full(length, -jnp.inf, odds.dtype).at[index].max(own, mode="drop")
    placed = jnp.zeros(length, bool).at[index].set(True, mode="drop")
    return jnp.where(placed, jnp.where(placed, highest, 0), odds)


def _prior(
    theta: float | None, default: float, ploidy: int, second: float | None = None
) -> GenotypePrior:
    flat = theta is None
    theta = default if flat else theta
    return GenotypePrior(theta, second=second, flat=flat, ploidy=ploidy)


def create_variant_calling_pipeline(
    *, key: PRNGKeyArray | None = None, **fields
) -> VariantCallingPipeline:
    """Config and pipeline in one call: `fields` are `VariantCallingPipelineConfig`'s.

    Without a key the classifier's hidden layers are drawn with `jax.random.key(0)`;
    the untrained output does not depend on it.
    """
    key = jax.random.key(0) if key is None else key
    return VariantCallingPipeline(VariantCallingPipelineConfig(**fields), key=key)


register("variant_calling", VariantCallingPipeline, create_variant_calling_pipeline)
