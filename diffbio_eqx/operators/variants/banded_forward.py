"""The kernel of the pair-HMM: many reads on their haplotypes, row by row."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

_LOWEST, _HIGHEST = 1e-7, 0.75


def banded_forward(
    bases: UInt8[Array, "pairs rows"],
    errors: Float[Array, "pairs rows"],
    length: Int[Array, " pairs"],
    haplotype: UInt8[Array, "pairs columns"],
    opening: Float[Array, "pairs columns"],
    extend: Float[Array, ""],
    *,
    band: int,
) -> Float[Array, " pairs"]:
    """Log-probability of each read given its haplotype, within a diagonal band.

    Band column k of row i is `haplotype[i + k]` (so `columns = rows + band`): the
    caller lays the band's left border at column 0. Arrays are worked as (band, pairs),
    so that a row of a block stays in cache. What leaves a row is carried as two
    numbers a cell: what enters the next match on the same diagonal, and the next
    insertion one column to the left. Deletions inside a row are one product with the
    triangular matrix `T[k, j] = eps ** (k - j - 1)`, `j < k`.

    Rows from `length` on are computed and not counted; their errors may be NaN.
    """
    dtype = errors.dtype
    pairs, rows = bases.shape
    extend = extend.astype(dtype)
    row = jnp.arange(rows, dtype=jnp.int32)
    real = (row[None] < length[:, None]).T
    errors = jnp.clip(jnp.where(real, errors.T, 0.5), _LOWEST, _HIGHEST)
    bases, haplotype, opening = bases.T, haplotype.T, opening.T
    gaps = _powers(extend, band)

    @jax.checkpoint
    def step(carry, x):
        to_match, to_insertion, total, scale = carry
        i, base, error, counted = x
        column = jax.lax.dynamic_slice_in_dim(haplotype, i, band)
        open_here = jax.lax.dynamic_slice_in_dim(opening, i, band)
        emission = jnp.where(column == base, 1.0 - error, error / 3.0)
        unknown = (base > 3) | (column == 4)
        match = jnp.where(unknown, 0.25, emission) * to_match
        edge = jnp.zeros((1, pairs), dtype)
        insertion = 0.25 * jnp.concatenate([to_insertion[1:], edge])
        opened = open_here * match
        deletion = jnp.matmul(gaps, opened, precision=jax.lax.Precision.HIGHEST)
        mass = (match + insertion).sum(0)
        unit = jax.lax.stop_gradient(mass)
        inverse = 1.0 / unit
        to_insertion = (opened + extend * insertion) * inverse
        closed = (1.0 - extend) * (insertion + deletion)
        to_match = (match - 2.0 * opened + closed) * inverse
        total = jnp.where(counted, mass * inverse, total)
        scale = jnp.where(counted, scale + jnp.log(unit), scale)
        return (to_match, to_insertion, total, scale), None

    start = (
        jnp.full((band, pairs), 1.0 / band, dtype),
        jnp.zeros((band, pairs), dtype),
        jnp.ones((pairs,), dtype),
        jnp.zeros((pairs,), dtype),
    )
    (_, _, total, scale), _ = jax.lax.scan(step, start, (row, bases, errors, real))
    return jnp.log(total) + scale


def _powers(extend: Float[Array, ""], band: int) -> Float[Array, "band band"]:
    column = np.arange(band)
    steps = column[:, None] - column[None] - 1
    exponent = jnp.asarray(np.maximum(steps, 0), extend.dtype)
    return jnp.where(jnp.asarray(steps >= 0), extend**exponent, 0.0)
