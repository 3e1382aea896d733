"""Small generators whose truth is known: references, genomes, reads."""

from diffbio_eqx.simulate.columns import SimpleSample as SimpleSample
from diffbio_eqx.simulate.columns import simulate_simple as simulate_simple
from diffbio_eqx.simulate.counts import SimulatedCounts as SimulatedCounts
from diffbio_eqx.simulate.counts import simulate_counts as simulate_counts
from diffbio_eqx.simulate.genomes import DiploidGenome as DiploidGenome
from diffbio_eqx.simulate.genomes import Haplotype as Haplotype
from diffbio_eqx.simulate.genomes import simulate_genome as simulate_genome
from diffbio_eqx.simulate.qualities import QualityProfile as QualityProfile
from diffbio_eqx.simulate.read_options import ReadOptions as ReadOptions
from diffbio_eqx.simulate.reads import SimulatedReads as SimulatedReads
from diffbio_eqx.simulate.reads import simulate_reads as simulate_reads
from diffbio_eqx.simulate.references import random_reference as random_reference
from diffbio_eqx.simulate.truth_variants import TruthVariants as TruthVariants
