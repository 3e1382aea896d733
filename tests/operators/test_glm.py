"""The negative binomial GLM: against R, against itself, and its gradients."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from expression_references import EACH_SET, relative
from expression_stages import fitted, quantiles
from expression_tables import small_table
from helpers import finite_difference, random_direction
from scipy import stats

from diffbio_eqx.data.design import Design
from diffbio_eqx.operators.expression.glm import NegativeBinomialGLM
from diffbio_eqx.operators.expression.glm_fit import fit_glm, fit_rules
from diffbio_eqx.operators.expression.small_cholesky import SmallCholesky

LOG2 = math.log(2.0)
EXACT = fit_rules("exact")

fit = eqx.filter_jit(fit_glm)


@pytest.fixture
def wide():
    with jax.enable_x64(True):
        yield


def data(samples=8, genes=12, *, low=False, covariate=True):
    """Counts, scale, design and dispersion; with `low`, means are below the floor."""
    table = small_table(jax.random.key(3), samples, genes, covariate=covariate)
    counts = table.counts
    if low:
        counts = jnp.round(counts / counts.max() * 3).at[::2, :4].set(0.0)
    dispersion = jnp.linspace(0.05, 0.8, genes, dtype=counts.dtype)
    return counts, table.scale, jnp.asarray(table.design.matrix), dispersion


# Against R, with R's dispersions.


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH_SET)
def test_like_r(wide, data_root, name):
    reference, table = fitted(data_root, name)
    r = reference.table("gene_table")
    known, settled = np.isfinite(r["dispersion"]), r["betaConv"] == 1
    assert (np.asarray(table.iterations) == r["betaIter"])[known].all()
    assert (np.asarray(table.converged) == settled)[known].mean() >= 0.999
    names = [key for key in r if f"SE_{key}" in r]
    for i, key in enumerate(names):
        scale = np.maximum(1.0, np.abs(r[key]))
        effect = np.abs(np.asarray(table.coefficients[i]) / LOG2 - r[key]) / scale
        error = relative(table.coefficient_errors[i] / LOG2, r[f"SE_{key}"])
        middle, most, nearly_all, _ = quantiles(effect[settled])
        assert middle < 1e-8 and most < 1e-7
        # In sim_outliers_R, 38 genes go to R's optimiser, for up to 90 steps on a
        # design with ages: there the tenth digit of the dispersion moves R itself.
        assert nearly_all < (2e-2 if name == "sim_outliers_R" else 1e-6)
        assert quantiles(effect[settled])[3] < 3e-2
        assert quantiles(error)[1] < 1e-6
    assert quantiles(relative(table.deviance, r["deviance"]))[2] < 1e-5


# The fit itself.


@pytest.mark.parametrize("coefs", [1, 3, 8])
def test_exact_solver_is_at_the_optimum(wide, coefs):
    counts, scale, _, dispersion = data(20)
    matrix = np.random.default_rng(1).normal(size=(20, coefs)) * 0.3
    matrix = jnp.asarray(np.concatenate([np.ones((20, 1)), matrix[:, 1:]], 1))
    matrix = matrix if coefs > 1 else matrix * 0.9
    found = fit(counts, scale, matrix, dispersion, rules=EXACT)
    size = 1 / np.asarray(dispersion)

    def likelihood(beta):
        mean = scale * jnp.exp(matrix @ beta)
        terms = jax.scipy.stats.nbinom.logpmf(counts, size, size / (size + mean))
        return terms.sum() - EXACT.ridge / 2 * (beta**2).sum()

    assert bool(found.converged.all())
    slope = jax.grad(likelihood)(found.coefficients)
    assert float(jnp.abs(slope).max()) < 1e-6


def test_an_intercept_alone_has_the_closed_form(wide):
    counts, scale, _, dispersion = data()
    matrix = jnp.ones((8, 1))
    weights = jnp.linspace(0.5, 1.5, 8)
    found = fit(counts, scale, matrix, dispersion, weights=weights, rules=EXACT)
    expected = jnp.log((weights[:, None] * counts / scale).sum(0) / weights.sum())
    np.testing.assert_allclose(found.coefficients[0], expected, rtol=1e-12)
    assert (found.iterations == 1).all() and found.converged.all()
    total = lambda c: fit(
        c, scale, matrix, dispersion, weights=weights, rules=EXACT
    ).coefficients.sum()
    share = weights[:, None] / scale
    own = share / (share * counts).sum(0)
    np.testing.assert_allclose(jax.grad(total)(counts), own, rtol=1e-9)


def test_normalisation_factors_like_size_factors(wide):
    counts, scale, matrix, dispersion = data()
    one = fit(counts, scale, matrix, dispersion, rules=EXACT)
    each = jnp.broadcast_to(scale, counts.shape)
    other = fit(counts, each, matrix, dispersion, rules=EXACT)
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-10)


def test_weights(wide):
    counts, scale, matrix, dispersion = data()
    exact = lambda weights: fit(
        counts, scale, matrix, dispersion, weights=weights, rules=EXACT
    )
    plain, ones, each = map(exact, (None, jnp.ones(8), jnp.ones((8, 12))))
    for other in (ones, each):
        np.testing.assert_allclose(
            plain.coefficients, other.coefficients, rtol=1e-9, atol=1e-12
        )
    rest = jnp.arange(8) != 2
    without = fit(counts[rest], scale[rest], matrix[rest], dispersion, rules=EXACT)
    zero = exact(rest.astype(float))
    np.testing.assert_allclose(
        without.coefficients, zero.coefficients, rtol=1e-8, atol=1e-10
    )


def test_genes_left_out_are_finite_and_without_gradient(wide):
    counts, scale, matrix, dispersion = data()
    counts = counts.at[:, 5].set(0.0)
    active = jnp.arange(12) != 5

    def total(counts, dispersion):
        found = fit(counts, scale, matrix, dispersion, active=active, rules=EXACT)
        return found.coefficients.sum() + jnp.log(found.means).sum()

    for slope in jax.grad(total, (0, 1))(counts, dispersion.at[5].set(jnp.nan)):
        assert jnp.isfinite(slope).all()
        assert (slope[..., 5] == 0).all() and (slope[..., 4] != 0).all()


def test_columns_follow_from_the_coefficients(wide):
    table = small_table(jax.random.key(0), 10, 5)
    table = table.replace(dispersion=jnp.full(5, 0.3))
    found = eqx.filter_jit(NegativeBinomialGLM("exact"))(table)
    matrix = np.asarray(table.design.matrix)
    mean = np.asarray(table.scale * jnp.exp(matrix @ found.coefficients))
    np.testing.assert_allclose(found.means, mean, rtol=1e-12)
    terms = stats.nbinom.logpmf(table.counts, 1 / 0.3, 1 / (1 + 0.3 * mean))
    np.testing.assert_allclose(found.deviance, -2 * terms.sum(0), rtol=1e-10)
    for gene in range(5):
        weight = np.diag(mean[:, gene] / (1 + 0.3 * mean[:, gene]))
        plain = matrix.T @ weight @ matrix
        inverse = np.linalg.inv(plain + EXACT.ridge * np.eye(2))
        expected = inverse @ plain @ inverse
        np.testing.assert_allclose(found.covariance[:, :, gene], expected, rtol=1e-8)
        hat = np.diag(weight @ matrix @ inverse @ matrix.T)
        np.testing.assert_allclose(found.leverages[:, gene], hat, rtol=1e-8)
    errors = np.sqrt(np.asarray(found.covariance)[[0, 1], [0, 1]])
    np.testing.assert_allclose(found.coefficient_errors, errors, rtol=1e-12)


@pytest.mark.slow
def test_the_iterations_end_near_the_optimum_in_float32_too(wide):
    arrays = data()
    optimum = fit(*arrays, rules=EXACT).coefficients
    for dtype, atol in ((jnp.float64, 1e-3), (jnp.float32, 2e-3)):
        found = fit(*(x.astype(dtype) for x in arrays))
        assert found.converged.all() and not found.fell_back.any()
        np.testing.assert_allclose(found.coefficients, optimum, atol=atol)


def test_a_group_without_counts_falls_to_the_floor(wide):
    counts, scale, matrix, dispersion = data(covariate=False)
    counts = counts.at[1::2, 0].set(0.0)
    found = fit(counts, scale, matrix, dispersion, rules=EXACT)
    assert found.converged[0]
    # The working response of a zero at the floor is log(0.5) - 1.
    group = found.coefficients[:, 0].sum() + jnp.log(scale[1::2, 0]).mean()
    assert abs(float(group) - (math.log(0.5) - 1)) < 0.1


# Gradients.


@pytest.mark.slow
@pytest.mark.parametrize("low", [False, True])
def test_gradients_are_central_differences(wide, low):
    counts, scale, matrix, dispersion = data(low=low)
    weights = jnp.linspace(0.6, 1.4, 8)
    inputs = (counts + 0.25, scale, matrix, dispersion, weights)
    direction = random_direction(jnp.zeros((3, 12)), jax.random.key(7))

    def of(rules):
        @eqx.filter_jit
        def total(inputs):
            counts, scale, matrix, dispersion, weights = inputs
            found = fit_glm(
                counts, scale, matrix, dispersion, weights=weights, rules=rules
            )
            return (found.coefficients * direction).sum()

        return total

    total = of(EXACT)
    slopes = jax.grad(total)(inputs)
    for place, slope in enumerate(slopes):
        way = random_direction(slope, jax.random.key(place))
        along = lambda x, place=place: total(
            inputs[:place] + (x,) + inputs[place + 1 :]
        )
        expected = finite_difference(along, inputs[place], way)
        np.testing.assert_allclose((slope * way).sum(), expected, rtol=2e-5)
    # R stops a little before the fixed point; the gradient is of that point there.
    stopped = jax.grad(of(fit_rules(tolerance=1e-12)))(inputs)
    for slope, exact in zip(stopped, slopes, strict=True):
        np.testing.assert_allclose(slope, exact, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_second_order(wide):
    counts, scale, matrix, dispersion = data(genes=3)

    @jax.jit
    def effect(log_dispersion):
        found = fit_glm(counts, scale, matrix, jnp.exp(log_dispersion), rules=EXACT)
        return found.coefficients[-1].sum()

    at = jnp.log(dispersion)
    found = jax.grad(lambda x: jax.grad(effect)(x).sum())(at)
    way = jnp.ones_like(at)
    expected = finite_difference(lambda x: jax.grad(effect)(x).sum(), at, way, 1e-4)
    np.testing.assert_allclose((found * way).sum(), expected, rtol=1e-4)


# The pieces.


@pytest.mark.parametrize("coefs", [1, 4, 9])
def test_small_cholesky(wide, coefs):
    root = np.random.default_rng(0).normal(size=(5, coefs, coefs))
    full = root @ root.transpose(0, 2, 1) + np.eye(coefs)
    rows, columns = np.tril_indices(coefs)
    factor = SmallCholesky.of(jnp.asarray(full[:, rows, columns].T), coefs)
    expected = np.moveaxis(np.linalg.inv(full), 0, -1)
    np.testing.assert_allclose(factor.inverse(), expected, rtol=1e-8, atol=1e-12)
    right = jnp.asarray(root[:, 0].T)
    solved = np.einsum("ijg,jg->ig", expected, right)
    np.testing.assert_allclose(factor.solve(right), solved, rtol=1e-8, atol=1e-12)
    logs = np.linalg.slogdet(full)[1]
    np.testing.assert_allclose(factor.log_determinant(), logs, rtol=1e-10)


def test_errors_in_words():
    with pytest.raises(ValueError, match="solver of the GLM"):
        NegativeBinomialGLM("newton")
    table = small_table(jax.random.key(0))
    with pytest.raises(ValueError, match="dispersion"):
        NegativeBinomialGLM()(table)


@pytest.mark.slow
def test_reduced_designs_can_be_fitted(wide):
    table = small_table(jax.random.key(1), covariate=True)
    table = table.replace(dispersion=jnp.full(12, 0.2))
    matrix = table.design.matrix[:, :2]
    smaller = Design.from_arrays(np.asarray(matrix)).with_dtype(matrix.dtype)
    glm = NegativeBinomialGLM("exact")
    found = eqx.filter_jit(glm.with_matrix)(table, matrix)
    other = eqx.filter_jit(glm)(table.replace(design=smaller))
    np.testing.assert_allclose(found.deviance, other.deviance, rtol=1e-12)
    full = eqx.filter_jit(glm)(table)
    assert (full.deviance <= found.deviance + 1e-6).all()
