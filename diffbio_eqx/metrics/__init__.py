"""Hard scores for reports."""

from diffbio_eqx.metrics.haplotype_matching import HaplotypeMatch as HaplotypeMatch
from diffbio_eqx.metrics.haplotype_matching import match_haplotypes as match_haplotypes
from diffbio_eqx.metrics.variant_scoring import ClassCounts as ClassCounts
from diffbio_eqx.metrics.variant_scoring import VariantScore as VariantScore
from diffbio_eqx.metrics.variant_scoring import score_variants as score_variants
from diffbio_eqx.metrics.variant_units import VariantUnit as VariantUnit
from diffbio_eqx.metrics.variant_units import variant_units as variant_units
from diffbio_eqx.metrics.wilson import wilson_interval as wilson_interval
