"""Low-quality ends of a read, cut by sliding windows as fastp does."""

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
from diffbio_eqx.operators.reads.host_trimming import N, window_spans
from diffbio_eqx.operators.reads.trimmed_read import (
    ReadInput,
    TrimmedRead,
    apply_cuts,
    first_hit,
    interval,
    linear_recurrence,
    prepared,
    scatter,
    span_of,
)
from diffbio_eqx.params import Free
from diffbio_eqx.relax import Relaxation, set_mode
from diffbio_eqx.relax.step import hard_step, soft_step

DIRECTIONS = ("front", "tail", "right")


class SlidingWindowTrimming(AbstractOperator):
    """Cuts one end of one read by the mean quality of windows of `size` bases.

    - `"front"`: windows move from the 5' end to the first of mean `>= threshold`. If
      that is the first window nothing is cut, else all before its last base.
    - `"tail"`: the same from the 3' end; all after the first base of that window goes.
    - `"right"`: windows move from the 5' end to the first of mean `< threshold`; from
      its first base `q < threshold` on, everything goes.

    The innermost window that would fit is not looked at. N at the new end goes too
    (not for `"right"`). A read of `size` bases or fewer is dropped, and so is one of
    which a single base would be left by the cut in front: fastp does this.

    **Soft form:** each window is the first to pass with the probability of independent
    trials `sigmoid((mean - threshold) / t)`; for `"right"` each base of the window is
    kept with probability `sigmoid((q - threshold) / t)` until one is not. The part of
    the read that is looked at is where the incoming weight is above 1/2.

    **Arguments** of the constructor: `threshold` (Phred, learnable), `direction`,
    `size` (bases).

    **Arguments:** `x = (bases, qualities, weight)`, each (L,), as `QualityTrimming`.

    **Returns:** a `TrimmedRead`; a dropped read has weight 0 everywhere.

    **Raises** `ValueError` at construction for a threshold outside [0, 93], a size
    below 1 or an unknown direction.

    **Exact:** hard and straight-through modes: `fastp --cut_front`, `--cut_tail`,
    `--cut_right` (0.23). **Relaxed:** soft mode; temperature in Phred.

    Reference: S. Chen et al. (2018), doi:10.1093/bioinformatics/bty560.

    ```python
    q = jnp.array([30.0, 30.0, 30.0, 30.0, 2.0, 2.0])
    trim = SlidingWindowTrimming(20.0, "right", size=2, mode="hard")
    trim((jnp.zeros(6, jnp.uint8), q, jnp.ones(6))).weight  # 1 1 1 1 0 0
    ```
    """

    cutoff: Free
    relaxation: Relaxation
    direction: str = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self,
        threshold: float = 20.0,
        direction: str = "tail",
        *,
        size: int = 4,
        temperature: float = 1.0,
        mode: Mode = "straight_through",
    ):
        require_range("threshold", threshold, 0.0, 93.0)
        require_range("size of the window", size, 1.0)
        require_choice("direction", direction, DIRECTIONS)
        self.cutoff = Free(threshold, step=0.1)
        self.direction = direction
        self.size = int(size)
        self.relaxation = Relaxation(temperature, mode)

    @property
    def threshold(self) -> Any:
        """Least mean quality of a window (Phred)."""
        return self.cutoff.value

    def __call__(self, x: ReadInput, *, key: PRNGKeyArray | None = None) -> TrimmedRead:
        bases, qualities, weight = prepared(x)
        start, end = self.relaxation.decide(
            lambda t: self._cuts(
                bases, qualities, weight, lambda v, *, closed: soft_step(v, t)
            ),
            lambda: self._cuts(
                bases,
                qualities,
                weight,
                lambda v, *, closed: hard_step(v, closed=closed),
            ),
            weight.dtype,
        )
        return apply_cuts(weight, start, end)

    def span(self, x: ReadInput) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """The part `[start, end)` that the hard rule keeps; equal ends: none."""
        return span_of(prepared(x)[2], set_mode(self, "hard")(x))

    def block_spans(
        self, bases: np.ndarray, qualities: np.ndarray, start: Any, end: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """`span` of the parts `[start, end)` of R reads (R, L), in NumPy."""
        return window_spans(
            bases,
            qualities,
            np.asarray(start),
            np.asarray(end),
            size=self.size,
            mean=float(self.threshold),
            direction=self.direction,
        )

    def _cuts(self, bases: Array, qualities: Array, weight: Array, step: Callable):
        """Posteriors (L + 1,) of both ends; `step` is soft or hard."""
        length, kind = weight.size, weight.dtype
        first, last = interval(weight)
        column = jnp.arange(length)
        inside = (column >= first) & (column < last)
        sums = jnp.cumsum(jnp.where(inside, qualities, 0.0))
        sums = jnp.concatenate([jnp.zeros(1, kind), sums])
        stop = jnp.minimum(column + self.size, length)
        means = (sums[stop] - sums[:-1]) / self.size
        threshold = jnp.asarray(self.threshold, kind)
        letter = bases != N
        untouched = jnp.zeros(length + 1, kind)
        from_start, to_end = untouched.at[0].set(1.0), untouched.at[-1].set(1.0)
        inner = last - self.size
        none_left = untouched.at[first].set(1.0)
        if self.direction == "front":
            looked = (column >= first) & (column < inner)
            hit = jnp.where(looked, step(means - threshold, closed=True), 0.0)
            mass, rest = first_hit(hit)
            places = jnp.append(column, jnp.maximum(inner, 0))
            cut = jnp.where(places > first, places + self.size - 1, places)
            nearest = jnp.where(letter & inside, column, last)
            nearest = jnp.append(lax.cummin(nearest, reverse=True), last)
            cut = nearest[jnp.minimum(cut, length)]
            dropped = (cut >= last - 1) | (inner <= first)
            # nothing was cut: say so, also where the read begins later in its row
            cut = jnp.where(dropped, last, jnp.where(cut == first, 0, cut))
            return scatter(length + 1, cut, jnp.append(mass, rest)), to_end
        if self.direction == "tail":
            looked = (column > first) & (column <= inner)
            hit = jnp.where(looked, step(means - threshold, closed=True), 0.0)[::-1]
            mass, rest = first_hit(hit)
            places = jnp.append(column[::-1], first)
            cut = jnp.where(places + self.size == last, last, places + 1)
            before = jnp.append(-1, lax.cummax(jnp.where(letter, column, -1)))
            cut = before[cut] + 1
            cut = jnp.where((cut <= first) | (inner <= first), first, cut)
            cut = jnp.where(cut == last, length, cut)
            end = scatter(length + 1, cut, jnp.append(mass, rest))
            return from_start, jnp.where(inner <= first, none_left, end)
        looked = (column >= first) & (column < inner)
        hit = jnp.where(looked, step(threshold - means, closed=False), 0.0)
        mass, rest = first_hit(hit)
        on = jnp.where(column < last - 1, step(qualities - threshold, closed=True), 0.0)
        before = jnp.append(jnp.zeros(1, kind), on[:-1])
        reached = linear_recurrence(before, mass)
        end = jnp.append(reached * (1 - on), rest)
        dropped = (inner <= first) | (first >= last - 1)
        # the first base is the cut: nothing is left
        return from_start, jnp.where(dropped, none_left, end)
