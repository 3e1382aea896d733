"""What a Differential Expression pipeline says of every gene."""

import equinox as eqx
from jaxtyping import Array, Bool, Float


class DifferentialExpression(eqx.Module):
    """Results per gene, in the order of the counts; NaN stands for R's NA.

    - `base_mean` (genes,): mean of the scaled counts over samples.
    - `log_fold_change`, `standard_error` (genes,): log2 effect and its error.
    - `statistic` (genes,): Wald's, or twice the log likelihood ratio; `wald_statistic`
      is another name of it.
    - `log_p_values` (genes,): natural log; take gradients of this. `p_values` is its
      exponential. NaN for genes without counts and for Cook's outliers.
    - `log_adjusted_p_values`, `adjusted_p_values` (genes,): Benjamini and Hochberg
      after independent filtering. NaN also for filtered genes.
    - `significant` (genes,): weight in [0, 1] of `adjusted p < alpha`.
    - `dispersion` (genes,): used in the test; its parts `gene_dispersion`,
      `fitted_dispersion`, `map_dispersion`, `dispersion_outlier` (weight in [0, 1]).
    - `coefficients`, `coefficient_errors` (coefs, genes): log2.
    - `size_factors` (samples,): with normalisation factors their geometric means.
    - `cooks` (samples, genes), `max_cooks` (genes,): Cook's distances.
    - `cooks_outlier`, `replaced`, `tested`, `converged` (genes,): flags.
    - `trend_coefficients` (2,): a0 (asymptotic dispersion) and a1 of
      `a0 + a1 / mean`; NaN for another kind of trend. `trend_fell_back`: whether
      the parametric trend failed and the local one stands in.
    - `prior_variance`, `filter_threshold`, `filter_quantile`: scalars.
    - `used_poscounts`: whether size factors are by positive counts.
    - `shrunken_log_fold_change`, `shrunken_standard_error`, `s_values` (genes,): None
      unless shrinkage was asked for (`s_values` by apeglm only).
    """

    base_mean: Float[Array, " genes"]
    log_fold_change: Float[Array, " genes"]
    standard_error: Float[Array, " genes"]
    statistic: Float[Array, " genes"]
    log_p_values: Float[Array, " genes"]
    p_values: Float[Array, " genes"]
    log_adjusted_p_values: Float[Array, " genes"]
    adjusted_p_values: Float[Array, " genes"]
    significant: Float[Array, " genes"]
    dispersion: Float[Array, " genes"]
    gene_dispersion: Float[Array, " genes"]
    fitted_dispersion: Float[Array, " genes"]
    map_dispersion: Float[Array, " genes"]
    dispersion_outlier: Float[Array, " genes"]
    coefficients: Float[Array, "coefs genes"]
    coefficient_errors: Float[Array, "coefs genes"]
    size_factors: Float[Array, " samples"]
    cooks: Float[Array, "samples genes"]
    max_cooks: Float[Array, " genes"]
    cooks_outlier: Bool[Array, " genes"]
    replaced: Bool[Array, " genes"]
    tested: Bool[Array, " genes"]
    converged: Bool[Array, " genes"]
    trend_coefficients: Float[Array, "2"]
    trend_fell_back: Bool[Array, ""]
    prior_variance: Float[Array, ""]
    filter_threshold: Float[Array, ""]
    filter_quantile: Float[Array, ""]
    used_poscounts: Bool[Array, ""]
    shrunken_log_fold_change: Float[Array, " genes"] | None = None
    shrunken_standard_error: Float[Array, " genes"] | None = None
    s_values: Float[Array, " genes"] | None = None

    @property
    def wald_statistic(self) -> Float[Array, " genes"]:
        """The statistic of the test."""
        return self.statistic
