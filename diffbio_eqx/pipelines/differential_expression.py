"""Differential Expression: counts and a design in, effects and p-values out."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, PRNGKeyArray

from diffbio_eqx._checks import require, require_choice, require_range
from diffbio_eqx._registry import register
from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.differential_expression import DifferentialExpression
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.apeglm import Apeglm
from diffbio_eqx.operators.expression.cooks_distance import (
    CooksDistance,
    cooks_outliers,
)
from diffbio_eqx.operators.expression.dispersion_prior import DispersionPrior
from diffbio_eqx.operators.expression.dispersion_trend import DispersionTrend
from diffbio_eqx.operators.expression.gene_dispersion import GeneDispersion
from diffbio_eqx.operators.expression.glm import NegativeBinomialGLM
from diffbio_eqx.operators.expression.independent_filtering import IndependentFiltering
from diffbio_eqx.operators.expression.likelihood_ratio_test import LikelihoodRatioTest
from diffbio_eqx.operators.expression.map_dispersion import MapDispersion
from diffbio_eqx.operators.expression.normal_shrinkage import NormalShrinkage
from diffbio_eqx.operators.expression.outlier_replacement import (
    OutlierReplacement,
)
from diffbio_eqx.operators.expression.size_factors import SizeFactors
from diffbio_eqx.operators.expression.wald_test import WaldTest
from diffbio_eqx.relax import Relaxation

LOG2E = 1.4426950408889634

Flags = Bool[Array, " genes"]

FITTED = (
    "means gene_dispersion gene_dispersion_converged fitted_dispersion map_dispersion "
    "dispersion_outlier dispersion coefficients coefficient_errors covariance "
    "leverages deviance converged iterations"
).split()


@dataclasses.dataclass(frozen=True)
class DifferentialExpressionPipelineConfig:
    """Structure of a `DifferentialExpressionPipeline`; the defaults are DESeq2's.

    - `n_genes`, `n_conditions`: number of genes, and of columns of the design, of every
      sample; checked at the call. None takes any.
    - `alpha`: the false discovery rate that `significant` and independent filtering
      are for.
    - `use_size_factors`: False counts every sample alike (factors of 1).
    - `size_factors`: "ratio", "poscounts", "iterate", or "auto": "ratio" unless every
      gene has a zero, then "poscounts".
    - `trend`: "parametric", "local" or "mean". `prior_variance`: of log dispersions
      around the trend, or None to estimate it.
    - `solver`: "deseq2" keeps R's rules for when a search stops; "exact" goes to the
      optimum.
    - `test`: "wald" or "lrt" (needs a reduced design). `lfc_threshold` (log2) and
      `alternative` ("greaterAbs", "lessAbs", "greater", "less") are Wald's. `use_t`:
      Student's t with the residual degrees of freedom.
    - `cooks_filter`: whether Cook's outliers lose their p-value.
      `replace_outliers_from`: replicates from which outlying counts are replaced, or
      None for never.
    - `independent_filtering`: whether genes of low mean lose their adjusted p-value.
    - `shrinkage`: None, "apeglm" or "normal".
    """

    n_genes: int | None = None
    n_conditions: int | None = None
    alpha: float = 0.1
    use_size_factors: bool = True
    size_factors: Literal["auto", "ratio", "poscounts", "iterate"] = "auto"
    trend: Literal["parametric", "local", "mean"] = "parametric"
    prior_variance: float | None = None
    solver: Literal["deseq2", "exact"] = "deseq2"
    test: Literal["wald", "lrt"] = "wald"
    lfc_threshold: float = 0.0
    alternative: Literal["greaterAbs", "lessAbs", "greater", "less"] = "greaterAbs"
    use_t: bool = False
    cooks_filter: bool = True
    replace_outliers_from: int | None = 7
    independent_filtering: bool = True
    shrinkage: Literal["apeglm", "normal"] | None = None

    def __post_init__(self):
        require_range("alpha", self.alpha, 0.0, 1.0, open_low=True, open_high=True)
        require_choice("test", self.test, ("wald", "lrt"))
        require_choice("shrinkage", self.shrinkage, (None, "apeglm", "normal"))
        for name in ("n_genes", "n_conditions"):
            value = getattr(self, name)
            require(
                value is None or (isinstance(value, int) and value >= 1),
                name,
                expected="a positive whole number or None",
                got=value,
            )
        plain = self.lfc_threshold == 0 and self.alternative == "greaterAbs"
        require(
            self.test == "wald" or plain,
            "lfc_threshold and alternative",
            expected="to be left out with test='lrt'",
            got=f"{self.lfc_threshold} and {self.alternative!r}",
            hint="thresholds are tested by test='wald'",
        )


class DifferentialExpressionPipeline(eqx.Module):
    """Finds the genes whose counts depend on a coefficient of the design.

    Size factors -> gene-wise dispersion -> trend -> prior -> MAP dispersion -> negative
    binomial GLM -> Cook's distances -> outlying counts replaced and those genes fitted
    again -> Wald or likelihood ratio test -> Cook's and independent filtering ->
    Benjamini and Hochberg -> shrinkage, if asked for. In float64 and at the defaults
    this is DESeq2; in float32 it is near it (see the docs for how near).

    **Arguments:** `sample`, a `CountMatrix`.

    **Returns:** a `DifferentialExpression`.

    **Exact:** all but decisions, which pass no gradient (filters, replacement) or that
    of a sigmoid (`dbx.set_mode`: median of ratios, dispersion outliers,
    `significant`). Fits have implicit gradients; a gene whose fit did not converge has
    gradient 0 and `converged` False.

    ```python
    pipeline = create_differential_expression_pipeline(alpha=0.05)
    sample = CountMatrix.from_arrays(counts, design)  # samples x genes, samples x coefs
    result = eqx.filter_jit(pipeline)(sample)
    ```

    Reference: Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8.
    """

    size_factors: SizeFactors
    gene_dispersion: GeneDispersion
    trend: DispersionTrend
    prior: DispersionPrior
    map_dispersion: MapDispersion
    glm: NegativeBinomialGLM
    cooks: CooksDistance
    replacement: OutlierReplacement | None
    test: WaldTest | LikelihoodRatioTest
    filtering: IndependentFiltering
    shrinkage: Apeglm | NormalShrinkage | None
    significance: Relaxation
    config: DifferentialExpressionPipelineConfig = eqx.field(static=True)

    def __init__(
        self,
        config: DifferentialExpressionPipelineConfig,
        *,
        key: PRNGKeyArray | None = None,
    ):
        """Nothing is drawn: `key` is taken so that all pipelines are built alike."""
        self.size_factors = SizeFactors(config.size_factors)
        self.gene_dispersion = GeneDispersion(config.solver)
        self.trend = DispersionTrend(config.trend, solver=config.solver)
        self.prior = DispersionPrior(config.prior_variance)
        self.map_dispersion = MapDispersion(config.solver)
        self.glm = NegativeBinomialGLM(config.solver)
        self.cooks = CooksDistance()
        self.replacement = None
        if config.replace_outliers_from is not None:
            self.replacement = OutlierReplacement(config.replace_outliers_from)
        if config.test == "lrt":
            self.test = LikelihoodRatioTest(NegativeBinomialGLM(config.solver))
        else:
            self.test = WaldTest(
                config.lfc_threshold, config.alternative, use_t=config.use_t
            )
        self.filtering = IndependentFiltering(
            config.alpha, enabled=config.independent_filtering
        )
        self.shrinkage = None
        if config.shrinkage == "normal":
            self.shrinkage = NormalShrinkage(config.solver)
        elif config.shrinkage == "apeglm":
            own = "exact" if config.solver == "exact" else "apeglm"
            self.shrinkage = Apeglm(own)
        self.significance = Relaxation(0.5)
        self.config = config

    def __call__(
        self, sample: CountMatrix, *, key: PRNGKeyArray | None = None
    ) -> DifferentialExpression:
        self._check(sample)
        before = self.scaled(sample)
        table, replaced = self.fitted(sample)
        return self._result(before, table, replaced)

    def scaled(self, sample: CountMatrix) -> GeneTable:
        """The table with size factors (or what stands in for them)."""
        table = GeneTable.start(sample)
        if table.scale is None and not self.config.use_size_factors:
            return table.with_scale(jnp.ones_like(table.counts[:, :1]))
        return self.size_factors(table)

    def fitted(self, sample: CountMatrix) -> tuple[GeneTable, Flags]:
        """The table with all columns, and the genes with a replaced count.

        The counts and fits are those after replacement; `cooks` are of the first fit,
        `max_cooks` over samples that were not open to replacement. Genes without a
        count left are no longer `tested`.
        """
        table = self.scaled(sample)
        with_trend = lambda table: self.prior(self.trend(table))
        first = lambda table: self.cooks(self._fit(table, with_trend))
        replacement = self.replacement
        samples = table.counts.shape[0]
        if replacement is None or samples < replacement.min_replicates:
            return first(table), jnp.zeros_like(table.tested)

        # One loop of two rounds, so that a fit is compiled once: all genes, then those
        # with an outlier, on replaced counts and with the trend and prior of the first.
        def one_round(carry, is_first):
            old, todo, replaced, largest = carry
            middle = lambda t: lax.cond(is_first, with_trend, on_trend, t)
            fit = lambda t: _joined(old, self._fit(t, middle))
            new = lax.cond(todo.tested.any(), fit, lambda t: _counted(old, t), todo)

            def look(table):
                table = self.cooks(table)
                again = replacement(table)
                tables = (table, again.table.replace(cooks=table.cooks))
                return *tables, again.replaced, again.max_cooks

            stay = lambda table: (table, todo, replaced, largest)
            return lax.cond(is_first, look, stay, new), None

        start = _filled(table, eqx.filter_eval_shape(first, table))
        nothing = jnp.zeros_like(table.tested)
        carry = (start, start, nothing, jnp.zeros_like(table.base_mean))
        both = jnp.array([True, False])
        (table, _, replaced, largest), _ = lax.scan(one_round, carry, both)
        left = table.tested & (table.counts > 0).any(0)
        return table.replace(max_cooks=largest, tested=left), replaced

    def _fit(
        self, table: GeneTable, middle: Callable[[GeneTable], GeneTable]
    ) -> GeneTable:
        """Dispersions and coefficients; `middle` gives the trend and the prior."""
        return self.glm(self.map_dispersion(middle(self.gene_dispersion(table))))

    def _result(
        self, before: GeneTable, table: GeneTable, replaced: Flags
    ) -> DifferentialExpression:
        """Tests, filters and names."""
        statistics = self.test(table)
        tested, emptied = before.tested, before.tested & ~table.tested
        original = table.replace(counts=before.counts)
        outliers = jnp.zeros_like(tested)
        if self.config.cooks_filter:
            outliers = cooks_outliers(original)
        zero = lambda x: jnp.where(emptied, 0.0, x)
        has_p = tested & ~outliers
        log_p = zero(jnp.where(has_p, statistics.log_p, 0.0))
        filtered = self.filtering((log_p, has_p, table.base_mean, table.genes))
        adjusted = filtered.log_adjusted
        level = jnp.log(jnp.asarray(self.config.alpha, log_p.dtype))
        significant = self.significance.step(level - adjusted)
        known = lambda x, mask=tested: jnp.where(mask, x, jnp.nan)
        trend = table.trend
        return DifferentialExpression(
            base_mean=table.base_mean,
            log_fold_change=known(zero(statistics.log_fold_change)),
            standard_error=known(zero(statistics.standard_error)),
            statistic=known(zero(statistics.statistic)),
            log_p_values=known(log_p, has_p),
            p_values=known(jnp.exp(log_p), has_p),
            log_adjusted_p_values=known(adjusted, filtered.passed),
            adjusted_p_values=known(jnp.exp(adjusted), filtered.passed),
            significant=jnp.where(filtered.passed, significant, 0.0),
            dispersion=known(table.dispersion),
            gene_dispersion=known(table.gene_dispersion),
            fitted_dispersion=known(table.fitted_dispersion),
            map_dispersion=known(table.map_dispersion),
            dispersion_outlier=jnp.where(tested, table.dispersion_outlier, 0.0),
            coefficients=known(table.coefficients * LOG2E),
            coefficient_errors=known(table.coefficient_errors * LOG2E),
            size_factors=jnp.exp(jnp.log(table.scale).mean(1)),
            cooks=known(table.cooks),
            max_cooks=known(table.max_cooks),
            cooks_outlier=outliers,
            replaced=replaced,
            tested=tested,
            converged=table.converged,
            trend_coefficients=known(trend.coefficients, ~trend.is_local),
            trend_fell_back=trend.is_local & (self.config.trend == "parametric"),
            prior_variance=table.prior_variance,
            filter_threshold=filtered.threshold,
            filter_quantile=filtered.theta,
            used_poscounts=self._uses_poscounts(before),
            **self._shrunken(original, known),
        )

    def _shrunken(self, table: GeneTable, known: Callable) -> dict[str, Array]:
        """Shrunken effects; as in DESeq2 from the counts as they were."""
        if self.shrinkage is None:
            return {}
        found = self.shrinkage(table)
        columns = {
            "shrunken_log_fold_change": known(found.log_fold_change),
            "shrunken_standard_error": known(found.standard_error),
        }
        if self.config.shrinkage == "apeglm":
            columns["s_values"] = known(found.s_value)
        return columns

    def _uses_poscounts(self, table: GeneTable) -> Bool[Array, ""]:
        if not self.config.use_size_factors:
            return jnp.zeros((), bool)
        return self.size_factors.uses_poscounts(table)

    def _check(self, sample: CountMatrix) -> None:
        """Sizes that the config fixes, and what the test needs."""
        samples, genes = sample.counts.shape
        coefs = sample.design.matrix.shape[1]
        for name, got in (("n_genes", genes), ("n_conditions", coefs)):
            wanted = getattr(self.config, name)
            require(wanted in (None, got), name, expected=wanted, got=got)
        require(
            samples > coefs,
            "samples",
            expected=f"more than the {coefs} coefficients of the design",
            got=samples,
            hint="without replicates no dispersion can be estimated",
        )


def _filled(table: GeneTable, shapes: GeneTable) -> GeneTable:
    """The table with zeros in every column that is to come."""
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    missing = [n for n in vars(table) if getattr(table, n) is None]
    return table.replace(**{name: getattr(zeros, name) for name in missing})


def on_trend(table: GeneTable) -> GeneTable:
    """What the trend says of the means of the table."""
    mean = jnp.where(table.base_mean > 0, table.base_mean, 1.0)
    return table.replace(fitted_dispersion=table.trend(mean))


def _joined(old: GeneTable, new: GeneTable) -> GeneTable:
    """`new` with the fits of `old` for the genes that were not fitted again."""
    choose = lambda name: jnp.where(new.tested, getattr(new, name), getattr(old, name))
    columns = {name: choose(name) for name in FITTED}
    return new.replace(tested=new.tested | old.tested, **columns)


def _counted(old: GeneTable, new: GeneTable) -> GeneTable:
    """`old` with the counts of `new`."""
    columns = ("counts", "base_mean", "base_variance")
    return old.replace(**{name: getattr(new, name) for name in columns})


def create_differential_expression_pipeline(
    *, key: PRNGKeyArray | None = None, **fields: Any
) -> DifferentialExpressionPipeline:
    """A `DifferentialExpressionPipeline` from the fields of its config.

    ```python
    pipeline = create_differential_expression_pipeline(alpha=0.05, shrinkage="apeglm")
    ```
    """
    config = DifferentialExpressionPipelineConfig(**fields)
    return DifferentialExpressionPipeline(config, key=key)


register(
    "differential_expression",
    DifferentialExpressionPipeline,
    create_differential_expression_pipeline,
)
