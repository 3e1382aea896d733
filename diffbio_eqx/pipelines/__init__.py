"""Pipelines: operators composed by plain calls, one sample in, one result out."""

from diffbio_eqx.pipelines.differential_expression import (
    DifferentialExpressionPipeline as DifferentialExpressionPipeline,
)
from diffbio_eqx.pipelines.differential_expression import (
    DifferentialExpressionPipelineConfig as DifferentialExpressionPipelineConfig,
)
from diffbio_eqx.pipelines.differential_expression import (
    create_differential_expression_pipeline as create_differential_expression_pipeline,
)
from diffbio_eqx.pipelines.expression_bootstrap import (
    BootstrapResult as BootstrapResult,
)
from diffbio_eqx.pipelines.expression_bootstrap import (
    bootstrap_expression as bootstrap_expression,
)
from diffbio_eqx.pipelines.expression_influence import (
    SampleInfluence as SampleInfluence,
)
from diffbio_eqx.pipelines.expression_influence import (
    sample_influence as sample_influence,
)
from diffbio_eqx.pipelines.joint_calling import (
    JointCallingPipeline as JointCallingPipeline,
)
from diffbio_eqx.pipelines.joint_calling import (
    JointCallingResult as JointCallingResult,
)
from diffbio_eqx.pipelines.joint_calling import compose as compose
from diffbio_eqx.pipelines.joint_calling import (
    create_joint_calling_pipeline as create_joint_calling_pipeline,
)
from diffbio_eqx.pipelines.preprocessing import (
    PreprocessingPipeline as PreprocessingPipeline,
)
from diffbio_eqx.pipelines.preprocessing import (
    PreprocessingPipelineConfig as PreprocessingPipelineConfig,
)
from diffbio_eqx.pipelines.preprocessing import (
    PreprocessingResult as PreprocessingResult,
)
from diffbio_eqx.pipelines.preprocessing import (
    create_preprocessing_pipeline as create_preprocessing_pipeline,
)
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
