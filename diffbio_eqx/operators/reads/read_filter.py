"""Is a read good enough to keep? Quality, N, length and expected errors."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import fail, require_range
from diffbio_eqx._numerics import safe_div
from diffbio_eqx._typing import Mode
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.reads.host_trimming import N
from diffbio_eqx.operators.reads.trimmed_read import ReadInput, prepared
from diffbio_eqx.params import Free
from diffbio_eqx.relax import Relaxation

REASONS = ("unqualified", "mean_quality", "n_content", "errors", "short", "long")


class FilteredRead(eqx.Module):
    """What the filter says of one read.

    - `weight` (L,): the weight that came in, times `keep`.
    - `keep` (): probability that the read passes.
    - `reasons` (6,): probability that each of `REASONS` is the first that it fails.
    """

    weight: Float[Array, " length"]
    keep: Float[Array, ""]
    reasons: Float[Array, " reasons"]


class ReadFilter(AbstractOperator):
    """Keeps or drops one read. With n the sum of the weights w, a read passes if

    - `sum of w [q < qualified_quality] <= unqualified_percent n / 100` (fastp),
    - `sum of w q / n >= mean_quality`,
    - `sum of w [base is N] <= maximum_n`,
    - `sum of w 10^(-q / 10) <= maximum_errors` (as `cutadapt --max-ee`),
    - `minimum_length <= n <= maximum_length`.

    **Arguments** of the constructor: the thresholds above, all learnable; `None`
    leaves a rule out. The defaults are fastp's.

    **Arguments:** `x = (bases, qualities, weight)`, each (L,), as `QualityTrimming`.

    **Returns:** a `FilteredRead`.

    **Raises** `ValueError` at construction for thresholds that are negative, percents
    above 100, or no rule at all.

    **Exact:** hard and straight-through modes. **Relaxed:** soft mode: each comparison
    is `sigmoid(x / t)`, with x in Phred, percent of n, bases (from half-way between
    whole numbers) and, for errors, `10 log10(maximum / sum)`, Phred again.

    References: S. Chen et al. (2018), doi:10.1093/bioinformatics/bty560; R. C. Edgar,
    H. Flyvbjerg (2015), doi:10.1093/bioinformatics/btv401.

    ```python
    x = jnp.zeros(20, jnp.uint8), jnp.full(20, 30.0), jnp.ones(20)
    ReadFilter(mean_quality=20.0)(x).keep  # 1
    ```
    """

    qualified_quality: Free
    unqualified_percent: Free | None
    mean_quality: Free | None
    maximum_n: Free | None
    maximum_errors: Free | None
    minimum_length: Free | None
    maximum_length: Free | None
    relaxation: Relaxation

    def __init__(
        self,
        *,
        qualified_quality: float = 15.0,
        unqualified_percent: float | None = 40.0,
        mean_quality: float | None = None,
        maximum_n: float | None = 5.0,
        maximum_errors: float | None = None,
        minimum_length: float | None = 15.0,
        maximum_length: float | None = None,
        temperature: float = 1.0,
        mode: Mode = "straight_through",
    ):
        def node(name: str, value: float | None, step: float, top: float = np.inf):
            if value is None:
                return None
            low = 1e-6 if name == "maximum_errors" else 0.0
            require_range(name, value, low, top)
            return Free(value, step=step)

        require_range("qualified_quality", qualified_quality, 0.0, 93.0)
        self.qualified_quality = Free(qualified_quality, step=0.1)
        self.unqualified_percent = node(
            "unqualified_percent", unqualified_percent, 0.5, 100.0
        )
        self.mean_quality = node("mean_quality", mean_quality, 0.1, 93.0)
        self.maximum_n = node("maximum_n", maximum_n, 0.1)
        self.maximum_errors = node("maximum_errors", maximum_errors, 0.05)
        self.minimum_length = node("minimum_length", minimum_length, 0.1)
        self.maximum_length = node("maximum_length", maximum_length, 0.1)
        self.relaxation = Relaxation(temperature, mode)
        if all(getattr(self, name) is None for name in _RULES):
            fail("filter of reads", expected="at least one rule", got="none")

    def __call__(
        self, x: ReadInput, *, key: PRNGKeyArray | None = None
    ) -> FilteredRead:
        bases, q, weight = prepared(x)
        kind, n = weight.dtype, weight.sum()
        step = self.relaxation.step
        total = lambda value: (weight * value).sum()
        limit = lambda rule: jnp.asarray(rule.value, kind)
        one = jnp.ones((), kind)
        passed = [one] * len(REASONS)
        if self.unqualified_percent is not None:
            low = total(self.relaxation.greater(limit(self.qualified_quality), q))
            allowed = limit(self.unqualified_percent)
            # in hundredths, so that whole numbers compare exactly
            passed[0] = self._share(allowed * n - 100 * low, n)
        if self.mean_quality is not None:
            mean = total(q) - limit(self.mean_quality) * n
            passed[1] = jnp.where(n > 0, self._share(mean, n), 0.0)
        if self.maximum_n is not None:
            count = total((bases == N).astype(kind))
            passed[2] = step(limit(self.maximum_n) - count + 0.5)
        if self.maximum_errors is not None:
            errors = total(10 ** (-q / 10))
            ratio = safe_div(limit(self.maximum_errors), errors, fill=1e6)
            passed[3] = step(10 * jnp.log10(jnp.maximum(ratio, 1e-9)), closed=True)
        if self.minimum_length is not None:
            passed[4] = step(n - limit(self.minimum_length) + 0.5)
        if self.maximum_length is not None:
            passed[5] = step(limit(self.maximum_length) - n + 0.5)
        passes = jnp.stack(passed)
        before = jnp.concatenate([one[None], jnp.cumprod(passes)])
        return FilteredRead(weight * before[-1], before[-1], before[:-1] * (1 - passes))

    def block_passes(
        self, bases: np.ndarray, qualities: np.ndarray, start: Any, end: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """The hard rule for the parts `[start, end)` of R reads (R, L), in NumPy.

        Returns which reads pass (R,), and the index in `REASONS` of the first rule
        that each fails, -1 for none.
        """
        column = np.arange(bases.shape[1])
        start, end = np.asarray(start)[:, None], np.asarray(end)[:, None]
        inside = (column >= start) & (column < end)
        n = (end - start)[:, 0]
        fails = np.zeros((len(REASONS), len(bases)), bool)
        value = lambda rule: float(rule.value)
        if self.unqualified_percent is not None:
            low = (inside & (qualities < value(self.qualified_quality))).sum(1)
            fails[0] = 100 * low > value(self.unqualified_percent) * n
        if self.mean_quality is not None:
            whole = np.where(inside, qualities, 0).sum(1, dtype=np.int64)
            fails[1] = (whole < value(self.mean_quality) * n) | (n == 0)
        if self.maximum_n is not None:
            fails[2] = (inside & (bases == N)).sum(1) >= value(self.maximum_n) + 0.5
        if self.maximum_errors is not None:
            each = 10 ** (-np.arange(256) / 10)
            errors = np.where(inside, each[qualities], 0.0).sum(1)
            fails[3] = errors > value(self.maximum_errors)
        if self.minimum_length is not None:
            fails[4] = n <= value(self.minimum_length) - 0.5
        if self.maximum_length is not None:
            fails[5] = n >= value(self.maximum_length) + 0.5
        bad = fails.any(0)
        return ~bad, np.where(bad, fails.argmax(0), -1)

    def _share(self, difference: Array, n: Array) -> Array:
        """Is a sum, per base of the read, at least 0?"""
        return self.relaxation.step(safe_div(difference, n, fill=0.0), closed=True)


_RULES = (
    "unqualified_percent",
    "mean_quality",
    "maximum_n",
    "maximum_errors",
    "minimum_length",
    "maximum_length",
)
