"""A pipeline of a few lines that stands in where only files and names are tested."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import jax.scipy.stats as stats

from diffbio_eqx.data import CountMatrix, DifferentialExpression


@dataclasses.dataclass(frozen=True)
class FakeConfig:
    alpha: float = 0.1
    test: str = "wald"
    lfc_threshold: float = 0.0
    alternative: str = "greaterAbs"
    shrinkage: str | None = None
    size_factors: str = "auto"
    trend: str = "parametric"
    prior_variance: float | None = None
    cooks_filter: bool = True
    independent_filtering: bool = True


class FakePipeline(eqx.Module):
    """Least squares of log2 counts: quick, and not differential expression."""

    config: FakeConfig = eqx.field(static=True)

    def __call__(self, sample: CountMatrix, *, key=None) -> DifferentialExpression:
        counts = jnp.asarray(sample.counts)
        dtype = counts.dtype
        x = jnp.asarray(sample.design.matrix, dtype)
        contrast = jnp.asarray(sample.design.contrast, dtype)
        total = counts.sum(1)
        factors = total / jnp.exp(jnp.log(total).mean())
        scaled = counts / factors[:, None]
        tested = (counts > 0).any(0)
        y = jnp.log2(scaled + 0.5)
        inverse = jnp.linalg.inv(x.T @ x)
        beta = inverse @ (x.T @ y)
        residual = ((y - x @ beta) ** 2).sum(0) / (len(x) - x.shape[1])
        error = jnp.sqrt(residual * (contrast @ inverse @ contrast) + 1e-3)
        nan = jnp.asarray(jnp.nan, dtype)
        seen = lambda v: jnp.where(tested, v, nan)
        effect, error = seen(contrast @ beta), seen(error)
        log_p = jnp.log(jnp.asarray(2.0, dtype)) + stats.norm.logsf(
            jnp.abs(effect / error)
        )
        flags, ones = jnp.zeros(len(tested), bool), jnp.ones(len(tested), dtype)
        scalar = lambda v: jnp.asarray(v, dtype)
        shrunken = self.config.shrinkage is not None
        apeglm = self.config.shrinkage == "apeglm"
        return DifferentialExpression(
            base_mean=scaled.mean(0),
            log_fold_change=effect,
            standard_error=error,
            statistic=effect / error,
            log_p_values=log_p,
            p_values=jnp.exp(log_p),
            log_adjusted_p_values=log_p,
            adjusted_p_values=jnp.where(scaled.mean(0) > 1, jnp.exp(log_p), nan),
            significant=seen(ones),
            dispersion=seen(0.1 * ones),
            gene_dispersion=seen(0.1 * ones),
            fitted_dispersion=seen(0.1 * ones),
            map_dispersion=seen(0.1 * ones),
            dispersion_outlier=0 * ones,
            coefficients=beta,
            coefficient_errors=beta,
            size_factors=factors,
            cooks=0 * counts,
            max_cooks=0 * ones,
            cooks_outlier=flags,
            replaced=flags,
            tested=tested,
            converged=~flags,
            trend_coefficients=jnp.ones(2, dtype),
            trend_fell_back=jnp.asarray(self.config.trend == "local"),
            prior_variance=scalar(1.0),
            filter_threshold=scalar(1.0),
            filter_quantile=scalar(0.1),
            used_poscounts=~(counts > 0).all(0).any(),
            shrunken_log_fold_change=effect / 2 if shrunken else None,
            shrunken_standard_error=error / 2 if shrunken else None,
            s_values=jnp.exp(log_p) if apeglm else None,
        )


def use_fake(monkeypatch):
    """From here on the job builds a `FakePipeline`."""
    import diffbio_eqx.jobs.de as job

    monkeypatch.setattr(job, "_pipeline", lambda f: FakePipeline(FakeConfig(**f)))
