"""Counts on a scale where the noise is about the same for all genes."""

import math
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require
from diffbio_eqx._numerics import masked_mean, safe_sqrt
from diffbio_eqx._special import log
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.dispersion_trend import DispersionTrend
from diffbio_eqx.operators.expression.fitted_trend import FittedTrend
from diffbio_eqx.operators.expression.gene_dispersion import GeneDispersion
from diffbio_eqx.operators.expression.intercept_only import intercept_only
from diffbio_eqx.statistics.cubic_spline import CubicSpline
from diffbio_eqx.statistics.quantiles import quantiles

LOG2 = math.log(2.0)

_POINTS = 1000
_LEAST_MEAN = 5.0
_TOO_FEW = (
    "variance stabilising: expected at least as many genes with a mean of scaled "
    "counts above 5 as `subset`, got fewer; use subset=None."
)


class VarianceStabilising(AbstractOperator):
    """Variance-stabilised counts, about log2 of scaled counts q = K / n where large.

    `v(q)` is the integral of `1 / sqrt(q + q^2 trend(q))`, on a log2 scale. With the
    trend `a0 + a1 / q` (a1 = 0 for "mean") it is

    `v(q) = log2((1 + a1 + 2 a0 q + 2 sqrt(a0 q (1 + a1 + a0 q))) / (4 a0))`;

    with a local trend it is integrated over 1,000 points, with the average of 1 / n in
    the Poisson part, interpolated, and scaled to log2 q at the 95 % and 99.9 %
    quantiles of the genes' means.

    **Arguments:** `table`, a `GeneTable` with `scale`, and with `trend` unless the
    operator fits its own.

    - `blind`: fit dispersions and trend again with the design `~ 1` (static).
    - `subset`: fit them again on so many genes only, evenly spaced in the order of
      means above 5 (R's `vst` takes 1,000); None for all genes (static).
    - `kind`: the trend to fit then (static).

    **Returns:** (samples, genes) stabilised counts.

    **Raises:** `ValueError` without a trend; an error at run time for a `subset`
    of more genes than there are with a mean above 5.

    **Exact:** as DESeq2. The gradient at a count of 0 is 0 (it is infinite).

    ```python
    table = SizeFactors()(GeneTable.start(sample))
    values = VarianceStabilising(blind=True)(table)
    ```

    Reference: Anders and Huber 2010, doi:10.1186/gb-2010-11-10-r106.
    """

    dispersion: GeneDispersion
    trend: DispersionTrend
    blind: bool = eqx.field(static=True)
    subset: int | None = eqx.field(static=True)

    def __init__(
        self,
        *,
        blind: bool = True,
        subset: int | None = None,
        kind: Literal["parametric", "local", "mean"] = "parametric",
    ):
        require(
            subset is None or subset >= 2,
            "subset",
            expected="two genes or more, or None",
            got=subset,
        )
        self.dispersion = GeneDispersion(linear_means=True if blind else None)
        self.trend = DispersionTrend(kind)
        self.blind = bool(blind)
        self.subset = subset

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "samples genes"]:
        require(table.scale is not None, "table", expected="its scale", got="none")
        return stabilise(table, self.fit(table))

    def fit(self, table: GeneTable) -> FittedTrend:
        """The trend that the counts are transformed with."""
        if not self.blind and self.subset is None:
            require(
                table.trend is not None,
                "table",
                expected="its trend",
                got="none",
                hint="apply DispersionTrend first, or use blind=True",
            )
            return table.trend
        if self.blind:
            table = intercept_only(table)
        if self.subset is not None:
            table = _evenly_spaced(table, self.subset)
        return self.trend(self.dispersion(table)).trend


def stabilise(table: GeneTable, trend: FittedTrend) -> Float[Array, "samples genes"]:
    """The scaled counts of a table, stabilised for a trend."""
    if trend.local is None:
        return _closed_form(table, trend)
    return lax.cond(trend.is_local, _integrated, _closed_form, table, trend)


def _closed_form(table: GeneTable, trend: FittedTrend) -> Array:
    scaled = table.counts / table.scale
    constant, slope = trend.coefficients
    root = safe_sqrt(constant * scaled * (1 + slope + constant * scaled))
    top = 1 + slope + 2 * constant * scaled + 2 * root
    return (log(top) - log(4 * constant)) / LOG2


def _integrated(table: GeneTable, trend: FittedTrend) -> Array:
    scaled = table.counts / table.scale
    dtype = scaled.dtype
    log_scale = log(jnp.broadcast_to(table.scale, scaled.shape))
    of_samples = jnp.exp(masked_mean(log_scale, table.genes, 1))
    noise = (1 / of_samples).mean()
    part = jnp.arange(1, _POINTS, dtype=dtype) / (_POINTS - 1)
    points = jnp.sinh(part * jnp.arcsinh(scaled.max()))
    deviation = jnp.sqrt(trend(points) * points**2 + noise * points)
    step = jnp.diff(points)
    height = (1 / deviation[1:] + 1 / deviation[:-1]) / 2
    middle = (points[1:] + points[:-1]) / 2
    curve = CubicSpline.through(jnp.arcsinh(middle), jnp.cumsum(step * height))
    high = quantiles(table.base_mean, table.genes, jnp.asarray([0.95, 0.999], dtype))
    at_high = curve(jnp.arcsinh(high))
    stretch = (log(high[1]) - log(high[0])) / (at_high[1] - at_high[0]) / LOG2
    shift = log(high[0]) / LOG2 - stretch * at_high[0]
    return stretch * curve(jnp.arcsinh(scaled)) + shift


def _evenly_spaced(table: GeneTable, count: int) -> GeneTable:
    """Genes at even steps of the order of means above 5."""
    mean = lax.stop_gradient(table.base_mean)
    above = table.genes & (mean > _LEAST_MEAN)
    order = jnp.argsort(jnp.where(above, mean, jnp.inf))
    steps, last = count - 1, above.sum() - 1
    # Rounded half to even in whole numbers, so that float32 takes the same genes.
    whole, rest = jnp.divmod(jnp.arange(count) * last, steps)
    half_up = (2 * rest == steps) & (whole % 2 == 0)  # R counts places from 1
    place = jnp.where((2 * rest > steps) | half_up, whole + 1, whole)
    place = eqx.error_if(place, last < steps, _TOO_FEW)
    chosen = order[jnp.clip(place, 0, order.size - 1)]
    scale = table.scale
    if scale.shape[1] == table.counts.shape[1]:
        scale = scale[:, chosen]
    real = jnp.ones(count, bool)
    counts = table.counts[:, chosen]
    part = GeneTable(counts, table.design, table.weights, real, real)
    return part.with_scale(scale)
