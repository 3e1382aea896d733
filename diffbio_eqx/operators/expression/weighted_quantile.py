"""A weighted quantile without sorting, with DESeq2's rule between two entries."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from diffbio_eqx._numerics import safe_div
from diffbio_eqx._typing import Natural

_INTEGER = {4: jnp.int32, 8: jnp.int64}


def weighted_quantile(
    x: Float[Array, "*s"], weights: Float[Array, "*#s"], q: Natural
) -> Float[Array, ""]:
    """Quantile `q` of entries x >= 0, with weights >= 0 scaled to a mean of 1.

    With n entries of positive weight and `place = 1 + (n - 1) q`, a linear mixture of
    the entries where the sum of the weights of all smaller or equal ones first reaches
    `floor(place)` and the next whole number. This is `Hmisc::wtd.quantile(normwt=TRUE)`
    of R. Without any entry it is 0.

    The two entries are found by halving the range of numbers: a pass over the data for
    each bit, no sort. The gradient goes to these two entries; weights have none.
    """
    weights = lax.stop_gradient(jnp.broadcast_to(weights, x.shape))
    dtype = x.dtype
    count = (weights > 0).sum().astype(dtype)
    place = 1 + jnp.maximum(count - 1, 0) * jnp.asarray(q, dtype)
    low = jnp.maximum(jnp.floor(place), 1)
    high = jnp.minimum(low + 1, count)
    scale = safe_div(weights.sum(), count)
    ends = [_first_reaching(x, weights, target * scale) for target in (low, high)]
    part = place - jnp.floor(place)
    return (1 - part) * ends[0] + part * ends[1]


@jax.custom_jvp
def _first_reaching(x: Array, weights: Array, total: Array) -> Array:
    """The smallest entry at which the weights of entries up to it reach `total`."""
    integer = _INTEGER[x.dtype.itemsize]
    # The bits of numbers >= 0 are in the order of the numbers.
    largest = jnp.max(x, initial=0.0, where=weights > 0)
    bottom = jnp.asarray(-1, integer)
    top = lax.bitcast_convert_type(largest, integer)

    def halve(_, ends):
        bottom, top = ends
        middle = bottom + (top - bottom) // 2
        number = lax.bitcast_convert_type(jnp.maximum(middle, 0), x.dtype)
        enough = jnp.where((x <= number) & (middle >= 0), weights, 0.0).sum() >= total
        narrow = top - bottom > 1
        bottom, top = (
            jnp.where(narrow & ~enough, middle, bottom),
            jnp.where(narrow & enough, middle, top),
        )
        return bottom, top

    _, top = lax.fori_loop(0, 8 * x.dtype.itemsize, halve, (bottom, top))
    return lax.bitcast_convert_type(top, x.dtype)


@_first_reaching.defjvp
def _first_reaching_jvp(primals, tangents):
    x, weights, total = primals
    value = _first_reaching(x, weights, total)
    chosen = ((x == value) & (weights > 0)).astype(x.dtype)
    return value, safe_div((chosen * tangents[0]).sum(), chosen.sum())
