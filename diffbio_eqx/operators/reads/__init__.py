"""Operators on reads: trimming, adapters, copies, errors; filter, curve, pileup."""

from diffbio_eqx.operators.reads.adapter_posterior import (
    AdapterPosterior as AdapterPosterior,
)
from diffbio_eqx.operators.reads.adapter_removal import AdapterRemoval as AdapterRemoval
from diffbio_eqx.operators.reads.adapter_scores import AdapterScores as AdapterScores
from diffbio_eqx.operators.reads.duplicate_weighting import (
    DuplicateWeighting as DuplicateWeighting,
)
from diffbio_eqx.operators.reads.error_correction import (
    ErrorCorrection as ErrorCorrection,
)
from diffbio_eqx.operators.reads.error_curve import ErrorCurve as ErrorCurve
from diffbio_eqx.operators.reads.error_curve import MappingError as MappingError
from diffbio_eqx.operators.reads.mate_overlap import MateOverlap as MateOverlap
from diffbio_eqx.operators.reads.pileup import Pileup as Pileup
from diffbio_eqx.operators.reads.poly_tail import PolyTail as PolyTail
from diffbio_eqx.operators.reads.quality_filter import QualityFilter as QualityFilter
from diffbio_eqx.operators.reads.quality_trimming import (
    QualityTrimming as QualityTrimming,
)
from diffbio_eqx.operators.reads.read_filter import ReadFilter as ReadFilter
from diffbio_eqx.operators.reads.sliding_window import (
    SlidingWindowTrimming as SlidingWindowTrimming,
)
