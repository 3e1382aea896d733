"""What a trimming operator returns, and the sums that all of them share."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Real, UInt8

from diffbio_eqx._numerics import as_float

PADDING = 7
ReadInput = tuple[
    UInt8[Array, " length"], Real[Array, " length"], Real[Array, " length"]
]


class TrimmedRead(eqx.Module):
    """One read after a cut at either end.

    - `weight` (L,): the weight that came in, times the mass of the base here.
    - `start` (L + 1,): posterior of the first base kept; index 0: nothing is cut.
    - `end` (L + 1,): posterior of the first base cut; index L: nothing is cut.
    """

    weight: Float[Array, " length"]
    start: Float[Array, " length_and_one"]
    end: Float[Array, " length_and_one"]


def prepared(x: ReadInput) -> tuple[Array, Array, Array]:
    """Bases, qualities and weights with 0 in the padding, weights in one float type."""
    bases, qualities, weight = x
    qualities, weight = as_float(qualities), as_float(weight)
    real = bases != PADDING
    qualities = jnp.where(real, qualities, 0.0)
    return bases, qualities, jnp.where(real, weight, 0.0).astype(qualities.dtype)


def interval(weight: Float[Array, " n"]) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """First base of weight above 1/2, and the one after the last; (0, 0) if none."""
    kept = weight > 0.5
    start, size = jnp.argmax(kept), weight.size
    return start, jnp.where(kept.any(), size - jnp.argmax(kept[::-1]), start)


def apply_cuts(
    weight: Float[Array, " n"],
    start: Float[Array, " m"],
    end: Float[Array, " m"],
) -> TrimmedRead:
    """`w P(start <= i) P(end > i)`; 0 or 1 exactly where the posteriors are."""
    begun = jnp.cumsum(start)[:-1]
    going = jnp.cumsum(end[::-1])[::-1][1:]
    return TrimmedRead(weight * begun * going, start, end)


def span_of(
    weight: Float[Array, " n"], cut: TrimmedRead
) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """Whole-number ends of a hard cut of a read; equal ends: nothing is left."""
    first, last = interval(weight)
    start = jnp.maximum(jnp.argmax(cut.start), first)
    end = jnp.minimum(jnp.argmax(cut.end), last)
    empty = start >= end
    return jnp.where(empty, first, start), jnp.where(empty, first, end)


def first_hit(hit: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """Probability that each trial is the first to succeed, and that none does."""
    none = jnp.concatenate([jnp.ones(1, hit.dtype), jnp.cumprod(1 - hit)])
    return none[:-1] * hit, none[-1]


def linear_recurrence(
    factor: Float[Array, " n"], term: Float[Array, " n"]
) -> Float[Array, " n"]:
    """`y_i = factor_i y_(i-1) + term_i` from `y_(-1) = 0`."""

    def join(left: tuple[Array, Array], right: tuple[Array, Array]):
        return left[0] * right[0], left[1] * right[0] + right[1]

    return lax.associative_scan(join, (factor, term))[1]


def scatter(
    size: int, places: Int[Array, " n"], mass: Float[Array, " n"]
) -> Float[Array, " size"]:
    """The mass that falls on each of `size` places."""
    return jnp.zeros(size, mass.dtype).at[places].add(mass)
