"""Operators on variants: likelihoods, priors, indels, correction of the classes."""

from diffbio_eqx.operators.variants.classifier import (
    VariantClassifier as VariantClassifier,
)
from diffbio_eqx.operators.variants.dense_likelihood import (
    DenseLikelihood as DenseLikelihood,
)
from diffbio_eqx.operators.variants.gap_model import GapModel as GapModel
from diffbio_eqx.operators.variants.genotype_likelihood import Column as Column
from diffbio_eqx.operators.variants.genotype_likelihood import (
    GenotypeLikelihood as GenotypeLikelihood,
)
from diffbio_eqx.operators.variants.genotype_prior import GenotypePrior as GenotypePrior
from diffbio_eqx.operators.variants.haplotype_rescoring import (
    CalledIndels as CalledIndels,
)
from diffbio_eqx.operators.variants.haplotype_rescoring import (
    HaplotypeRescoring as HaplotypeRescoring,
)
from diffbio_eqx.operators.variants.haplotype_rescoring import (
    RescoredSites as RescoredSites,
)
from diffbio_eqx.operators.variants.indel_likelihood import (
    IndelEvidence as IndelEvidence,
)
from diffbio_eqx.operators.variants.indel_likelihood import (
    IndelLikelihood as IndelLikelihood,
)
from diffbio_eqx.operators.variants.indel_likelihood import IndelScores as IndelScores
from diffbio_eqx.operators.variants.pair_hmm import PairHMM as PairHMM
from diffbio_eqx.operators.variants.pair_hmm import ReadOnHaplotype as ReadOnHaplotype
from diffbio_eqx.operators.variants.window_features import (
    WindowFeatures as WindowFeatures,
)
