"""Operators of Differential Expression, each on one `GeneTable`."""

from diffbio_eqx.operators.expression.apeglm import Apeglm as Apeglm
from diffbio_eqx.operators.expression.cooks_distance import (
    CooksDistance as CooksDistance,
)
from diffbio_eqx.operators.expression.dispersion_prior import (
    DispersionPrior as DispersionPrior,
)
from diffbio_eqx.operators.expression.dispersion_trend import (
    DispersionTrend as DispersionTrend,
)
from diffbio_eqx.operators.expression.expected_power import (
    ExpectedPower as ExpectedPower,
)
from diffbio_eqx.operators.expression.expected_power import (
    PlannedExperiment as PlannedExperiment,
)
from diffbio_eqx.operators.expression.expected_power import Power as Power
from diffbio_eqx.operators.expression.fitted_trend import FittedTrend as FittedTrend
from diffbio_eqx.operators.expression.gene_dispersion import (
    GeneDispersion as GeneDispersion,
)
from diffbio_eqx.operators.expression.glm import (
    NegativeBinomialGLM as NegativeBinomialGLM,
)
from diffbio_eqx.operators.expression.glm_fit import GLMFit as GLMFit
from diffbio_eqx.operators.expression.glm_fit import fit_glm as fit_glm
from diffbio_eqx.operators.expression.independent_filtering import (
    FilteredTests as FilteredTests,
)
from diffbio_eqx.operators.expression.independent_filtering import (
    IndependentFiltering as IndependentFiltering,
)
from diffbio_eqx.operators.expression.iterative_size_factors import (
    iterate_size_factors as iterate_size_factors,
)
from diffbio_eqx.operators.expression.likelihood_ratio_test import (
    LikelihoodRatioTest as LikelihoodRatioTest,
)
from diffbio_eqx.operators.expression.map_dispersion import (
    MapDispersion as MapDispersion,
)
from diffbio_eqx.operators.expression.normal_shrinkage import (
    NormalShrinkage as NormalShrinkage,
)
from diffbio_eqx.operators.expression.outlier_replacement import (
    OutlierReplacement as OutlierReplacement,
)
from diffbio_eqx.operators.expression.outlier_replacement import (
    ReplacedOutliers as ReplacedOutliers,
)
from diffbio_eqx.operators.expression.rlog import RegularisedLog as RegularisedLog
from diffbio_eqx.operators.expression.size_factors import SizeFactors as SizeFactors
from diffbio_eqx.operators.expression.variance_stabilising import (
    VarianceStabilising as VarianceStabilising,
)
from diffbio_eqx.operators.expression.wald_test import WaldTest as WaldTest
