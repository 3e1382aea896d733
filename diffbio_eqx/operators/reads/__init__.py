"""Operators on reads: filter, error curve, pileup."""

from diffbio_eqx.operators.reads.error_curve import ErrorCurve as ErrorCurve
from diffbio_eqx.operators.reads.error_curve import MappingError as MappingError
from diffbio_eqx.operators.reads.pileup import Pileup as Pileup
from diffbio_eqx.operators.reads.quality_filter import QualityFilter as QualityFilter
