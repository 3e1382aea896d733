"""Trends of dispersions: R's numbers, failures, gradients."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from expression_references import read_table, relative
from expression_tables import small_design
from helpers import finite_difference

from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.dispersion_trend import DispersionTrend
from diffbio_eqx.operators.expression.parametric_trend import fit_parametric_trend

STORED = Path(__file__).parent.parent / "reference"
KINDS = {"parametric": "dispFit", "local": "dispFit_local", "mean": "dispFit_mean"}

fit = eqx.filter_jit(lambda operator, table: operator(table))


def table_of(mean, dispersion, dtype=None):
    """A table that has these columns, and counts of nothing in particular."""
    mean = jnp.asarray(mean, dtype)
    design = small_design(8).with_dtype(mean.dtype)
    counts = jnp.ones((8, mean.size), mean.dtype)
    real = jnp.ones(mean.size, bool)
    return GeneTable(counts, design, None, real, real).replace(
        base_mean=mean, gene_dispersion=jnp.asarray(dispersion, mean.dtype)
    )


def simulated(key=0, genes=200, noise=0.6):
    """Means and dispersions around 0.1 + 3 / mean."""
    generator = np.random.default_rng(key)
    mean = np.exp(generator.uniform(0, 8, genes))
    log_residual = noise * generator.normal(size=genes)
    return mean, (0.1 + 3 / mean) * np.exp(log_residual)


def stored_columns(data_root, name):
    """R's columns as its trend saw them, and its fits, of the genes with counts."""
    folder = data_root / "reference" / "expression" / name
    names, genes, values = read_table(folder / "gene_table.tsv.gz")
    columns = dict(zip(names, values.T, strict=True))
    if "replace" in columns:
        before = STORED / "before_replacement.tsv"
        place = {gene: i for i, gene in enumerate(genes)}
        for line in before.read_text().splitlines()[1:]:
            gene, *numbers = line.split("\t")
            at = place.get(gene, len(genes))
            for column, number in zip(
                ("baseMean", "dispGeneEst", "dispFit"), numbers, strict=True
            ):
                if at == len(genes):
                    columns[column] = np.append(columns[column], float(number))
                else:
                    columns[column][at] = float(number)
    return columns


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "airway_R",
        "airway_dex_only_R",
        "sim_outliers_R",
        "sim_outliers_condition_only_R",
    ],
)
def test_as_deseq2(name, kind, data_root):
    """On R's gene-wise dispersions; its tables have 8 to 10 digits."""
    columns = stored_columns(data_root, name)
    if KINDS[kind] not in columns:
        pytest.skip(f"R's table of {name} has no {KINDS[kind]}")
    expected = columns[KINDS[kind]]
    with jax.enable_x64(True):
        table = table_of(columns["baseMean"], columns["dispGeneEst"])
        found = fit(DispersionTrend(kind), table)
        fitted = found.fitted_dispersion[: expected.size]
        assert relative(fitted, expected).max() < 1e-6
        assert found.trend.is_local == (kind == "local") and found.trend.usable
        exact = fit(DispersionTrend(kind, solver="exact"), table)
        difference = relative(exact.fitted_dispersion, found.fitted_dispersion)
        assert difference.max() < 2e-5
    single = fit(
        DispersionTrend(kind),
        table_of(columns["baseMean"], columns["dispGeneEst"], jnp.float32),
    )
    fitted = single.fitted_dispersion[: expected.size]
    assert relative(fitted, expected).max() < 1e-4


def test_recovers_the_curve():
    mean, dispersion = simulated(genes=3000, noise=0.3)
    trend = fit(DispersionTrend(), table_of(mean, dispersion)).trend
    # The mean of a log-normal residual, less what 15 times the trend leaves out.
    expected = np.array([0.1, 3.0]) * np.exp(0.3**2 / 2)
    np.testing.assert_allclose(trend.coefficients, expected, rtol=0.1)
    local = fit(DispersionTrend("local"), table_of(mean, dispersion)).trend
    at = jnp.array([3.0, 30.0, 300.0])
    np.testing.assert_allclose(local(at), 0.1 + 3 / at, rtol=0.15)


def test_mean_is_trimmed():
    dispersion = np.append(np.linspace(0.1, 0.2, 2000), [1e-9, 50.0, 60.0])
    mean = np.full(2003, 10.0)
    found = fit(DispersionTrend("mean"), table_of(mean, dispersion))
    kept = np.sort(dispersion[dispersion > 1e-7])[2:-2]
    np.testing.assert_allclose(found.fitted_dispersion, kept.mean(), rtol=1e-5)


def test_what_no_parametric_curve_fits_is_fitted_locally():
    mean = np.exp(np.linspace(0, 8, 300))
    rising = 0.01 * mean**0.7
    with jax.enable_x64(True):
        found = fit(DispersionTrend(), table_of(mean, rising))
        local = fit(DispersionTrend("local"), table_of(mean, rising))
        assert found.trend.is_local and found.trend.usable
        same = local.fitted_dispersion
        np.testing.assert_allclose(found.fitted_dispersion, same, rtol=1e-13)
        np.testing.assert_allclose(found.fitted_dispersion, rising, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_usable_dispersion(kind):
    """All at the floor: flagged, and a finite trend."""
    mean, _ = simulated(genes=20)
    operator = DispersionTrend(kind)
    value = lambda d: operator(table_of(mean, d)).fitted_dispersion.sum()
    found = fit(operator, table_of(mean, np.full(20, 1e-8)))
    assert not found.trend.usable and not found.trend.is_local
    np.testing.assert_allclose(found.fitted_dispersion, 1e-8, rtol=1e-6)
    gradient = jax.jit(jax.grad(value))(jnp.full(20, 1e-8))
    assert jnp.isfinite(gradient).all()


def test_genes_that_are_not_tested_are_not_seen():
    mean, dispersion = simulated(genes=60)
    table = table_of(np.append(mean, [0.0, 50.0]), np.append(dispersion, [1.0, 9.0]))
    table = table.replace(tested=jnp.arange(62) < 60)
    for kind in KINDS:
        found = fit(DispersionTrend(kind), table)
        expected = fit(DispersionTrend(kind), table_of(mean, dispersion))
        np.testing.assert_allclose(
            found.fitted_dispersion[:60], expected.fitted_dispersion, rtol=1e-5
        )
        assert jnp.isfinite(found.fitted_dispersion).all()


def test_implicit_gradient():
    """Against differences of the exact fit, near R's and where a gene is left out."""
    mean, dispersion = simulated(genes=80)
    dispersion[3] *= 1e3
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 2)
        direction = [jax.random.normal(key, (80,)) for key in keys]
        used = jnp.arange(80) != 7

        def value(solver):
            def scalar(logs):
                fitted, good = fit_parametric_trend(
                    jnp.exp(logs[0]), jnp.exp(logs[1]), used, solver=solver
                )
                return fitted @ jnp.array([3.0, 1.0]) + jnp.where(good, 0.0, jnp.nan)

            return jax.jit(scalar)

        logs = [jnp.log(mean), jnp.log(dispersion)]
        step = finite_difference(value("exact"), logs, direction)
        for solver, tolerance in (("exact", 1e-7), ("deseq2", 1e-3)):
            gradient = jax.grad(value(solver))(logs)
            along = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
            np.testing.assert_allclose(along, step, rtol=tolerance)
            forward = jax.jvp(value(solver), (logs,), (direction,))[1]
            np.testing.assert_allclose(forward, along, rtol=1e-10)
            assert gradient[1][7] == 0 and gradient[1][3] == 0
