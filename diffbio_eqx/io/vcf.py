"""Variant files: what other modules use of the reader and the writer."""

from diffbio_eqx.io.gvcf import ReferenceBlocks as ReferenceBlocks
from diffbio_eqx.io.gvcf import record_spans as record_spans
from diffbio_eqx.io.gvcf import reference_blocks as reference_blocks
from diffbio_eqx.io.vcf_reader import check_reference_alleles as check_reference_alleles
from diffbio_eqx.io.vcf_reader import read_vcf as read_vcf
from diffbio_eqx.io.vcf_writer import VcfWriter as VcfWriter
