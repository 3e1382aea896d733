"""Effects shrunken by a Cauchy prior whose width is estimated from all genes."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import concrete, require, require_choice, require_range
from diffbio_eqx._numerics import safe_sqrt
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.data.shrunken_effects import ShrunkenEffects
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.cauchy_scale import cauchy_scale
from diffbio_eqx.operators.expression.gene_blocks import map_genes
from diffbio_eqx.operators.expression.glm_steps import (
    Coefs,
    Genes,
    Observed,
    least_squares_start,
    log_means,
    weighted,
)
from diffbio_eqx.operators.expression.normal_shrinkage import LOG2, tested_problem
from diffbio_eqx.operators.expression.penalised_glm import (
    NO_FLOOR,
    Flags,
    ModeState,
    Penalty,
    Problem,
    at_mode,
    evaluate,
    newton,
    still,
)
from diffbio_eqx.operators.expression.quasi_newton import quasi_newton
from diffbio_eqx.operators.expression.small_cholesky import SmallCholesky, pair_indices
from diffbio_eqx.params import Positive
from diffbio_eqx.statistics.s_values import false_sign_rate, s_values

_WIDE = 15.0
_STARTS = (0.1, -0.1)
_DISAGREE = 0.01
_NUDGE = 1e-3


class Apeglm(AbstractOperator):
    """Posterior mode and spread of the tested effect under a Cauchy prior.

    With the tested coefficient `b = c' beta` (natural logarithms) and the others g,

        log posterior = log NB(K; n exp(X beta), alpha) - log(1 + b^2 / S^2)
                        - sum_k g_k^2 / (2 * 15^2) + constant.

    The heavy tails keep large effects as they are; small ones go to 0. The scale S
    comes from the estimates and their errors (see `cauchy_scale`). The standard error
    is that of the normal approximation at the mode (Laplace).

    **Arguments:** a `GeneTable` with `scale` and `dispersion`, and without a
    `prior_scale` also `coefficients` and `coefficient_errors` (or `covariance`, needed
    for a contrast of several coefficients). R uses the counts before outliers are
    replaced. A contrast of several coefficients becomes a coefficient of an equivalent
    design first, as releveling a factor does in R.

    - `prior_scale`: S, natural logarithms, instead of the estimated one. DESeq2's
      `apeAdapt=FALSE` is `Apeglm(prior_scale=1.0, shrink_all=True)`.
    - `shrink_all`: the Cauchy prior is on every coefficient but the first.
    - `threshold`: log2; the s-values are of "false sign or small" (below it).
    - `solver`: "apeglm" or "exact".

    **Returns:** `ShrunkenEffects`.

    **Exact:** `solver="apeglm"` follows apeglm's own search (method "nbinomCR"), which
    stops before the mode, in float64: searches from two starts, Newton's method for
    genes where they differ by more than 0.01, errors from differences of the gradient.
    As in DESeq2, a gene with counts that is not tested (all of them were replaced as
    outliers) then has a part in S with effect and error 0, which makes S 0.001.
    `solver="exact"`, and always float32, gives the higher of the modes found from the
    estimate and from no effect, with the analytic Hessian. Nothing is relaxed.
    **Gradients** are implicit, also through S; 0 for genes without a mode and for
    those with two equally high ones.

    **Reference:** A. Zhu, J. G. Ibrahim, M. I. Love, "Heavy-tailed prior distributions
    for sequence count data: removing the noise and preserving large differences",
    2019, doi:10.1093/bioinformatics/bty895.

    ```python
    shrunken = Apeglm()(table)  # after `NegativeBinomialGLM`
    shrunken.log_fold_change, shrunken.s_value
    ```
    """

    scale: Positive | None
    solver: str = eqx.field(static=True)
    shrink_all: bool = eqx.field(static=True)
    threshold: float = eqx.field(static=True)

    def __init__(
        self,
        solver: str = "apeglm",
        *,
        prior_scale: float | None = None,
        shrink_all: bool = False,
        threshold: float = 0.0,
    ):
        require_choice("solver of Apeglm", solver, ("apeglm", "exact"))
        require_range("threshold", threshold, 0.0)
        self.scale = None if prior_scale is None else Positive(prior_scale)
        self.solver = solver
        self.shrink_all = bool(shrink_all)
        self.threshold = float(threshold)

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> ShrunkenEffects:
        for name in ("scale", "dispersion"):
            value = getattr(table, name)
            require(value is not None, "table", expected=f"its {name}", got="none")
        turn = _Turn.of(jnp.asarray(table.design.contrast))
        problem = tested_problem(table, turn.matrix(jnp.asarray(table.design.matrix)))
        penalty = self._penalty(table, turn)
        found = self._modes(still(problem), still(penalty), table.tested)
        floor = jnp.full_like(problem.dispersion, NO_FLOOR)
        state = ModeState(found.smooth & table.tested, floor)
        clean = lambda x: jnp.where(table.tested, x, 0.0)
        beta = clean(at_mode(found.beta, problem, penalty, state))
        variance = clean(self._variance(problem, penalty, beta, turn.chosen))
        effect, error = turn.chosen @ beta / LOG2, safe_sqrt(variance) / LOG2
        rate = false_sign_rate(effect, error, self.threshold)
        return ShrunkenEffects(
            effect,
            error,
            turn.back(beta),
            found.good & (variance > 0) & table.tested,
            penalty.scale,
            rate,
            s_values(rate, table.tested),
        )

    def _penalty(self, table: GeneTable, turn: "_Turn") -> Penalty:
        dtype = table.counts.dtype
        if self.scale is None:
            scale = self._estimated_scale(table)
        else:
            scale = self.scale.value.astype(dtype)
        cauchy = turn.chosen
        if self.shrink_all:
            cauchy = jnp.ones_like(cauchy).at[0].set(0.0)
        return Penalty((1 - cauchy) / _WIDE**2, cauchy, scale)

    def _estimated_scale(self, table: GeneTable) -> Float[Array, ""]:
        effect, error = _estimates(table)
        clean = lambda x: jnp.where(table.tested, x, 0.0)
        used, exact = table.tested, self._is_exact(table.counts.dtype)
        if not exact:
            used |= table.genes & (table.counts > 0).any(0)
        return cauchy_scale(clean(effect), clean(error), used, exact=exact)

    def _is_exact(self, dtype: jnp.dtype) -> bool:
        """R's early stop cannot be followed in float32."""
        return self.solver == "exact" or dtype != jnp.float64

    def _modes(self, problem: Problem, penalty: Penalty, active: Flags) -> "_Found":
        floor = jnp.full_like(problem.dispersion, NO_FLOOR)
        go = lambda start, some: newton(problem, start, floor, some, penalty)
        if self._is_exact(problem.counts.dtype):
            first = map_genes(lambda b: _start(problem, b), problem.columns())
            second = jnp.where(penalty.cauchy[:, None] > 0, 0.0, first)
            both = lax.map(lambda start: go(start, active), jnp.stack([first, second]))
            far = jax.tree.map(lambda x: x[0], both)
            near = jax.tree.map(lambda x: x[1], both)
            gap = near.value - far.value
            better = near.converged & ((gap < 0) | ~far.converged)
            beta = jnp.where(better, near.beta, far.beta)
            apart = (jnp.abs(near.beta - far.beta) > 1e-3).any(0)
            equal = apart & (jnp.abs(gap) < 1e-4)
            good = far.converged | near.converged
            return _Found(beta, good, good & ~equal)
        coefs = problem.matrix.shape[1]
        first = jnp.resize(jnp.asarray(_STARTS, problem.counts.dtype), coefs)
        search = lambda start: quasi_newton(problem, start, active, penalty)
        both = lax.map(search, jnp.stack([first, -first]))
        beta = both.beta[0]
        differ = (jnp.abs(beta - both.beta[1]) > _DISAGREE).any(0)
        columns = {**problem.columns(), "beta": beta}
        minimum = map_genes(lambda b: _is_minimum(problem, b, penalty), columns)
        again = active & (differ | ~both.converged[0] | ~minimum)
        newer = go(beta, again)
        beta = jnp.where(again, newer.beta, beta)
        good = newer.converged | ~again
        return _Found(beta, good, good)

    def _variance(
        self, problem: Problem, penalty: Penalty, beta: Coefs, chosen: Array
    ) -> Genes:
        """Variance of the tested coefficient; 0 where there is no minimum."""
        exact = self._is_exact(beta.dtype)
        columns = {**problem.columns(), "beta": beta}

        def one_block(block: dict[str, Array]) -> Genes:
            data = problem.observed(block)
            if exact:
                floor = jnp.full_like(data.dispersion, NO_FLOOR)
                packed = evaluate(block["beta"], data, floor, penalty).bend
            else:
                packed = _differences(block["beta"], data, penalty)
            rows, columns = pair_indices(beta.shape[0])
            unit = jnp.asarray((rows == columns)[:, None], beta.dtype)
            factor = SmallCholesky.of(lax.stop_gradient(packed), beta.shape[0])
            good = jnp.isfinite(factor.lower).all((0, 1))
            factor = SmallCholesky.of(jnp.where(good, packed, unit), beta.shape[0])
            right = jnp.broadcast_to(chosen[:, None], beta.shape[:1] + good.shape)
            return jnp.where(good, chosen @ factor.solve(right), 0.0)

        return map_genes(one_block, columns)


