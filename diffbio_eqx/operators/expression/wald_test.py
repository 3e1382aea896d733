"""Wald tests of one contrast of the coefficients."""

import math
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from diffbio_eqx._checks import require, require_choice, require_range
from diffbio_eqx._numerics import safe_sqrt
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.data.test_statistics import TestStatistics
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.statistics.tail_probabilities import log_normal_tail, log_t_tail

LOG2 = math.log(2.0)
ALTERNATIVES = ("greaterAbs", "lessAbs", "greater", "less")

Genes = Float[Array, " genes"]


class WaldTest(AbstractOperator):
    """Tests the contrast `b = c' beta` (log2) against its error `e = sqrt(c' S c)`.

    With the threshold T and the upper tail Q of the standard normal distribution:

    - "greaterAbs", |b| > T: statistic `sign(b) max((|b| - T) / e, 0)`,
      `p = min(1, 2 Q((|b| - T) / e))`;
    - "lessAbs", |b| < T: the larger of `Q((T - b) / e)` and `Q((T + b) / e)`;
    - "greater", b > T: `Q((b - T) / e)`; "less", b < -T: `Q((-T - b) / e)`.

    A gene whose counts are zero in all samples that the contrast compares has effect 0
    and statistic 0, but for a contrast of the design's own coefficient
    (`Design.contrast_samples`).

    **Arguments:** `table`, a `GeneTable` after `NegativeBinomialGLM`.

    - `threshold`: T >= 0, log2; positive for "lessAbs".
    - `alternative`: as above.
    - `use_t`: Student's t with samples - coefs degrees of freedom (with weights: their
      sum less the coefficients), in place of the normal distribution.

    **Returns:** `TestStatistics`; `log_p` is exact where p itself would underflow.

    **Exact:** all. The maxima pass the gradient of the larger side.

    ```python
    statistics = WaldTest()(table)
    found = statistics.log_p < jnp.log(0.01)
    ```

    Reference: Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8.
    """

    threshold: float = eqx.field(static=True)
    alternative: str = eqx.field(static=True)
    use_t: bool = eqx.field(static=True)

    def __init__(
        self,
        threshold: float | int = 0.0,
        alternative: Literal["greaterAbs", "lessAbs", "greater", "less"] = "greaterAbs",
        *,
        use_t: bool = False,
    ):
        require_range("threshold of a test", threshold, 0.0)
        require_choice("alternative of a test", alternative, ALTERNATIVES)
        require(
            threshold > 0 or alternative != "lessAbs",
            "threshold of a test",
            expected="more than 0 with the alternative 'lessAbs'",
            got=threshold,
            hint="say how small an effect should be to count as none",
        )
        self.threshold = float(threshold)
        self.alternative = alternative
        self.use_t = bool(use_t)

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> TestStatistics:
        effect, error = contrast_effect(table)
        above = lambda z: self._log_tail(table, z)
        t, sign = self.threshold, jnp.sign(effect)
        if self.alternative == "greaterAbs":
            # |b| in this form has the gradient sign(b) at 0 too.
            z = (jnp.where(effect < 0, -effect, effect) - t) / error
            statistic = jnp.where(effect < 0, -1.0, 1.0) * jnp.maximum(z, 0.0)
            statistic = jnp.where(sign == 0, 0.0, statistic)
            log_p = jnp.minimum(above(z) + LOG2, 0.0)
        elif self.alternative == "lessAbs":
            high, low = (t - effect) / error, (t + effect) / error
            statistic = jnp.minimum(jnp.maximum(high, 0.0), jnp.maximum(low, 0.0))
            log_p = jnp.maximum(above(high), above(low))
        elif self.alternative == "greater":
            z = (effect - t) / error
            statistic, log_p = jnp.maximum(z, 0.0), above(z)
        else:
            z = (effect + t) / error
            statistic, log_p = jnp.minimum(z, 0.0), above(-z)
        return TestStatistics(effect, error, statistic, log_p)

    def _log_tail(self, table: GeneTable, z: Genes) -> Genes:
        if not self.use_t:
            return log_normal_tail(z)
        samples, coefs = table.design.matrix.shape
        total = jnp.asarray(samples, z.dtype)
        if table.weights is not None:
            total = table.observation_weights.sum(0)
        return log_t_tail(z, jnp.maximum(total - coefs, 1.0))


def contrast_effect(table: GeneTable) -> tuple[Genes, Genes]:
    """The tested effect and its error, both log2.

    Where the compared samples have no count the effect is 0, exactly.
    """
    for name in ("coefficients", "covariance"):
        found = getattr(table, name) is not None
        require(found, "table", expected=f"its {name}", got="none")
    contrast = jnp.asarray(table.design.contrast)
    effect = contrast @ table.coefficients / LOG2
    variance = jnp.einsum("i,ijg,j->g", contrast, table.covariance, contrast)
    error = safe_sqrt(variance) / LOG2
    error = jnp.where(table.tested & (error > 0), error, 1.0)
    empty = contrast_is_empty(table)
    return jnp.where(empty, 0.0, effect), error


def contrast_is_empty(table: GeneTable) -> Bool[Array, " genes"]:
    """Genes with counts, but none in the samples that the contrast compares."""
    compared = jnp.asarray(table.design.contrast_samples)
    seen = (compared[:, None] & (table.counts > 0)).any(0)
    return table.tested & ~seen
