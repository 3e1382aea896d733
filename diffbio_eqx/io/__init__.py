"""The border with files: alignments, references, variants, intervals, counts."""

from diffbio_eqx.io.anndata_counts import AnnDataCounts as AnnDataCounts
from diffbio_eqx.io.anndata_counts import read_anndata_counts as read_anndata_counts
from diffbio_eqx.io.bam import AlignmentFile as AlignmentFile
from diffbio_eqx.io.bam import ReadWindow as ReadWindow
from diffbio_eqx.io.bed import read_bed as read_bed
from diffbio_eqx.io.count_tables import CountTable as CountTable
from diffbio_eqx.io.count_tables import match_samples as match_samples
from diffbio_eqx.io.count_tables import read_counts as read_counts
from diffbio_eqx.io.count_tables import read_samples as read_samples
from diffbio_eqx.io.fasta import Fasta as Fasta
from diffbio_eqx.io.fastq import read_fastq_blocks as read_fastq_blocks
from diffbio_eqx.io.fastq_block import FastqBlock as FastqBlock
from diffbio_eqx.io.fastq_writer import FastqWriter as FastqWriter
from diffbio_eqx.io.gvcf import ReferenceBlocks as ReferenceBlocks
from diffbio_eqx.io.gvcf import reference_blocks as reference_blocks
from diffbio_eqx.io.read_filters import ReadCounts as ReadCounts
from diffbio_eqx.io.read_filters import ReadFilters as ReadFilters
from diffbio_eqx.io.regions import parse_region as parse_region
from diffbio_eqx.io.result_tables import write_gene_table as write_gene_table
from diffbio_eqx.io.simulation import SimulationFiles as SimulationFiles
from diffbio_eqx.io.simulation import write_simulation as write_simulation
from diffbio_eqx.io.vcf_reader import read_vcf as read_vcf
from diffbio_eqx.io.vcf_writer import VcfWriter as VcfWriter
