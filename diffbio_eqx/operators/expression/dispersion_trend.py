"""How dispersions depend on the mean."""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from diffbio_eqx._checks import require_choice
from diffbio_eqx._numerics import masked_mean
from diffbio_eqx._special import log
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.fitted_trend import FittedTrend
from diffbio_eqx.operators.expression.parametric_trend import fit_parametric_trend
from diffbio_eqx.statistics.local_regression import (
    LocalRegression,
    fit_local_regression,
)

LOWEST_DISPERSION = 1e-8
USED_ABOVE = 100 * LOWEST_DISPERSION
"""Gene-wise dispersions up to this are at their bound and say nothing of the trend."""

_TRIM = 0.001
_KNOTS = 64


class DispersionTrend(AbstractOperator):
    """Fits a curve through the gene-wise dispersions: `fitted_dispersion` and `trend`.

    - `"parametric"`: `a0 + a1 / base_mean` by a gamma GLM on genes that are not far
      from it (see `fit_parametric_trend`). Where that fails, `"local"` takes its place,
      and `table.trend.is_local` says so.
    - `"local"`: local quadratic regression of log dispersion on log mean, weighted by
      the mean (see `fit_local_regression`).
    - `"mean"`: the mean, 0.1 % trimmed off at each end.

    Only tested genes with a gene-wise dispersion above 1e-6 are fitted ("mean": 1e-7).
    Without any, `table.trend.usable` is False and the trend is 1e-8.

    **Arguments:** `table`, a `GeneTable` with `gene_dispersion` and `base_mean`.

    - `kind`: "parametric", "local" or "mean".
    - `solver`: "deseq2" stops the parametric fit where R does, "exact" at the optimum.

    **Returns:** the table with `fitted_dispersion` and `trend`, a `FittedTrend`.

    **Exact:** as DESeq2. The gradient holds which genes are fitted; that of the
    parametric trend is the optimum's (implicit), and 0 where the fit fails.

    ```python
    table = DispersionTrend()(table)
    table.trend(jnp.array([10.0, 1000.0]))
    ```

    Reference: Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8.
    """

    kind: Literal["parametric", "local", "mean"] = eqx.field(static=True)
    solver: Literal["deseq2", "exact"] = eqx.field(static=True)

    def __init__(
        self,
        kind: Literal["parametric", "local", "mean"] = "parametric",
        *,
        solver: Literal["deseq2", "exact"] = "deseq2",
    ):
        require_choice("kind of a trend", kind, ("parametric", "local", "mean"))
        require_choice("solver of a trend", solver, ("deseq2", "exact"))
        self.kind = kind
        self.solver = solver

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> GeneTable:
        real = table.tested & (table.base_mean > 0)
        used = real & (table.gene_dispersion > USED_ABOVE)
        usable = used.any()
        mean = jnp.where(real, table.base_mean, 1.0)
        dispersion = jnp.where(used, table.gene_dispersion, 1.0)
        no = jnp.zeros((), bool)
        if self.kind == "mean":
            wider = real & (table.gene_dispersion > 10 * LOWEST_DISPERSION)
            level = _trimmed_mean(table.gene_dispersion, wider)
            trend = FittedTrend(_constant(level), None, no, usable)
        elif self.kind == "local":
            local = _fit_local(mean, dispersion, used)
            trend = FittedTrend(
                _constant(jnp.zeros((), mean.dtype)), local, usable, usable
            )
        else:
            fit = fit_parametric_trend(mean, dispersion, used, solver=self.solver)
            coefficients, good = fit
            local = lax.cond(
                good | ~usable, _no_local, _fit_local, mean, dispersion, used
            )
            trend = FittedTrend(coefficients, local, ~good & usable, usable)
        lowest = _constant(jnp.asarray(LOWEST_DISPERSION, mean.dtype))
        coefficients = jnp.where(usable, trend.coefficients, lowest)
        trend = eqx.tree_at(lambda t: t.coefficients, trend, coefficients)
        return table.replace(fitted_dispersion=trend(mean), trend=trend)


def _constant(level: Float[Array, ""]) -> Float[Array, " 2"]:
    return jnp.stack([level, jnp.zeros_like(level)])


def _fit_local(mean: Array, dispersion: Array, used: Array) -> LocalRegression:
    weights = jnp.where(used, mean, 0.0)
    return fit_local_regression(
        log(mean), log(dispersion), weights, used, capacity=_KNOTS
    )


def _no_local(mean: Array, dispersion: Array, used: Array) -> LocalRegression:
    nothing = jnp.zeros(_KNOTS, mean.dtype)
    return LocalRegression(nothing, nothing, nothing, nothing[0])


def _trimmed_mean(x: Array, mask: Bool[Array, " genes"]) -> Array:
    """R's `mean(x, trim = 0.001)` of the entries in the mask."""
    order = jnp.argsort(jnp.where(mask, lax.stop_gradient(x), jnp.inf))
    count = mask.sum()
    off = jnp.floor(count.astype(x.dtype) * _TRIM).astype(count.dtype)
    place = jnp.arange(x.size)
    kept = (place >= off) & (place < count - off)
    return masked_mean(jnp.where(mask, x, 0.0)[order], kept)
