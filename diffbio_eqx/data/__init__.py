"""Typed trees of arrays, and the host-side records they are built from."""

from diffbio_eqx.data.aligned_reads import AlignedReads as AlignedReads
from diffbio_eqx.data.aligned_reads import SampleSizes as SampleSizes
from diffbio_eqx.data.alleles import normalise_alleles as normalise_alleles
from diffbio_eqx.data.alleles import trim_alleles as trim_alleles
from diffbio_eqx.data.candidate_sites import CandidateSites as CandidateSites
from diffbio_eqx.data.candidate_sites import SiteRule as SiteRule
from diffbio_eqx.data.contrasts import Contrast as Contrast
from diffbio_eqx.data.contrasts import resolve_contrast as resolve_contrast
from diffbio_eqx.data.count_matrix import CountMatrix as CountMatrix
from diffbio_eqx.data.design import Design as Design
from diffbio_eqx.data.design_formula import DesignInfo as DesignInfo
from diffbio_eqx.data.design_formula import design_from_formula as design_from_formula
from diffbio_eqx.data.differential_expression import (
    DifferentialExpression as DifferentialExpression,
)
from diffbio_eqx.data.gene_table import GeneTable as GeneTable
from diffbio_eqx.data.indel_candidates import IndelRule as IndelRule
from diffbio_eqx.data.indel_loci import IndelLoci as IndelLoci
from diffbio_eqx.data.intervals import Intervals as Intervals
from diffbio_eqx.data.joint_sample import JointSample as JointSample
from diffbio_eqx.data.model_matrix import ModelMatrix as ModelMatrix
from diffbio_eqx.data.pileup import Pileup as Pileup
from diffbio_eqx.data.read_evidence import prepare_reads as prepare_reads
from diffbio_eqx.data.read_rows import ReadRows as ReadRows
from diffbio_eqx.data.reads import Reads as Reads
from diffbio_eqx.data.sample_building import pad_sample as pad_sample
from diffbio_eqx.data.sample_building import reads_from_arrays as reads_from_arrays
from diffbio_eqx.data.sample_building import reads_from_rows as reads_from_rows
from diffbio_eqx.data.sample_table import Factor as Factor
from diffbio_eqx.data.sample_table import SampleTable as SampleTable
from diffbio_eqx.data.shrunken_effects import ShrunkenEffects as ShrunkenEffects
from diffbio_eqx.data.stacking import bucket as bucket
from diffbio_eqx.data.stacking import stack as stack
from diffbio_eqx.data.test_statistics import TestStatistics as TestStatistics
from diffbio_eqx.data.variant_calls import GenotypeCalls as GenotypeCalls
from diffbio_eqx.data.variant_calls import VariantCalls as VariantCalls
from diffbio_eqx.data.variant_records import VariantRecord as VariantRecord
