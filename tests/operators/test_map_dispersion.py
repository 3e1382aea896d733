"""Dispersions shrunken towards the trend: R's numbers, the maximum, gradients."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dispersion_cases import fitted_table
from expression_references import EACH_SET
from test_gene_dispersion import SETS, reference_table

from diffbio_eqx import set_mode
from diffbio_eqx.operators.expression.dispersion_likelihood import (
    dispersion_problem,
    log_posterior,
)
from diffbio_eqx.operators.expression.gene_dispersion import GeneDispersion
from diffbio_eqx.operators.expression.map_dispersion import MapDispersion

COLUMNS = ("counts", "means", "fitted_dispersion", "prior_variance")


def wide(tree):
    cast = lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x
    return jax.tree.map(cast, tree)


@eqx.filter_jit
def fit(operator, table):
    return operator(table)


@eqx.filter_jit
def objective(table, place):
    prior = (jnp.log(table.fitted_dispersion), table.prior_variance)
    return log_posterior(place, dispersion_problem(table, table.means, *prior))


def test_exact_is_the_maximum_and_the_default_is_near():
    with jax.enable_x64(True):
        table = wide(fitted_table(jax.random.key(0)))
        exact = fit(MapDispersion("exact"), table).map_dispersion
        best, slope = objective(table, jnp.log(exact))
        assert (jnp.abs(slope) < 1e-9).all()
        for place in np.linspace(-18.0, 2.3, 60):
            assert (objective(table, jnp.full(12, place))[0] <= best + 1e-9).all()
        default = fit(MapDispersion(), table).map_dispersion
        np.testing.assert_allclose(default, exact, rtol=2e-3)
        assert (objective(table, jnp.log(default))[0] <= best + 1e-12).all()


def test_outliers_keep_their_own_dispersion():
    with jax.enable_x64(True):
        table = wide(fitted_table(jax.random.key(1)))
        limit = 2 * table.log_residual_deviation
        distance = jnp.log(table.gene_dispersion / table.fitted_dispersion) - limit
        hard = fit(set_mode(MapDispersion("exact"), "hard"), table)
        outlier = distance > 0
        assert outlier.any() and not outlier.all()
        assert ((hard.dispersion_outlier > 0.5) == outlier).all()
        expected = jnp.where(outlier, table.gene_dispersion, hard.map_dispersion)
        assert (hard.dispersion == expected).all()
        soft = fit(set_mode(MapDispersion("exact", temperature=0.3), "soft"), table)
        np.testing.assert_allclose(
            soft.dispersion_outlier, jax.nn.sigmoid(distance / 0.3), rtol=1e-12
        )
        sharp = MapDispersion("exact", temperature=1e-4)
        sharp = fit(set_mode(sharp, "soft"), table)
        np.testing.assert_allclose(sharp.dispersion, hard.dispersion, rtol=1e-9)


@eqx.filter_jit
def derivative(operator, table, values, direction):
    def at(step):
        moved = {k: values[k] + step * direction[k] for k in values}
        return jnp.log(operator(table.replace(**moved)).map_dispersion)

    return jax.jvp(at, (0.0,), (1.0,))[1]


@pytest.mark.parametrize("name", COLUMNS)
def test_derivatives(name):
    """Of the maximum to all that it depends on, and of R's place, which is near it."""
    with jax.enable_x64(True):
        table = wide(fitted_table(jax.random.key(2)))
        values = {k: getattr(table, k) for k in COLUMNS}
        direction = {k: jnp.zeros_like(v) for k, v in values.items()}
        noise = np.random.default_rng(0).normal(size=values[name].shape)
        direction[name] = 0.1 * values[name] * jnp.asarray(noise)
        exact = MapDispersion("exact")

        def at(step):
            moved = {name: values[name] + step * direction[name]}
            return jnp.log(fit(exact, table.replace(**moved)).map_dispersion)

        slope = derivative(exact, table, values, direction)
        difference = (at(1e-5) - at(-1e-5)) / 2e-5
        assert jnp.abs(slope).max() > 1e-3
        np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-8)


def test_missing_columns_are_named():
    table = fitted_table(jax.random.key(0)).replace(fitted_dispersion=None)
    with pytest.raises(ValueError, match="fitted_dispersion"):
        MapDispersion()(table)


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH_SET)
def test_rs_columns_to_rs_map_dispersion(data_root, name):
    """R's gene-wise and fitted dispersions in, R's `dispMAP` and `dispersion` out.

    The means are our own, which are R's to rounding but where a GLM runs away.
    """
    data, share = SETS[name]
    folder = data_root / "reference/expression" / name
    with jax.enable_x64(True):
        table, truth, places = reference_table(data_root, name, data)
        table = fit(GeneDispersion(), table)
        ones = np.ones(table.counts.shape[1])

        def column(key):
            values = ones.copy()
            values[places] = np.array(truth[key], float)
            return jnp.asarray(values)

        meta = json.loads((folder / "meta.json").read_text())
        table = table.replace(
            gene_dispersion=column("dispGeneEst"),
            fitted_dispersion=column("dispFit"),
            prior_variance=jnp.asarray(float(meta["dispPriorVar"])),
            log_residual_deviation=jnp.asarray(float(meta["varLogDispEsts"]) ** 0.5),
        )
        out = fit(MapDispersion(), table)
    for ours, key in ((out.map_dispersion, "dispMAP"), (out.dispersion, "dispersion")):
        expected = np.array(truth[key], float)
        error = np.abs(np.asarray(ours)[places] - expected) / expected
        assert np.quantile(error, 0.99 * share) < 1e-7, key
    outlier = np.array(truth["dispOutlier"]) == "True"
    assert (np.asarray(out.dispersion_outlier)[places] == outlier).all()
