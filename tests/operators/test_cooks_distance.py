"""Cook's distances and what follows from them: against NumPy, and against R."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from expression_references import EACH_SET, relative
from expression_stages import fitted, quantiles, replaced
from expression_tables import small_table
from scipy.stats import trim_mean

from diffbio_eqx.data.design import Design
from diffbio_eqx.operators.expression.cooks_distance import (
    CooksDistance,
    cooks_outliers,
)
from diffbio_eqx.operators.expression.outlier_replacement import OutlierReplacement
from diffbio_eqx.operators.expression.trimmed_cells import TrimmedCells, cell_ranks


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH_SET)
def test_like_r(data_root, name):
    with jax.enable_x64(True):
        reference, table = fitted(data_root, name)
        found = eqx.filter_jit(CooksDistance())(table)
        outliers = np.asarray(cooks_outliers(found))
    r = reference.table("gene_table")
    kept = np.isfinite(r["dispersion"]) & (np.nan_to_num(r.get("replace", 0)) != 1)
    if (reference.folder / "cooks.tsv.gz").exists():
        expected = reference.matrix("cooks")
        error = relative(np.asarray(found.cooks)[:, kept], expected[:, kept])
        assert quantiles(error)[1] < 1e-6
    if np.isfinite(r["maxCooks"]).any():
        assert quantiles(relative(found.max_cooks, r["maxCooks"]))[2] < 1e-6
    if not (np.nan_to_num(r.get("replace", 0)) == 1).any():
        wald = reference.table("wald")
        missing = np.isfinite(wald["baseMean"]) & np.isnan(wald["pvalue_default"])
        assert (outliers == missing).all()


@pytest.mark.slow
def test_replacement_like_r(data_root):
    with jax.enable_x64(True):
        name = "sim_outliers_condition_only_R"
        found = replaced(data_root, name)
        reference, _ = fitted(data_root, name)
    r = reference.table("gene_table")
    known = np.isfinite(r["dispersion"])
    assert (np.asarray(found.replaced) == (r["replace"] == 1))[known].all()
    assert (r["replace"] == 1).sum() == 45
    assert quantiles(relative(found.table.base_mean, r["baseMean"]))[3] < 1e-8
    assert quantiles(relative(found.table.base_variance, r["baseVar"]))[3] < 1e-8
    # Every sample is open to replacement, so none is left to filter by.
    assert not found.max_cooks.any()


def test_ranks_within_cells():
    generator = np.random.default_rng(0)
    cell = generator.integers(0, 3, 40)
    x = generator.poisson(3.0, (40, 6)).astype(np.float32)
    same = jnp.asarray(cell[:, None] == cell[None, :])
    found = np.asarray(cell_ranks(jnp.asarray(x), same))
    for c in range(3):
        order = np.argsort(x[cell == c], 0, kind="stable")
        np.testing.assert_array_equal(found[cell == c], np.argsort(order, 0))


@pytest.mark.parametrize("samples", [5, 16, 33])
def test_trimmed_mean(samples):
    x = np.random.default_rng(1).gamma(1.0, 5.0, (samples, 7))
    size = jnp.full(samples, samples, jnp.int32)
    cells = TrimmedCells(jnp.ones((samples, samples), bool), size // 4, size)
    expected = np.broadcast_to(trim_mean(x, 0.25), x.shape)
    np.testing.assert_allclose(cells.mean(jnp.asarray(x)), expected, rtol=1e-5)


def outlying(samples=14):
    """A fitted table of two groups with one large distance, in gene 4."""
    table = small_table(jax.random.key(2), samples)
    cooks = jnp.full_like(table.counts, 0.1).at[3, 4].set(50.0)
    counts = table.counts.at[3, 4].set(1e5)
    return table.replace(counts=counts, cooks=cooks, max_cooks=cooks.max(0))


def test_an_outlier_loses_its_p_value_unless_three_counts_are_larger():
    table = outlying()
    assert np.flatnonzero(cooks_outliers(table)).tolist() == [4]
    low = table.replace(counts=table.counts.at[3, 4].set(1.0))
    assert not cooks_outliers(low).any()
    # The exception is for two groups and nothing else.
    matrix = np.concatenate([table.design.matrix, np.linspace(0, 1, 14)[:, None]], 1)
    design = Design.from_arrays(matrix, 1).with_dtype(table.counts.dtype)
    assert cooks_outliers(low.replace(design=design))[4]


@pytest.mark.parametrize(("from_", "some"), [(7, True), (8, False)])
def test_replacement_needs_replicates(from_, some):
    table = outlying()
    found = OutlierReplacement(from_)(table)
    assert bool(found.replaced[4]) is some and int(found.replaced.sum()) == some
    changed = np.argwhere(np.asarray(found.table.counts != table.counts))
    assert changed.tolist() == ([[3, 4]] if some else [])
    if some:
        scaled = np.asarray(table.counts / table.scale)[:, 4]
        expected = np.floor(trim_mean(scaled, 0.2) * float(table.scale[3, 0]))
        assert float(found.table.counts[3, 4]) == expected
        assert np.asarray(found.table.tested).sum() == 1
        assert not found.max_cooks.any()


def test_a_gene_emptied_by_replacement_is_told():
    table = outlying()
    counts = table.counts.at[:, 4].set(0.0).at[3, 4].set(90.0)
    found = OutlierReplacement()(table.replace(counts=counts))
    assert found.emptied[4] and not found.table.tested[4]


def test_a_leverage_of_one_is_finite():
    table = small_table(jax.random.key(0))
    ones = jnp.ones_like(table.counts)
    table = table.replace(means=5 * ones, leverages=ones)
    assert jnp.isfinite(CooksDistance()(table).cooks).all()
    cells = dataclasses.replace(table.design, matrix=jnp.eye(8, 2))
    alone = CooksDistance()(table.replace(design=cells))
    assert jnp.isfinite(alone.max_cooks).all()