class _Found(NamedTuple):
    """A mode of every gene; `good`: it is one; `smooth`: it has a derivative."""

    beta: Coefs
    good: Flags
    smooth: Flags


class _Turn(NamedTuple):
    """Coefficients in which the contrast c is one: `b_k = c' beta` for the k with the
    largest |c_k|, and `b_j = beta_j` else."""

    contrast: Float[Array, " coefs"]
    chosen: Float[Array, " coefs"]

    @staticmethod
    def of(contrast: Float[Array, " coefs"]) -> "_Turn":
        """Of a contrast; `chosen` is 1 at k and 0 else."""
        place = jnp.argmax(jnp.abs(contrast))
        chosen = jnp.arange(contrast.size) == place
        return _Turn(contrast, chosen.astype(contrast.dtype))

    def matrix(self, matrix: Float[Array, "s c"]) -> Float[Array, "s c"]:
        """The design for the new coefficients."""
        column = matrix @ self.chosen / (self.contrast @ self.chosen)
        others = matrix - column[:, None] * self.contrast
        return jnp.where(self.chosen > 0, column[:, None], others)

    def back(self, beta: Coefs) -> Coefs:
        """The coefficients of the design as it was given."""
        others = ((1 - self.chosen) * self.contrast) @ beta
        rest = (self.chosen @ beta - others) / (self.contrast @ self.chosen)
        return jnp.where(self.chosen[:, None] > 0, rest, beta)


