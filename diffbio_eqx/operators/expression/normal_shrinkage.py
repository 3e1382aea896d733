"""Effects shrunken by normal priors whose widths are estimated from all genes."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from diffbio_eqx._checks import require, require_choice, require_range
from diffbio_eqx._numerics import safe_sqrt
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.data.shrunken_effects import ShrunkenEffects
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.gene_blocks import iterate_genes, map_genes
from diffbio_eqx.operators.expression.glm_steps import (
    Coefs,
    Genes,
    Observed,
    best_likelihood,
    gram,
    least_squares_start,
    log_means,
    slopes,
    weighted,
)
from diffbio_eqx.operators.expression.nb_likelihood import loss
from diffbio_eqx.operators.expression.penalised_glm import (
    NO_FLOOR,
    Flags,
    ModeState,
    Penalty,
    Problem,
    add_diagonal,
    at_mode,
    newton,
    still,
)
from diffbio_eqx.operators.expression.small_cholesky import SmallCholesky, unpack
from diffbio_eqx.operators.expression.weighted_quantile import weighted_quantile
from diffbio_eqx.statistics.s_values import false_sign_rate, s_values

LOG2 = math.log(2.0)
UPPER = 0.05
"""Two-sided tail share at which the width of a normal prior is matched."""
NORMAL_95 = 1.959963984540054
"""Normal quantile at 1 - `UPPER` / 2."""

_FLAT = 1e6
_LARGEST = 30.0
_LOG_FLOOR = math.log(0.5)


class NormalShrinkage(AbstractOperator):
    """Posterior mode of the coefficients under zero-centred normal priors.

    Each coefficient k but the intercept has the prior N(0, v_k) on log2 scale. v_k is
    such that the prior's upper 5 % of |beta_k| begin where those of the estimates do:
    `sqrt(v_k) = quantile_0.95(|beta_k|) / 1.96`, over tested genes with |beta_k| < 10,
    weighted by `1 / (1 / base_mean + fitted_dispersion)`. The intercept, a column of
    ones, has the variance 1e6. The GLM is then fitted again with the ridge 1 / v, by
    R's iterations (or Newton's with `solver="exact"`). The error is the root of
    `c' V B V c`, with `B = X' W X` and `V = (B + ridge)^-1`.

    For designs without interactions: the prior on a main effect is not that of the
    interaction, and DESeq2 refuses such designs. A contrast c of several coefficients
    is `c' beta` of the shrunken ones (R then uses an expanded design instead).

    **Arguments:** a `GeneTable` with `scale`, `dispersion`, `fitted_dispersion`,
    `base_mean` and `coefficients`. R uses the counts before outliers are replaced.

    **Returns:** `ShrunkenEffects`; `prior_scale` are the standard deviations of the
    priors in natural units (coefs,).

    **Exact:** DESeq2's `lfcShrink(coef, type="normal")`. Nothing is relaxed.
    **Gradients** are implicit, also through the priors' widths; 0 for genes that did
    not converge.

    **Reference:** M. I. Love, W. Huber, S. Anders, "Moderated estimation of fold change
    and dispersion for RNA-seq data with DESeq2", 2014, doi:10.1186/s13059-014-0550-8.

    ```python
    shrunken = NormalShrinkage()(table)  # after `NegativeBinomialGLM`
    shrunken.log_fold_change
    ```
    """

    solver: str = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    rounds: int = eqx.field(static=True)

    def __init__(
        self, solver: str = "deseq2", *, tolerance: float = 1e-8, rounds: int = 100
    ):
        require_choice("solver of NormalShrinkage", solver, ("deseq2", "exact"))
        require_range("tolerance", tolerance, 0.0, open_low=True)
        require_range("rounds", rounds, 1)
        self.solver = solver
        self.tolerance = float(tolerance)
        self.rounds = int(rounds)

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> ShrunkenEffects:
        problem, penalty = self._problem(table)
        beta, known, floor = self._fit(still(problem), still(penalty), table.tested)
        known &= table.tested
        beta = at_mode(beta, problem, penalty, ModeState(known, floor))
        clean = lambda x: jnp.where(table.tested, x, 0.0)
        beta = clean(beta)
        contrast = jnp.asarray(table.design.contrast, beta.dtype)
        effect = contrast @ beta / LOG2
        error = clean(_errors(problem, penalty, beta, contrast) / LOG2)
        rate = false_sign_rate(effect, error)
        return ShrunkenEffects(
            effect,
            error,
            beta,
            known,
            1 / jnp.sqrt(penalty.ridge),
            rate,
            s_values(rate, table.tested),
        )

    def prior_variances(self, table: GeneTable) -> Float[Array, " coefs"]:
        """Variances v of the priors, log2 scale."""
        for name in ("coefficients", "fitted_dispersion", "base_mean"):
            value = getattr(table, name)
            require(value is not None, "table", expected=f"its {name}", got="none")
        tested = table.tested
        mean = jnp.where(tested, table.base_mean, 1.0)
        spread = jnp.where(tested, table.fitted_dispersion, 1.0)
        weight = jnp.where(tested, 1 / (1 / mean + spread), 0.0)

        def of_coefficient(beta: Float[Array, " genes"]) -> Float[Array, ""]:
            size = jnp.abs(jnp.where(tested, beta, 0.0)) / LOG2
            some = tested & (size < 10)
            width = weighted_quantile(size, jnp.where(some, weight, 0.0), 1 - UPPER)
            width = jnp.maximum(width / NORMAL_95, 1e-6)
            return jnp.where(some.any(), width**2, _FLAT)

        matrix = jnp.asarray(table.design.matrix)
        intercept = (jnp.abs(matrix - 1) < 1e-3).all(0)
        variances = jax.lax.map(of_coefficient, table.coefficients)
        return jnp.where(intercept, _FLAT, variances)

    def _problem(self, table: GeneTable) -> tuple[Problem, Penalty]:
        for name in ("scale", "dispersion"):
            value = getattr(table, name)
            require(value is not None, "table", expected=f"its {name}", got="none")
        penalty = Penalty.normal(1 / (self.prior_variances(table) * LOG2**2))
        return tested_problem(table, jnp.asarray(table.design.matrix)), penalty

    def _fit(
        self, problem: Problem, penalty: Penalty, active: Flags
    ) -> tuple[Coefs, Flags, Genes]:
        """Coefficients, where they are right, and the floor of log means there."""
        start = map_genes(lambda block: _start(problem, block), problem.columns())
        floor = jnp.full_like(problem.dispersion, _LOG_FLOOR)
        if self.solver == "exact":
            found = newton(problem, start, floor, active, penalty)
            return found.beta, found.converged, floor
        state = self._reweight(problem, penalty, start, active)
        failed = active & ~state.converged
        none = jnp.full_like(floor, NO_FLOOR)
        safe = jnp.where((jnp.abs(state.beta) < _LARGEST).all(0), state.beta, start)
        found = newton(problem, safe, none, failed, penalty)
        beta = jnp.where(failed, found.beta, state.beta)
        floor = jnp.where(failed, none, floor)
        return beta, state.converged | found.converged, floor

    def _reweight(
        self, problem: Problem, penalty: Penalty, start: Coefs, active: Flags
    ) -> "_Reweighting":
        """Until the deviance, taken after each round, changes less than tolerated."""
        eps = float(jnp.finfo(start.dtype).eps)
        tolerance = max(self.tolerance, 8 * eps)
        columns = problem.columns()
        best = lambda block: best_likelihood(problem.observed(block))
        columns["best"] = map_genes(best, columns)

        def step(state: _Reweighting, block: dict[str, Array]) -> _Reweighting:
            data = problem.observed(block)
            beta, lost = _fisher_step(state.beta, data, penalty)
            change = 2 * jnp.abs(lost - state.lost)
            size = 2 * jnp.abs(block["best"] - lost) + 0.1
            done = (state.rounds >= 2) & (change / size < tolerance)
            good = jnp.isfinite(lost) & (jnp.abs(beta) <= _LARGEST).all(0)
            going = ~done & good & (state.rounds < self.rounds)
            new = _Reweighting(
                jnp.where(going, beta, state.beta),
                lost,
                state.rounds + going.astype(jnp.int32),
                going,
                done & (state.rounds < self.rounds),
            )
            keep = lambda x, y: jnp.where(state.running, x, y)
            return jax.tree.map(keep, new, state)

        zeros = jnp.zeros_like(problem.dispersion)
        count = zeros.astype(jnp.int32)
        state = _Reweighting(start, zeros, count, active, jnp.zeros_like(active))
        rounds = self.rounds + 1
        return iterate_genes(step, lambda s: s.running, state, columns, rounds=rounds)


def tested_problem(table: GeneTable, matrix: Float[Array, "samples coefs"]) -> Problem:
    """The fit of a table with this design; untested genes hold harmless numbers."""
    tested = table.tested
    return Problem(
        jnp.where(tested, table.counts, 1.0),
        table.scale,
        matrix,
        jnp.where(tested, table.dispersion, 1.0),
        None if table.weights is None else table.weights[:, None],
    )


class _Reweighting(NamedTuple):
    beta: Coefs
    lost: Genes
    rounds: Int[Array, " genes"]
    running: Flags
    converged: Bool[Array, " genes"]


def _start(problem: Problem, block: dict[str, Array]) -> Coefs:
    data = problem.observed(block)
    return least_squares_start(data.counts, jnp.exp(data.log_scale), data.matrix)


def _fisher_step(beta: Coefs, data: Observed, penalty: Penalty) -> tuple[Coefs, Genes]:
    """One round of reweighted least squares, and the loss before it."""
    log_mean = log_means(beta, data)
    held = jnp.maximum(log_mean, _LOG_FLOOR)
    mean = jnp.exp(held)
    slope, fisher = slopes(mean, data)
    lost = weighted(loss(data.counts, mean, data.dispersion), data.weights).sum(0)
    residual = weighted(slope + fisher * (held - log_mean), data.weights)
    gradient = data.matrix.T @ residual - penalty.slope(beta)
    packed = gram(data.matrix, weighted(fisher, data.weights))
    packed = add_diagonal(packed, penalty.majorant(beta))
    return beta + SmallCholesky.of(packed, beta.shape[0]).solve(gradient), lost


def _errors(
    problem: Problem, penalty: Penalty, beta: Coefs, contrast: Float[Array, " coefs"]
) -> Genes:
    """Root of c' V B V c at means held at the floor."""
    columns = {**problem.columns(), "beta": beta}

    def one_block(block: dict[str, Array]) -> Genes:
        data = problem.observed(block)
        log_mean = jnp.maximum(log_means(block["beta"], data), _LOG_FLOOR)
        fisher = weighted(slopes(jnp.exp(log_mean), data)[1], data.weights)
        plain = gram(data.matrix, fisher)
        ridge = penalty.majorant(block["beta"])
        coefs = contrast.size
        factor = SmallCholesky.of(add_diagonal(plain, ridge), coefs)
        right = jnp.broadcast_to(contrast[:, None], block["beta"].shape)
        solved = factor.solve(right)
        spread = (unpack(plain, coefs) * solved).sum(1)
        return safe_sqrt((spread * solved).sum(0))

    return map_genes(one_block, columns)
