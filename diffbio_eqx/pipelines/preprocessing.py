"""Preprocessing: reads from the sequencer in, trimmed and weighted reads out."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require
from diffbio_eqx._numerics import as_float
from diffbio_eqx._registry import register
from diffbio_eqx.data.correction_evidence import CorrectionEvidence
from diffbio_eqx.data.reads import PADDING, Reads
from diffbio_eqx.operators.reads.adapter_removal import AdapterRemoval
from diffbio_eqx.operators.reads.duplicate_weighting import DuplicateWeighting
from diffbio_eqx.operators.reads.error_correction import ErrorCorrection
from diffbio_eqx.operators.reads.mate_overlap import MateCuts, MateOverlap
from diffbio_eqx.operators.reads.poly_tail import PolyTail
from diffbio_eqx.operators.reads.quality_trimming import QualityTrimming
from diffbio_eqx.operators.reads.read_filter import REASONS, ReadFilter
from diffbio_eqx.operators.reads.sliding_window import SlidingWindowTrimming
from diffbio_eqx.pipelines.preprocessing_config import (
    PreprocessingPipelineConfig as PreprocessingPipelineConfig,
)
from diffbio_eqx.pipelines.preprocessing_config import (
    adapter_names,
    build_filter,
    build_trimming,
)


class PreprocessingResult(eqx.Module):
    """What a `PreprocessingPipeline` makes of a block of R reads of L columns.

    A base counts `mask * read_weights[:, None]`.

    - `reads` (R, L, 4): probabilities of A C G T times `mask`; N is 0 in all four.
    - `quality` (R, L): Phred, that of corrected bases replaced.
    - `mask` (R, L): how much of each base is left by trimming, in [0, 1].
    - `read_weights` (R,): `passed * molecule_weights`. Of a pair as a whole.
    - `passed` (R,): probability to pass the filters; `reasons` (R, 6): that each of
      `operators.reads.read_filter.REASONS` is the first that the read fails.
    - `molecule_weights` (R,): share of the read in its molecule, 1 without copies.
    - `cut_posterior` (R, L): probability that the insert is exactly i bases, from
      adapters and the overlap of mates; one less the sum is "no cut".
    - `false_trim` (R,): expected number of wrong cuts by adapters and overlap.
    - `corrections` (R, L): probability that a base was replaced.
    - `insert` (R, L + L' - 1) of pairs: probability that the mates overlap with an
      insert of i + 1 bases; else None.
    - `mate`: the same of the second reads, else None.
    """

    reads: Float[Array, "reads length 4"]
    quality: Float[Array, "reads length"]
    mask: Float[Array, "reads length"]
    read_weights: Float[Array, " reads"]
    passed: Float[Array, " reads"]
    reasons: Float[Array, "reads reasons"]
    molecule_weights: Float[Array, " reads"]
    cut_posterior: Float[Array, "reads length"]
    false_trim: Float[Array, " reads"]
    corrections: Float[Array, "reads length"]
    insert: Float[Array, "reads inserts"] | None = None
    mate: "PreprocessingResult | None" = None


class PreprocessingPipeline(eqx.Module):
    """Trims, filters, corrects and weighs a block of reads, or of pairs.

    Duplicates are found on the reads as they are. Then: poly-G tail -> adapters (the
    overlap of mates decides where it makes a cut, else the adapter) -> quality trimming
    -> filters; errors are corrected in what trimming leaves, by words that lie inside.
    A stage that is switched off, or has nothing to go by (`families`, `support` or
    `mate` is None), changes nothing: what no stage touches keeps mass exactly 1.

    **Arguments:** `sample`, a `Reads`; `diffbio_eqx.data.prepare_reads` finds copies
    and word counts. Blocks are stacked by `dbx.stack` and mapped by `jax.vmap`.

    **Returns:** a `PreprocessingResult`.

    **Exact:** hard and straight-through modes. **Relaxed:** mode soft, every cut,
    filter and choice by its own `Relaxation` (`dbx.set_mode`). Which words are inside
    of what trimming left (mass of 1/2 or more), and the families, pass no gradient.

    ```python
    pipeline = create_preprocessing_pipeline(quality_threshold=20.0)
    result = pipeline(Reads.from_arrays(bases, qualities))
    result.mask, result.read_weights
    ```
    """

    poly_tail: PolyTail | None
    adapter_removal: AdapterRemoval | None
    mate_adapter_removal: AdapterRemoval | None
    mate_overlap: MateOverlap | None
    quality_trimming: QualityTrimming | SlidingWindowTrimming | None
    read_filter: ReadFilter | None
    error_correction: ErrorCorrection | None
    duplicate_weighting: DuplicateWeighting | None
    config: PreprocessingPipelineConfig = eqx.field(static=True)

    def __init__(
        self, config: PreprocessingPipelineConfig, *, key: PRNGKeyArray | None = None
    ):
        """Nothing is drawn: `key` is taken so that all pipelines are built alike."""
        on = lambda flag, build: build() if flag else None
        adapters, cutting = adapter_names, config.enable_adapter_removal
        five = adapters(config.adapter_sequence_5)
        cut = dict(
            match_threshold=config.adapter_match_threshold,
            probability=config.adapter_probability,
            insert_mean=config.insert_mean,
            insert_spread=config.insert_spread,
            temperature=config.adapter_temperature,
        )
        self.poly_tail = on(
            config.enable_poly_g,
            lambda: PolyTail(config.poly_g_length, config.poly_tail_base),
        )
        first, second = map(
            adapters, (config.adapter_sequence, config.adapter_sequence_2)
        )
        self.adapter_removal = on(
            cutting and (first or five),
            lambda: AdapterRemoval(first, five_prime=five, linked=config.linked, **cut),
        )
        self.mate_adapter_removal = on(
            cutting and second, lambda: AdapterRemoval(second, **cut)
        )
        self.mate_overlap = on(
            cutting and config.enable_mate_overlap,
            lambda: MateOverlap(least_overlap=config.least_overlap, **cut),
        )
        self.quality_trimming = on(
            config.enable_quality_trimming, lambda: build_trimming(config)
        )
        self.read_filter = on(config.enable_filters, lambda: build_filter(config))
        self.error_correction = on(
            config.enable_error_correction,
            lambda: ErrorCorrection(config.trust_threshold),
        )
        self.duplicate_weighting = on(
            config.enable_duplicate_weighting,
            lambda: DuplicateWeighting(
                config.duplicate_similarity_threshold, config.duplicate_preference
            ),
        )
        self.config = config

    def __call__(
        self, sample: Reads, *, key: PRNGKeyArray | None = None
    ) -> PreprocessingResult:
        self._check(sample)
        samples = [sample] if sample.mate is None else [sample, sample.mate]
        molecule = self._molecule_weights(sample)
        ends = [self._without_tail(_block(one)) for one in samples]
        cuts, insert = self._without_adapters(ends)
        passed, results = jnp.ones_like(molecule), []
        for one, end, cut in zip(samples, ends, cuts, strict=True):
            end = self._without_low_quality(end._replace(weight=cut.weight))
            keep, reasons = self._filtered(end)
            passed = passed * keep
            probs, quality, changed = self._corrected(one, end)
            results.append(
                PreprocessingResult(
                    reads=probs * end.weight[..., None],
                    quality=quality,
                    mask=end.weight,
                    read_weights=molecule,
                    passed=molecule,
                    reasons=reasons,
                    molecule_weights=molecule,
                    cut_posterior=cut.posterior,
                    false_trim=cut.false_trim,
                    corrections=changed,
                    insert=insert,
                )
            )
        whole = dict(passed=passed, read_weights=passed * molecule)
        results = [dataclasses.replace(result, **whole) for result in results]
        if len(results) == 1:
            return results[0]
        return dataclasses.replace(results[0], mate=results[1])

    def _check(self, sample: Reads) -> None:
        expected, got = self.config.read_length, sample.bases.shape[-1]
        require(
            expected in (None, got),
            "reads of the sample",
            expected=f"{expected} columns (config.read_length)",
            got=f"{got} columns",
            hint="pad the block to that width, or build the pipeline for this one",
        )
        for end in (sample, sample.mate):
            if end is not None and end.support is not None and self.error_correction:
                words = end.support.shape[-1]
                require(
                    words == self.config.error_correction_window,
                    "support of the sample",
                    expected=f"words of {self.config.error_correction_window} bases "
                    "(config.error_correction_window)",
                    got=f"words of {words}",
                    hint="count words of that length: KmerCounter(k)",
                )

    def _molecule_weights(self, sample: Reads) -> Float[Array, " reads"]:
        real = jnp.asarray(sample.read_mask)
        whole = real.astype(as_float(jnp.asarray(sample.qualities)).dtype)
        if self.duplicate_weighting is None or sample.families is None:
            return whole
        families = dataclasses.replace(
            sample.families,
            similarity=sample.families.similarity.astype(whole.dtype),
            quality=sample.families.quality.astype(whole.dtype),
        )
        return jnp.where(real, self.duplicate_weighting(families), 0.0)

    def _without_tail(self, end: "_Block") -> "_Block":
        if self.poly_tail is None:
            return end
        return end._replace(weight=jax.vmap(self.poly_tail)(tuple(end)).weight)

    def _without_adapters(
        self, ends: list["_Block"]
    ) -> tuple[list["_Cut"], Float[Array, "reads inserts"] | None]:
        """What is left of the reads, or of both reads of the pairs."""
        removals = (self.adapter_removal, self.mate_adapter_removal)
        alone = [
            _cut_alone(removal, end)
            for removal, end in zip(removals, ends, strict=False)
        ]
        if len(ends) == 1 or self.mate_overlap is None:
            return alone, None
        both = jax.vmap(self.mate_overlap)(tuple(map(tuple, ends)))
        weights = (both.weight, both.mate_weight)
        joined = [
            _cut_by_either(both, weight, cut, end)
            for weight, cut, end in zip(weights, alone, ends, strict=True)
        ]
        return joined, both.insert

    def _without_low_quality(self, end: "_Block") -> "_Block":
        if self.quality_trimming is None:
            return end
        return end._replace(weight=jax.vmap(self.quality_trimming)(tuple(end)).weight)

    def _filtered(self, end: "_Block") -> tuple[Array, Array]:
        if self.read_filter is None:
            shape, dtype = end.weight.shape[:1], end.weight.dtype
            return jnp.ones(shape, dtype), jnp.zeros((*shape, len(REASONS)), dtype)
        found = jax.vmap(self.read_filter)(tuple(end))
        return found.keep, found.reasons

    def _corrected(self, sample: Reads, end: "_Block") -> tuple[Array, Array, Array]:
        """Probabilities of the bases, qualities, and how far each was changed."""
        dtype = end.weight.dtype
        own = jax.nn.one_hot(end.bases, 4, dtype=dtype)
        given = own
        if sample.base_probs is not None:
            real = (end.bases != PADDING)[..., None]
            given = jnp.where(real, sample.base_probs, 0.0).astype(dtype)
        if self.error_correction is None or sample.support is None:
            return given, end.qualities, jnp.zeros_like(end.weight)
        support = _words_inside(end, jnp.asarray(sample.support))
        evidence = CorrectionEvidence(end.bases, end.qualities, end.weight, support)
        found = jax.vmap(self.error_correction)(evidence)
        stays = (1.0 - found.changed)[..., None]
        probs = given * stays + (found.base_probs - own * stays)
        return probs, found.qualities, found.changed


class _Block(NamedTuple):
    """Codes, Phred and mass (R, L) of one end, clean in the padding."""

    bases: Array
    qualities: Array
    weight: Array


class _Cut(NamedTuple):
    """Masses (R, L), the posterior of the insert (R, L), wrong cuts expected (R,)."""

    weight: Array
    posterior: Array
    false_trim: Array
    five: Array


def _block(sample: Reads) -> _Block:
    real = jnp.asarray(sample.read_mask)[:, None]
    bases = jnp.where(real, sample.bases, jnp.uint8(PADDING))
    qualities = as_float(jnp.asarray(sample.qualities))
    inside = bases != PADDING
    qualities = jnp.where(inside, qualities, 0.0)
    return _Block(bases, qualities, inside.astype(qualities.dtype))


def _cut_alone(removal: AdapterRemoval | None, end: _Block) -> _Cut:
    """By the adapter of each read."""
    nothing, whole = jnp.zeros_like(end.weight), jnp.ones_like(end.weight)
    none = jnp.zeros_like(end.weight[:, 0])
    if removal is None:
        return _Cut(end.weight, nothing, none, whole)
    found = jax.vmap(removal)(tuple(end))
    posterior, false_trim, five = nothing, none, whole
    if found.three is not None:
        posterior, false_trim = found.three.posterior, found.three.false_trim
    if found.five is not None:
        five, false_trim = found.five.window, false_trim + found.five.false_trim
    return _Cut(found.weight, posterior, false_trim, five)


def _cut_by_either(both: MateCuts, weight: Array, alone: _Cut, end: _Block) -> _Cut:
    """By the overlap of the mates as far as it cuts, else by the adapter."""
    otherwise = (1.0 - both.cut)[:, None]
    # The 5' adapter is cut in either case.
    left = weight * alone.five - otherwise * (end.weight * alone.five - alone.weight)
    length = end.weight.shape[1]
    size = (end.bases != PADDING).sum(1, keepdims=True)
    insert = jnp.pad(both.insert, ((0, 0), (1, 0)))[:, :length]
    insert = jnp.where(jnp.arange(length) < size, insert, 0.0)
    unseen = 1.0 - both.probability
    return _Cut(
        left,
        insert + unseen[:, None] * alone.posterior,
        both.false_trim + otherwise[:, 0] * alone.false_trim,
        alone.five,
    )


def _words_inside(end: _Block, support: Array) -> Array:
    """-1 for words with a base that was trimmed away."""
    length, k = support.shape[1], support.shape[3]
    gone = jnp.cumsum((end.weight < 0.5).astype(jnp.int32), axis=1)
    gone = jnp.pad(gone, ((0, 0), (1, 0)))
    start = jnp.arange(length)[:, None] - jnp.arange(k)
    fits = (start >= 0) & (start + k <= length)
    start = jnp.clip(start, 0, max(length - k, 0))
    lost = gone[:, jnp.minimum(start + k, length)] - gone[:, start]
    inside = (fits & (lost == 0))[:, :, None, :]
    return jnp.where(inside, support, jnp.asarray(-1, support.dtype))


def create_preprocessing_pipeline(
    *, key: PRNGKeyArray | None = None, **fields
) -> PreprocessingPipeline:
    """Config and pipeline in one call: `fields` are `PreprocessingPipelineConfig`'s."""
    return PreprocessingPipeline(PreprocessingPipelineConfig(**fields), key=key)


register("preprocessing", PreprocessingPipeline, create_preprocessing_pipeline)
