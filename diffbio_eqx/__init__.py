"""Bioinformatics that is exact at its defaults and differentiable end to end."""

from diffbio_eqx._registry import register as register
from diffbio_eqx._version import __version__ as __version__
from diffbio_eqx.checkpoint import load as load
from diffbio_eqx.checkpoint import load_metadata as load_metadata
from diffbio_eqx.checkpoint import save as save
from diffbio_eqx.data.stacking import bucket as bucket
from diffbio_eqx.data.stacking import stack as stack
from diffbio_eqx.params import AbstractParameter as AbstractParameter
from diffbio_eqx.params import Free as Free
from diffbio_eqx.params import Frozen as Frozen
from diffbio_eqx.params import Ordered as Ordered
from diffbio_eqx.params import Positive as Positive
from diffbio_eqx.params import Simplex as Simplex
from diffbio_eqx.params import UnitInterval as UnitInterval
from diffbio_eqx.relax import Relaxation as Relaxation
from diffbio_eqx.relax import set_mode as set_mode
from diffbio_eqx.relax import set_temperature as set_temperature
from diffbio_eqx.train import FitResult as FitResult
from diffbio_eqx.train import fit as fit
from diffbio_eqx.train import trainable_spec as trainable_spec
