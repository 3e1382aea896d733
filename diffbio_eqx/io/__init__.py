"""The border with files: alignments, references, variants, intervals."""

from diffbio_eqx.io.bam import AlignmentFile as AlignmentFile
from diffbio_eqx.io.bam import ReadWindow as ReadWindow
from diffbio_eqx.io.bed import read_bed as read_bed
from diffbio_eqx.io.fasta import Fasta as Fasta
from diffbio_eqx.io.gvcf import ReferenceBlocks as ReferenceBlocks
from diffbio_eqx.io.gvcf import reference_blocks as reference_blocks
from diffbio_eqx.io.read_filters import ReadCounts as ReadCounts
from diffbio_eqx.io.read_filters import ReadFilters as ReadFilters
from diffbio_eqx.io.regions import parse_region as parse_region
from diffbio_eqx.io.simulation import SimulationFiles as SimulationFiles
from diffbio_eqx.io.simulation import write_simulation as write_simulation
from diffbio_eqx.io.vcf_reader import read_vcf as read_vcf
from diffbio_eqx.io.vcf_writer import VcfWriter as VcfWriter
