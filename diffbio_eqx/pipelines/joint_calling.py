"""Preprocessing and Variant Calling as one model: genotypes teach the trimming."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._numerics import safe_div
from diffbio_eqx._registry import register
from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.joint_sample import JointSample
from diffbio_eqx.data.variant_calls import VariantCalls
from diffbio_eqx.pipelines.preprocessing import (
    PreprocessingPipeline,
    PreprocessingResult,
    create_preprocessing_pipeline,
)
from diffbio_eqx.pipelines.variant_calling import (
    VariantCallingPipeline,
    VariantCallingResult,
    create_variant_calling_pipeline,
)


class JointCallingResult(eqx.Module):
    """What both pipelines say of one `JointSample`."""

    preprocessing: PreprocessingResult
    calling: VariantCallingResult


class JointCallingPipeline(eqx.Module):
    """Calls variants with bases and reads weighted by preprocessing.

    The mass of each base of a read goes to its column over the reference and multiplies
    the weight of the base there, in the pileup and in the likelihood of genotypes;
    the weight of the read (filters, duplicates) multiplies all of them. Over an indel a
    base of mass m has the error `e + (3/4 - e)(1 - m)`. So `GenotypeLoss` has gradients
    to the thresholds of trimming, the adapter and the weights of duplicates.

    Corrected bases replace those of the read where there is `support`. Alignments and
    candidates are those of the untrimmed reads, fixed; so are soft-clipped and inserted
    bases over indels.

    **Arguments:** `sample`, a `JointSample`.

    **Returns:** a `JointCallingResult`.

    **Exact:** modes hard and straight-through: a base that is trimmed away, or of a
    read that is dropped, weighs 0, and one that no stage touches weighs what it weighs
    without preprocessing. **Relaxed:** mode soft of either pipeline.

    ```python
    joint = compose(create_preprocessing_pipeline(), create_variant_calling_pipeline())
    result = joint(JointSample.from_alignments(reads, positions, reference=reference))
    ```
    """

    preprocessing: PreprocessingPipeline
    calling: VariantCallingPipeline

    def __call__(
        self, sample: JointSample, *, key: PRNGKeyArray | None = None
    ) -> JointCallingResult:
        found = self.preprocessing(sample.reads)
        return JointCallingResult(found, self.calling(self._weighted(sample, found)))

    def aligned(self, sample: JointSample) -> AlignedReads:
        """The aligned reads with the masses and weights that preprocessing gives."""
        return self._weighted(sample, self.preprocessing(sample.reads))

    def window_features(self, sample: JointSample) -> Float[Array, "length 17"]:
        """As of the `VariantCallingPipeline`, of the weighted reads."""
        return self.calling.window_features(self.aligned(sample))

    def calls(
        self,
        sample: JointSample,
        features: Float[Array, "length features"] | None = None,
    ) -> VariantCalls:
        """As of the `VariantCallingPipeline`, of the weighted reads."""
        return self.calling.calls(self.aligned(sample), features)

    def base_log_likelihood(
        self, sample: JointSample
    ) -> tuple[Float[Array, "length 10"], Float[Array, " length"]]:
        """As of the `VariantCallingPipeline`: the weights of bases are held fixed."""
        return self.calling.base_log_likelihood(self.aligned(sample))

    def _weighted(
        self, sample: JointSample, found: PreprocessingResult
    ) -> AlignedReads:
        ends = [found] if found.mate is None else [found, found.mate]
        every = lambda name: jnp.concatenate([getattr(end, name) for end in ends])
        read, cycle = sample.read, sample.cycle
        pick = lambda values: values[read[:, None], cycle]
        mask, aligned = every("mask"), sample.aligned
        weighted = dataclasses.replace(
            aligned, mass=pick(mask), read_weights=every("read_weights")[read]
        )
        if self.preprocessing.error_correction is None or sample.reads.support is None:
            return weighted
        probs = pick(safe_div(every("reads"), mask[..., None]))
        probs = jnp.where(aligned.reverse[:, None, None], probs[..., ::-1], probs)
        is_base = aligned.bases < 4
        quality = jnp.where(is_base, pick(every("quality")), 0.0)
        return dataclasses.replace(
            weighted,
            base_probs=jnp.where(is_base[..., None], probs, 0.0),
            qualities=quality,
        )


def compose(
    preprocessing: PreprocessingPipeline, calling: VariantCallingPipeline
) -> JointCallingPipeline:
    """One model out of two: genotypes from the caller, weights from preprocessing."""
    return JointCallingPipeline(preprocessing, calling)


def create_joint_calling_pipeline(
    *,
    preprocessing: Mapping[str, Any] | None = None,
    calling: Mapping[str, Any] | None = None,
    key: PRNGKeyArray | None = None,
) -> JointCallingPipeline:
    """Both pipelines from the fields of their configs.

    Without a key the classifier's hidden layers are drawn with `jax.random.key(0)`.
    """
    key = jax.random.key(0) if key is None else key
    return compose(
        create_preprocessing_pipeline(**dict(preprocessing or {})),
        create_variant_calling_pipeline(**dict(calling or {}), key=key),
    )


def _config(model: JointCallingPipeline) -> dict[str, Any]:
    return {
        "preprocessing": dataclasses.asdict(model.preprocessing.config),
        "calling": dataclasses.asdict(model.calling.config),
    }


register(
    "joint_calling",
    JointCallingPipeline,
    create_joint_calling_pipeline,
    config=_config,
)
