"""Parameter nodes: unconstrained leaves with a constrained `.value`."""

from diffbio_eqx.params.abstract import NETWORK_STEP as NETWORK_STEP
from diffbio_eqx.params.abstract import AbstractParameter as AbstractParameter
from diffbio_eqx.params.free import Free as Free
from diffbio_eqx.params.frozen import Frozen as Frozen
from diffbio_eqx.params.ordered import Ordered as Ordered
from diffbio_eqx.params.positive import Positive as Positive
from diffbio_eqx.params.simplex import Simplex as Simplex
from diffbio_eqx.params.unit_interval import UnitInterval as UnitInterval
