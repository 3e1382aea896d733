"""Training: `fit`, what it trains, temperature schedules."""

from diffbio_eqx.train.fit import fit as fit
from diffbio_eqx.train.result import FitResult as FitResult
from diffbio_eqx.train.schedules import exponential as exponential
from diffbio_eqx.train.schedules import linear as linear
from diffbio_eqx.train.trainable import step_scales as step_scales
from diffbio_eqx.train.trainable import trainable_spec as trainable_spec
