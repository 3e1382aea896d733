"""Bioinformatics that is exact at its defaults and differentiable end to end."""

import importlib

from diffbio_eqx._registry import register as register
from diffbio_eqx._version import __version__ as __version__
from diffbio_eqx.checkpoint import load as load
from diffbio_eqx.checkpoint import load_metadata as load_metadata
from diffbio_eqx.checkpoint import save as save
from diffbio_eqx.data import AlignedReads as AlignedReads
from diffbio_eqx.data import CountMatrix as CountMatrix
from diffbio_eqx.data import Design as Design
from diffbio_eqx.data import DifferentialExpression as DifferentialExpression
from diffbio_eqx.data import JointSample as JointSample
from diffbio_eqx.data import Reads as Reads
from diffbio_eqx.data import VariantCalls as VariantCalls
from diffbio_eqx.data import bucket as bucket
from diffbio_eqx.data import prepare_reads as prepare_reads
from diffbio_eqx.data import stack as stack
from diffbio_eqx.operators import AbstractOperator as AbstractOperator
from diffbio_eqx.params import AbstractParameter as AbstractParameter
from diffbio_eqx.params import Free as Free
from diffbio_eqx.params import Frozen as Frozen
from diffbio_eqx.params import Ordered as Ordered
from diffbio_eqx.params import Positive as Positive
from diffbio_eqx.params import Simplex as Simplex
from diffbio_eqx.params import UnitInterval as UnitInterval
from diffbio_eqx.pipelines import BootstrapResult as BootstrapResult
from diffbio_eqx.pipelines import (
    DifferentialExpressionPipeline as DifferentialExpressionPipeline,
)
from diffbio_eqx.pipelines import (
    DifferentialExpressionPipelineConfig as DifferentialExpressionPipelineConfig,
)
from diffbio_eqx.pipelines import JointCallingPipeline as JointCallingPipeline
from diffbio_eqx.pipelines import JointCallingResult as JointCallingResult
from diffbio_eqx.pipelines import PreprocessingPipeline as PreprocessingPipeline
from diffbio_eqx.pipelines import (
    PreprocessingPipelineConfig as PreprocessingPipelineConfig,
)
from diffbio_eqx.pipelines import PreprocessingResult as PreprocessingResult
from diffbio_eqx.pipelines import SampleInfluence as SampleInfluence
from diffbio_eqx.pipelines import VariantCallingPipeline as VariantCallingPipeline
from diffbio_eqx.pipelines import (
    VariantCallingPipelineConfig as VariantCallingPipelineConfig,
)
from diffbio_eqx.pipelines import VariantCallingResult as VariantCallingResult
from diffbio_eqx.pipelines import bootstrap_expression as bootstrap_expression
from diffbio_eqx.pipelines import compose as compose
from diffbio_eqx.pipelines import (
    create_differential_expression_pipeline as create_differential_expression_pipeline,
)
from diffbio_eqx.pipelines import (
    create_joint_calling_pipeline as create_joint_calling_pipeline,
)
from diffbio_eqx.pipelines import (
    create_preprocessing_pipeline as create_preprocessing_pipeline,
)
from diffbio_eqx.pipelines import (
    create_variant_calling_pipeline as create_variant_calling_pipeline,
)
from diffbio_eqx.pipelines import sample_influence as sample_influence
from diffbio_eqx.relax import Relaxation as Relaxation
from diffbio_eqx.relax import set_mode as set_mode
from diffbio_eqx.relax import set_temperature as set_temperature
from diffbio_eqx.train import FitResult as FitResult
from diffbio_eqx.train import trainable_spec as trainable_spec
from diffbio_eqx.train.fit import fit as fit

_LATER = ("io", "jobs", "losses", "metrics", "operators", "simulate")


def __getattr__(name: str):
    """`dbx.jobs` and the like, imported when first used."""
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
