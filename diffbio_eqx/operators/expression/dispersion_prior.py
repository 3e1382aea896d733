"""How far dispersions lie from their trend."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require_range
from diffbio_eqx._special import log, trigamma
from diffbio_eqx._typing import Mode
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.dispersion_trend import USED_ABOVE
from diffbio_eqx.operators.expression.prior_matching import match_prior_variance
from diffbio_eqx.params import Positive
from diffbio_eqx.relax import Relaxation
from diffbio_eqx.statistics.robust import median_absolute_deviation

LEAST_VARIANCE = 0.25


class DispersionPrior(AbstractOperator):
    """Width of the prior of log dispersions around the trend.

    With residuals `r_g = log gene_dispersion - log fitted_dispersion` of the tested
    genes whose gene-wise dispersion is at least 1e-6:

    - `log_residual_deviation` s = 1.4826 median |r - median r|;
    - `prior_variance` = max(s^2 - trigamma((m - p) / 2), 0.25), that is less what the
      sampling of m - p degrees of freedom explains. With weights of samples, m is
      their sum.
    - Where m - p <= 3 in number, the log chi-square is too skewed for that: the
      variance whose distribution of residuals is the nearest to the one observed
      (see `match_prior_variance`), at least 0.25.

    **Arguments:** `table`, a `GeneTable` with `gene_dispersion`, `fitted_dispersion`.

    - `variance`: the variance itself, if it is known (a trainable leaf), or None.
    - `temperature`: width of the medians' soft form, in natural logarithms.

    **Returns:** the table with `prior_variance` and `log_residual_deviation`.

    **Exact:** hard and straight-through modes, as DESeq2; but where m - p <= 3 R draws
    random numbers and is within 0.01 of this. **Relaxed:** the medians in soft mode.
    The matched variance passes no gradient.

    ```python
    table = DispersionPrior()(table)
    table.prior_variance, table.log_residual_deviation
    ```

    Reference: Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8.
    """

    given: Positive | None
    relaxation: Relaxation

    def __init__(
        self,
        variance: float | None = None,
        *,
        temperature: float = 0.05,
        mode: Mode = "straight_through",
    ):
        if variance is not None:
            require_range("prior variance", variance, 0.0, open_low=True)
        self.given = None if variance is None else Positive(variance, step=0.02)
        self.relaxation = Relaxation(temperature, mode)

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> GeneTable:
        used = table.tested & (table.gene_dispersion >= USED_ABOVE)
        ratio = table.gene_dispersion / table.fitted_dispersion
        residuals = log(jnp.where(used, ratio, 1.0))
        deviation = median_absolute_deviation(residuals, used, self.relaxation)
        return table.replace(
            prior_variance=self._variance(table, residuals, used, deviation),
            log_residual_deviation=deviation,
        )

    def _variance(
        self, table: GeneTable, residuals: Array, used: Array, deviation: Array
    ) -> Float[Array, ""]:
        if self.given is not None:
            return self.given.value.astype(deviation.dtype)
        samples, coefs = table.design.matrix.shape
        freedom = samples - coefs
        if 0 < freedom <= 3:
            fixed = lax.stop_gradient(residuals)
            return jnp.maximum(
                match_prior_variance(fixed, used, freedom), LEAST_VARIANCE
            )
        if freedom <= 0:
            return jnp.maximum(deviation**2, LEAST_VARIANCE)
        freedom = jnp.asarray(freedom, deviation.dtype)
        if table.weights is not None:
            freedom = jnp.maximum(table.weights.sum() - coefs, 1.0)
        explained = trigamma(freedom / 2)
        return jnp.maximum(deviation**2 - explained, LEAST_VARIANCE)
