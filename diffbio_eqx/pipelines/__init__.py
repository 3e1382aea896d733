"""Pipelines: operators composed by plain calls, one sample in, one result out."""

from diffbio_eqx.pipelines.variant_calling import (
    VariantCallingPipeline as VariantCallingPipeline,
)
from diffbio_eqx.pipelines.variant_calling import (
    VariantCallingPipelineConfig as VariantCallingPipelineConfig,
)
from diffbio_eqx.pipelines.variant_calling import (
    VariantCallingResult as VariantCallingResult,
)
from diffbio_eqx.pipelines.variant_calling import (
    create_variant_calling_pipeline as create_variant_calling_pipeline,
)
