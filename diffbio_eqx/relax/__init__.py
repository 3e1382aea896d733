"""Turning a decision into a weight: `Relaxation` and what changes its mode."""

from diffbio_eqx.relax.relaxation import MODES as MODES
from diffbio_eqx.relax.relaxation import Relaxation as Relaxation
from diffbio_eqx.relax.settings import is_relaxation as is_relaxation
from diffbio_eqx.relax.settings import modes as modes
from diffbio_eqx.relax.settings import set_mode as set_mode
from diffbio_eqx.relax.settings import set_modes as set_modes
from diffbio_eqx.relax.settings import set_temperature as set_temperature
