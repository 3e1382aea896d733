"""Cases of the contract tests for the operators that trim and filter reads."""

import jax
import jax.numpy as jnp
import numpy as np
from contract import Case
from read_cases import seed_of

from diffbio_eqx.operators.reads.poly_tail import PolyTail
from diffbio_eqx.operators.reads.quality_trimming import QualityTrimming
from diffbio_eqx.operators.reads.read_filter import ReadFilter
from diffbio_eqx.operators.reads.sliding_window import SlidingWindowTrimming

LENGTH, USED = 16, 13


def random_read(key: jax.Array, tail: int = 0):
    """Codes, floating qualities and weights of a read with padding behind."""
    rng = np.random.default_rng(seed_of(key))
    bases = rng.integers(0, 5, LENGTH).astype(np.uint8)
    bases[USED - tail : USED] = 2
    qualities = rng.uniform(5, 35, LENGTH).astype(np.float32)
    weight = rng.uniform(0.7, 1.0, LENGTH).astype(np.float32)
    real = np.arange(LENGTH) < USED
    bases = np.where(real, bases, np.uint8(7))
    return tuple(map(jnp.asarray, (bases, qualities * real, weight * real)))


def poison(item):
    bases, qualities, weight = item
    real = bases != 7
    return (bases, *(jnp.where(real, x, jnp.nan) for x in (qualities, weight)))


def _case(make, tail=0, *, slow=False):
    return Case(make, lambda key: random_read(key, tail), poison=poison, slow=slow)


TRIMMING: dict[str, Case] = {
    "quality_trimming": _case(lambda: QualityTrimming(20.0, 15.0, temperature=5.0)),
    "quality_trimming_nextseq": _case(
        lambda: QualityTrimming(20.0, nextseq=True, temperature=5.0), slow=True
    ),
    **{
        f"sliding_window_{direction}": _case(
            lambda direction=direction: SlidingWindowTrimming(
                20.0, direction, size=3, temperature=4.0
            ),
            slow=direction == "right",
        )
        for direction in ("front", "tail", "right")
    },
    "poly_tail_g": _case(lambda: PolyTail(5.0, temperature=0.5), tail=7),
    "poly_tail_any": _case(
        lambda: PolyTail(5.0, "any", temperature=0.5), tail=7, slow=True
    ),
    "read_filter": _case(
        lambda: ReadFilter(
            mean_quality=20.0,
            maximum_n=2.0,
            maximum_errors=0.7,
            minimum_length=10.0,
            maximum_length=12.0,
            temperature=3.0,
        )
    ),
}
