"""Tails of one base that the machine made up, cut as fastp does."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, PRNGKeyArray

from diffbio_eqx._checks import require_choice, require_range
from diffbio_eqx._typing import Mode
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.reads.host_trimming import (
    MISMATCH_EVERY,
    MOST_MISMATCHES,
    G,
    N,
    poly_g_end,
    poly_x_end,
)
from diffbio_eqx.operators.reads.trimmed_read import (
    ReadInput,
    TrimmedRead,
    apply_cuts,
    first_hit,
    interval,
    prepared,
    scatter,
    span_of,
)
from diffbio_eqx.params import Positive
from diffbio_eqx.relax import Relaxation, set_mode
from diffbio_eqx.relax.step import hard_step, soft_step

_ORDER = (0, 3, 1, 2)


class PolyTail(AbstractOperator):
    """Cuts a tail of G (`base="G"`) or of any one base (`"any"`) from one read.

    From the 3' end inwards, `m_i` is the number of other bases among the first i + 1.
    The walk stops at the first i with `m_i > min((i + 1) // 8, 5)`, but not before
    `minimum_length` bases (any base: 8, or `minimum_length - 1`). If it came so far,
    everything goes from the innermost base that fits. With `"any"`, m counts against
    the most frequent base and N fits each. Put it *before* quality trimming: the Gs
    that a two-colour machine reads from darkness have high qualities.

    **Soft form:** each comparison above is `sigmoid(x / t)` in bases (halves between
    whole numbers), and the stop is the first success of independent trials.

    **Arguments** of the constructor: `minimum_length` (bases, learnable); `base`.

    **Arguments:** `x = (bases, qualities, weight)`, each (L,), as `QualityTrimming`;
    qualities have no part. The tail is looked for where the weight is above 1/2.

    **Returns:** a `TrimmedRead`.

    **Raises** `ValueError` at construction for a length below 1 or another base.

    **Exact:** hard and straight-through modes: `fastp -g --poly_g_min_len` and
    `fastp -x --poly_x_min_len` (0.23). **Relaxed:** soft mode; temperature in bases.

    Reference: S. Chen et al. (2018), doi:10.1093/bioinformatics/bty560.

    ```python
    bases = jnp.array([0] * 4 + [2] * 12, jnp.uint8)
    PolyTail()((bases, jnp.full(16, 30.0), jnp.ones(16))).weight.sum()  # 4
    ```
    """

    length: Positive
    relaxation: Relaxation
    base: str = eqx.field(static=True)

    def __init__(
        self,
        minimum_length: float = 10.0,
        base: str = "G",
        *,
        temperature: float = 0.2,
        mode: Mode = "straight_through",
    ):
        require_range("minimum_length", minimum_length, 1.0)
        require_choice("base", base, ("G", "any"))
        self.length = Positive(minimum_length, step=0.1)
        self.base = base
        self.relaxation = Relaxation(temperature, mode)

    @property
    def minimum_length(self) -> Any:
        """Least length of a tail (bases)."""
        return self.length.value

    def __call__(self, x: ReadInput, *, key: PRNGKeyArray | None = None) -> TrimmedRead:
        bases, _, weight = prepared(x)
        end = self.relaxation.decide(
            lambda t: self._end(bases, weight, lambda v: soft_step(v, t)),
            lambda: self._end(bases, weight, lambda v: hard_step(v, closed=False)),
            weight.dtype,
        )
        start = jnp.zeros_like(end).at[0].set(1.0)
        return apply_cuts(weight, start, end)

    def span(self, x: ReadInput) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """The part `[start, end)` that the hard rule keeps; equal ends: none."""
        return span_of(prepared(x)[2], set_mode(self, "hard")(x))

    def block_spans(
        self, bases: np.ndarray, qualities: np.ndarray, start: Any, end: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """`span` of the parts `[start, end)` of R reads (R, L), in NumPy."""
        rule = poly_g_end if self.base == "G" else poly_x_end
        start, end = np.asarray(start), np.asarray(end)
        minimum = round(float(self.minimum_length))
        return start, rule(bases, start, end, minimum=minimum)

    def _end(self, bases: Array, weight: Array, step: Callable) -> Array:
        """Posterior (L + 1,) of the end; `step(x)` is 1 for x > 0, soft or hard."""
        length, kind = weight.size, weight.dtype
        first, last = interval(weight)
        size = last - first
        i = jnp.arange(length)
        tail = jnp.where(i < size, bases[jnp.maximum(last - 1 - i, 0)], 7)
        least = jnp.asarray(self.minimum_length, kind)
        number = lambda v: v.astype(kind)
        allowed = (i + 1) // MISMATCH_EVERY
        if self.base == "G":
            fits = (tail == G)[None]
            misses = jnp.cumsum(tail != G)
            over = step(number(misses - allowed) - 0.5)
            far = step(number(i) - least + 1.5)
            most = step(number(misses) - MOST_MISMATCHES - 0.5)
            stop = 1 - (1 - most) * (1 - over * far)
            reached = jnp.arange(length + 1)
        else:
            letters = jnp.asarray(_ORDER, jnp.uint8)[:, None]
            fits = tail == letters
            counts = jnp.cumsum(fits | (tail == N), axis=1)
            allowed = jnp.minimum(allowed, MOST_MISMATCHES)
            over = step(number(i + 1 - counts.max(0) - allowed) - 0.5)
            far = step(number(i) - least + 2.5)
            stop = over * jnp.where(i >= MISMATCH_EVERY, 1.0, far)
            reached = jnp.arange(length + 1) + 1
        stop = jnp.where(i < size, stop, 1.0)
        mass, rest = first_hit(stop)
        mass = jnp.append(mass, rest)
        place = jnp.clip(jnp.arange(length + 1), 0, jnp.maximum(size - 1, 0))
        floor = 0 if self.base == "G" else -1
        inmost = lax.cummax(jnp.where(fits & (i < size), i, floor), axis=1)[:, place]
        if self.base == "G":
            inmost = inmost[0]
        else:
            most_frequent = counts[:, place].argmax(0)
            inmost = jnp.take_along_axis(inmost, most_frequent[None], 0)[0]
        cut = jnp.maximum(last - 1 - inmost, first)
        cut = jnp.where(cut >= last, length, cut)
        long = step(number(reached) - least + 0.5)
        end = scatter(length + 1, cut, mass * long)
        return end.at[length].add((mass * (1 - long)).sum())
