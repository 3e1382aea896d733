"""Width of the prior of dispersions: R's numbers, weights, gradients."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from expression_references import read_table, relative
from scipy import integrate, stats
from test_dispersion_trend import stored_columns, table_of

from diffbio_eqx.data.design import Design
from diffbio_eqx.operators.expression import prior_matching
from diffbio_eqx.operators.expression.dispersion_prior import DispersionPrior

fit = eqx.filter_jit(lambda operator, table: operator(table))


def with_residuals(residuals, samples=8, coefs=2, weights=None):
    """A table with these log residuals, and a design of this size."""
    residuals = jnp.asarray(residuals)
    table = table_of(jnp.ones(residuals.size), 0.1 * jnp.exp(residuals))
    matrix = np.random.default_rng(0).normal(size=(samples, coefs))
    design = Design.from_arrays(matrix).with_dtype(residuals.dtype)
    return table.replace(
        design=design,
        fitted_dispersion=jnp.full(residuals.size, 0.1, residuals.dtype),
        weights=weights,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "airway_R",
        "airway_dex_only_R",
        "sim_outliers_R",
        "sim_outliers_condition_only_R",
    ],
)
def test_as_deseq2(name, data_root):
    """On R's dispersions and trend; airway's prior comes from R's random numbers."""
    folder = data_root / "reference" / "expression" / name
    meta = json.loads((folder / "meta.json").read_text())
    matrix = read_table(folder / "design_matrix.tsv.gz")[2]
    columns = stored_columns(data_root, name)
    with jax.enable_x64(True):
        table = table_of(columns["baseMean"], columns["dispGeneEst"]).replace(
            design=Design.from_arrays(matrix).with_dtype(float),
            fitted_dispersion=jnp.asarray(columns["dispFit"]),
        )
        found = fit(DispersionPrior(), table)
        squared = found.log_residual_deviation**2
        assert relative(squared, meta["varLogDispEsts"]).max() < 1e-6
        off = abs(found.prior_variance - meta["dispPriorVar"])
        assert off < (0.0241 if name == "airway_R" else 1e-6)


def test_analytic():
    residuals = np.random.default_rng(0).normal(0, 1.2, 400)
    found = fit(DispersionPrior(), with_residuals(residuals))
    deviation = stats.median_abs_deviation(residuals) * 1.4826
    np.testing.assert_allclose(found.log_residual_deviation, deviation, rtol=1e-5)
    explained = np.pi**2 / 6 - 1 - 1 / 4  # trigamma(3)
    expected = deviation**2 - explained
    np.testing.assert_allclose(found.prior_variance, expected, rtol=1e-4)
    narrow = fit(DispersionPrior(), with_residuals(0.1 * residuals))
    assert narrow.prior_variance == 0.25
    given = fit(DispersionPrior(1.7), with_residuals(residuals))
    np.testing.assert_allclose(given.prior_variance, 1.7, rtol=1e-6)
    np.testing.assert_allclose(given.log_residual_deviation, deviation, rtol=1e-5)


def test_weights_are_degrees_of_freedom():
    residuals = np.random.default_rng(0).normal(0, 1.2, 400)
    plain = fit(DispersionPrior(), with_residuals(residuals))
    ones = fit(DispersionPrior(), with_residuals(residuals, weights=jnp.ones(8)))
    np.testing.assert_allclose(ones.prior_variance, plain.prior_variance, rtol=1e-6)
    weights = (jnp.arange(8) != 3).astype(float)
    without = fit(DispersionPrior(), with_residuals(residuals, weights=weights))
    fewer = fit(DispersionPrior(), with_residuals(residuals, samples=7))
    np.testing.assert_allclose(without.prior_variance, fewer.prior_variance, rtol=1e-6)


@pytest.mark.parametrize("freedom", [1, 2, 3])
def test_match_at_few_degrees_of_freedom(freedom):
    """Residuals drawn from the model have its variance."""
    generator = np.random.default_rng(freedom)
    sampling = np.log(generator.chisquare(freedom, 40_000) / freedom)
    residuals = sampling + np.sqrt(1.3) * generator.normal(size=40_000)
    table = with_residuals(residuals, samples=5, coefs=5 - freedom)
    found = fit(DispersionPrior(), table)
    np.testing.assert_allclose(found.prior_variance, 1.3, atol=0.15)


@pytest.mark.parametrize("freedom", [1, 2, 3])
def test_densities_are_those_of_the_model(freedom):
    """Against adaptive integration."""

    def expected(low, high, variance):
        below = lambda t, z: stats.chi2.cdf(
            freedom * np.exp(t - np.sqrt(variance) * z), freedom
        )
        part = lambda z: (below(high, z) - below(low, z)) * stats.norm.pdf(z)
        return integrate.quad(part, -9, 9, epsabs=1e-12)[0]

    with jax.enable_x64(True):
        edges = jnp.asarray(prior_matching._EDGES)
        densities = jax.jit(prior_matching._densities, static_argnums=2)
        for variance in (0.0, 0.5, 4.0):
            found = densities(jnp.asarray(variance), edges, freedom) / 2
            inside = expected(-10, 10, variance)
            for index in (12, 20, 24):
                low, high = edges[index], edges[index + 1]
                exact = expected(low, high, variance) / inside
                np.testing.assert_allclose(found[index], exact, rtol=1e-6)


def test_gradient_is_finite_and_smooth():
    """Straight-through: the weights of residuals near the medians, not two genes."""
    residuals = jnp.asarray(np.random.default_rng(0).normal(0, 1.2, 400))

    def value(residuals):
        return DispersionPrior()(with_residuals(residuals)).prior_variance

    gradient = jax.jit(jax.grad(value))(residuals)
    assert jnp.isfinite(gradient).all() and (jnp.abs(gradient) > 1e-4).sum() > 20
    # Residuals twice as large: four times the square of the deviation.
    moved = (gradient * (residuals - jnp.median(residuals))).sum()
    deviation = stats.median_abs_deviation(np.asarray(residuals)) * 1.4826
    np.testing.assert_allclose(moved, 2 * deviation**2, rtol=0.05)
