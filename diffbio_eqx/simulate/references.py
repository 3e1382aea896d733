"""A random reference sequence that has what makes real ones hard."""

import numpy as np
from jaxtyping import UInt8

from diffbio_eqx._checks import require_range
from diffbio_eqx.simulate.ragged import ragged_range

_KNOT = 500  # positions between two knots of the GC curve


def _plant(bases, units, copies, places):
    """Write tandem repeats (unit = the bases already there) over `bases`."""
    length = units * copies
    keep = places + length < len(bases)
    places, units, length = places[keep], units[keep], length[keep]
    within = ragged_range(np.zeros_like(length), length)
    source = np.repeat(places, length) + within % np.repeat(units, length)
    bases[np.repeat(places, length) + within] = bases[source]


def random_reference(
    length: int,
    *,
    seed: int,
    gc: float = 0.41,
    gc_spread: float = 0.08,
    homopolymers: float = 1 / 250,
    repeats: float = 1 / 2000,
) -> UInt8[np.ndarray, " positions"]:
    """A reference of `length` random bases (codes 0-3 = A C G T).

    The probability of G or C follows a smooth random curve (mean `gc`, standard
    deviation `gc_spread`, knots every 500 positions). On top come homopolymers of
    5 to 25 bases and short tandem repeats (unit 2 to 4, 4 to 14 copies), at the given
    rates per base; lengths fall off geometrically, as in people.

    **Raises** `ValueError` for a length below 1 or rates out of range.
    """
    require_range("length", length, 1.0)
    require_range("gc", gc, 0.0, 1.0)
    require_range("gc_spread", gc_spread, 0.0, 0.5)
    require_range("homopolymers (rate per base)", homopolymers, 0.0, 0.1)
    require_range("repeats (rate per base)", repeats, 0.0, 0.05)
    rng = np.random.default_rng([seed, 1])
    knots = rng.normal(gc, gc_spread, length // _KNOT + 2).clip(0.05, 0.95)
    share = np.interp(np.arange(length) / _KNOT, np.arange(len(knots)), knots)
    is_gc = rng.random(length) < share
    bases = np.where(is_gc, 1, 0) + np.where(rng.random(length) < 0.5, 0, 1) * (
        np.where(is_gc, 1, 3)
    )
    bases = bases.astype(np.uint8)

    count = rng.poisson(repeats * length)
    units = rng.integers(2, 5, count)
    copies = np.minimum(3 + rng.geometric(0.3, count), 14)
    _plant(bases, units, copies, rng.integers(0, length, count))
    count = rng.poisson(homopolymers * length)
    copies = np.minimum(4 + rng.geometric(0.3, count), 25)
    ones = np.ones(count, np.int64)
    _plant(bases, ones, copies, rng.integers(0, length, count))
    return bases
