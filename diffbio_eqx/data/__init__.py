"""Typed trees of arrays, and the host-side records they are built from."""

from diffbio_eqx.data.aligned_reads import AlignedReads as AlignedReads
from diffbio_eqx.data.aligned_reads import SampleSizes as SampleSizes
from diffbio_eqx.data.alleles import normalise_alleles as normalise_alleles
from diffbio_eqx.data.alleles import trim_alleles as trim_alleles
from diffbio_eqx.data.candidate_sites import CandidateSites as CandidateSites
from diffbio_eqx.data.candidate_sites import SiteRule as SiteRule
from diffbio_eqx.data.indel_candidates import IndelRule as IndelRule
from diffbio_eqx.data.indel_loci import IndelLoci as IndelLoci
from diffbio_eqx.data.intervals import Intervals as Intervals
from diffbio_eqx.data.pileup import Pileup as Pileup
from diffbio_eqx.data.read_rows import ReadRows as ReadRows
from diffbio_eqx.data.sample_building import pad_sample as pad_sample
from diffbio_eqx.data.sample_building import reads_from_arrays as reads_from_arrays
from diffbio_eqx.data.sample_building import reads_from_rows as reads_from_rows
from diffbio_eqx.data.stacking import bucket as bucket
from diffbio_eqx.data.stacking import stack as stack
from diffbio_eqx.data.variant_calls import GenotypeCalls as GenotypeCalls
from diffbio_eqx.data.variant_calls import VariantCalls as VariantCalls
from diffbio_eqx.data.variant_records import VariantRecord as VariantRecord