def _estimates(table: GeneTable) -> tuple[Genes, Genes]:
    """The tested effect and its standard error before shrinkage."""
    contrast, beta = jnp.asarray(table.design.contrast), table.coefficients
    errors, covariance = table.coefficient_errors, table.covariance
    require(beta is not None, "table", expected="its coefficients", got="none")
    if covariance is not None:
        solved = (covariance * contrast[:, None]).sum(1)
        return contrast @ beta, safe_sqrt(contrast @ solved)
    require(errors is not None, "table", expected="coefficient_errors", got="none")
    known = concrete(contrast)
    require(
        known is None or (known != 0).sum() == 1,
        "table",
        expected="its covariance, for a contrast of several coefficients",
        got="none",
    )
    return contrast @ beta, safe_sqrt((contrast**2) @ errors**2)


def _start(problem: Problem, block: dict[str, Array]) -> Coefs:
    data = problem.observed(block)
    return least_squares_start(data.counts, jnp.exp(data.log_scale), data.matrix)


def _is_minimum(problem: Problem, block: dict[str, Array], penalty: Penalty) -> Flags:
    data = problem.observed(block)
    floor = jnp.full_like(data.dispersion, NO_FLOOR)
    bend = evaluate(block["beta"], data, floor, penalty).bend
    factor = SmallCholesky.of(bend, penalty.cauchy.size)
    return jnp.isfinite(factor.lower).all((0, 1))


def _differences(
    beta: Coefs, data: Observed, penalty: Penalty
) -> Float[Array, "pairs genes"]:
    """Hessian by central differences of the gradient at steps of 0.001, as R's
    `optimHess`: for scales near 0.001 it is not that of the mode."""
    mean = jnp.exp(log_means(beta, data))
    coefs = beta.shape[0]

    def row(index: Array) -> Coefs:
        unit = (jnp.arange(coefs) == index).astype(beta.dtype)
        column = (data.matrix @ unit)[:, None]
        score = lambda m: (m - data.counts) / (1 + data.dispersion * m)
        up, down = (mean * jnp.exp(sign * _NUDGE * column) for sign in (1.0, -1.0))
        change = weighted(score(up) - score(down), data.weights)
        nudge = _NUDGE * unit[:, None]
        prior = penalty.slope(beta + nudge) - penalty.slope(beta - nudge)
        return (data.matrix.T @ change + prior) / (2 * _NUDGE)

    full = lax.map(row, jnp.arange(coefs))
    rows, columns = pair_indices(coefs)
    return (full[rows, columns] + full[columns, rows]) / 2
