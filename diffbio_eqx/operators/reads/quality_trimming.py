"""Low-quality ends of a read, cut as cutadapt and BWA do."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from diffbio_eqx._checks import require_range
from diffbio_eqx._typing import Mode
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.reads.host_trimming import G, bwa_spans
from diffbio_eqx.operators.reads.trimmed_read import (
    ReadInput,
    TrimmedRead,
    apply_cuts,
    linear_recurrence,
    prepared,
    span_of,
)
from diffbio_eqx.params import Free
from diffbio_eqx.relax import Relaxation, set_mode


class QualityTrimming(AbstractOperator):
    """Cuts both ends of one read by partial sums of `threshold - q`.

    From an end inwards, `S_k = sum of the first k of w (threshold - q)`. The walk stops
    at the first `S_k < 0`; of what it saw, the k of the largest `S_k` is cut, the
    smallest such k, none if no sum is above 0. A read whose two cuts meet is empty.

    **Soft form:** the walk goes on at step k with probability
    `sigmoid((S_k + 1/2) / t)`; given where it stopped, k has probability
    `softmax(S_k / t)` over what it saw (less `k / (2 L + 2)`, which settles ties as the
    hard rule does). A base has the weight of "not cut", summed over all k: O(L).

    **Arguments** of the constructor: `threshold` of the 3' end and `front_threshold` of
    the 5' end, Phred, learnable; 0 cuts nothing. `nextseq`: at the 3' end a G counts
    as one below the threshold whatever its quality (two-colour machines).

    **Arguments:** `x = (bases, qualities, weight)`, each (L,): codes, Phred, and the
    mass of each base so far; a base of weight 0 is not there.

    **Returns:** a `TrimmedRead`.

    **Raises** `ValueError` at construction for thresholds outside [0, 93].

    **Exact:** hard and straight-through modes: `cutadapt -q FRONT,BACK`, or
    `--nextseq-trim`. **Relaxed:** soft mode; temperature in Phred.

    Reference: M. Martin (2011), doi:10.14806/ej.17.1.200; the sums are those of BWA,
    H. Li, R. Durbin (2009), doi:10.1093/bioinformatics/btp324.

    ```python
    q = jnp.array([30.0, 40.0, 30.0, 5.0, 2.0])
    trim = QualityTrimming(20.0, mode="hard")
    trim((jnp.zeros(5, jnp.uint8), q, jnp.ones(5))).weight  # 1 1 1 0 0
    ```
    """

    back_cutoff: Free
    front_cutoff: Free
    relaxation: Relaxation
    nextseq: bool = eqx.field(static=True)

    def __init__(
        self,
        threshold: float = 20.0,
        front_threshold: float = 0.0,
        *,
        nextseq: bool = False,
        temperature: float = 2.0,
        mode: Mode = "straight_through",
    ):
        require_range("threshold", threshold, 0.0, 93.0)
        require_range("front_threshold", front_threshold, 0.0, 93.0)
        self.back_cutoff = Free(threshold, step=0.1)
        self.front_cutoff = Free(front_threshold, step=0.1)
        self.nextseq = nextseq
        self.relaxation = Relaxation(temperature, mode)

    @property
    def threshold(self) -> Any:
        """Cut-off of the 3' end (Phred)."""
        return self.back_cutoff.value

    @property
    def front_threshold(self) -> Any:
        """Cut-off of the 5' end (Phred)."""
        return self.front_cutoff.value

    def __call__(self, x: ReadInput, *, key: PRNGKeyArray | None = None) -> TrimmedRead:
        bases, qualities, weight = prepared(x)
        kind = weight.dtype
        back = jnp.asarray(self.threshold, kind) - qualities
        if self.nextseq:
            back = jnp.where(bases == G, jnp.ones((), kind), back)
        front = jnp.asarray(self.front_threshold, kind) - qualities
        both = ((weight * front, weight), ((weight * back)[::-1], weight[::-1]))
        start, end = self.relaxation.decide(
            lambda t: tuple(_soft(*gw, t) for gw in both),
            lambda: tuple(_hard(g) for g, _ in both),
            kind,
        )
        return apply_cuts(weight, start, end[::-1])

    def span(self, x: ReadInput) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """The part `[start, end)` that the hard rule keeps; equal ends: none."""
        return span_of(prepared(x)[2], set_mode(self, "hard")(x))

    def block_spans(
        self, bases: np.ndarray, qualities: np.ndarray, start: Any, end: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """`span` of the parts `[start, end)` of R reads (R, L), in NumPy."""
        return bwa_spans(
            bases,
            qualities,
            np.asarray(start),
            np.asarray(end),
            cutoff=float(self.threshold),
            front_cutoff=float(self.front_threshold),
            nextseq=self.nextseq,
        )


def _sums(gain: Array) -> Array:
    return jnp.concatenate([jnp.zeros(1, gain.dtype), jnp.cumsum(gain)])


def _hard(gain: Float[Array, " n"]) -> Array:
    sums = _sums(gain)
    seen = lax.cummin(sums) >= 0
    best = jnp.argmax(jnp.where(seen, sums, -1.0))
    return jax.nn.one_hot(best, sums.size, dtype=gain.dtype)


def _soft(gain: Float[Array, " n"], weight: Float[Array, " n"], t: Array) -> Array:
    sums = _sums(gain)
    size = sums.size
    there = jnp.concatenate([jnp.ones(1, bool), weight > 0])
    order = jnp.arange(size, dtype=gain.dtype) / (2 * size)
    score = jnp.where(there, (sums - order) / t, -1e9)
    total = lax.cumlogsumexp(score)
    go = weight * jax.nn.log_sigmoid((sums[1:] + 0.5) / t)
    alive = jnp.exp(_sums(go))
    stopped = alive - jnp.append(alive[1:], 0.0)
    # r_k: sum over stops b >= k of P(b) exp(total_k - total_b), from the last k back
    shrink = jnp.exp(total[:-1] - total[1:])
    factor = jnp.append(shrink, jnp.zeros((), gain.dtype))[::-1]
    mass = linear_recurrence(factor, stopped[::-1])[::-1]
    return mass * jnp.exp(score - total)
