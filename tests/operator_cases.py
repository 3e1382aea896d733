"""Every operator, small, with an example item: the contract tests run over this dict.

A new operator adds a line here (several lines for several settings); a test fails until
it does. Keep shapes tiny: each case compiles about four programs.
"""

import jax
import jax.numpy as jnp
from contract import Case

from diffbio_eqx.operators.reads.quality_filter import QualityFilter


def _qualities(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.random.uniform(key, (6,), minval=5.0, maxval=40.0), jnp.full(6, 50.0)


OPERATORS: dict[str, Case] = {
    "quality_filter": Case(lambda: QualityFilter(20.0, 30.0), _qualities),
}
