"""Variance-stabilised counts against R's, and what the name promises."""

import csv
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from expression_references import load_reference, relative
from expression_tables import small_design
from helpers import finite_difference
from normalisation_cases import fitted_table

from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.dispersion_trend import DispersionTrend
from diffbio_eqx.operators.expression.fitted_trend import FittedTrend
from diffbio_eqx.operators.expression.gene_dispersion import GeneDispersion
from diffbio_eqx.operators.expression.size_factors import SizeFactors
from diffbio_eqx.operators.expression.variance_stabilising import (
    VarianceStabilising,
    stabilise,
)

PEER = Path(__file__).parent.parent / "reference" / "pydeseq2"

run = eqx.filter_jit(lambda operator, table: operator(table))


def parametric(constant, slope, dtype=float):
    no = jnp.zeros((), bool)
    return FittedTrend(jnp.asarray([constant, slope], dtype), None, no, ~no)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["airway_R", pytest.param("sim_outliers_R", marks=pytest.mark.exhaustive)],
)
def test_as_deseq2(name, data_root):
    """Of R's own trend; then blind, on all genes and on 1,000, end to end."""
    with jax.enable_x64(True):
        reference = load_reference(data_root, name)
        table = GeneTable.start(jax.tree.map(jnp.asarray, reference.sample))
        table = SizeFactors()(table)
        meta = reference.meta
        found = stabilise(table, parametric(meta["asymptDisp"], meta["extraPois"]))
        assert relative(found, reference.matrix("vst_design")).max() < 1e-5
        if name == "airway_R":
            return
        for subset, stored in ((None, "vst_blind"), (1000, "vst_fast_blind")):
            found = run(VarianceStabilising(subset=subset), table)
            assert relative(found, reference.matrix(stored)).max() < 1e-6


def peer_table():
    with open(PEER / "synthetic" / "test_counts.csv") as file:
        counts = np.array([row[1:] for row in list(csv.reader(file))[1:]], float)
    matrix = np.stack([np.ones(100), np.arange(100) >= 50], 1)
    sample = CountMatrix.from_arrays(counts.T, matrix)
    return SizeFactors()(GeneTable.start(jax.tree.map(jnp.asarray, sample)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "blind", "name"),
    [
        ("parametric", True, "r_vst.csv"),
        ("mean", True, "r_mean_vst.csv"),
        ("parametric", False, "r_vst_with_design.csv"),
    ],
)
def test_pydeseq2_tables(kind, blind, name):
    with open(PEER / "single_factor" / name) as file:
        expected = np.array([row[1:] for row in list(csv.reader(file))[1:]], float)
    with jax.enable_x64(True):
        table = peer_table()
        if not blind:
            table = run(GeneDispersion(linear_means=True), table)
            table = run(DispersionTrend(), table)
        found = run(VarianceStabilising(blind=blind, kind=kind), table)
        assert relative(found, expected.T).max() < 1e-10


def test_mean_trend_is_the_asinh_form():
    table = fitted_table(jax.random.key(0))
    found = stabilise(table, parametric(0.2, 0.0, jnp.float32))
    q = np.asarray(table.counts / table.scale)
    expected = (2 * np.arcsinh(np.sqrt(0.2 * q)) - np.log(0.2) - np.log(4)) / np.log(2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_near_log2_of_large_counts():
    table = fitted_table(jax.random.key(0))
    counts = jnp.full_like(table.counts, 1e6)
    large = eqx.tree_at(lambda t: t.counts, table, counts)
    found = run(VarianceStabilising(blind=False), large)
    expected = jnp.log2(counts / table.scale)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_local_trend_of_a_parametric_curve_is_near_its_closed_form():
    mean = jnp.geomspace(1.0, 5000.0, 400)
    with jax.enable_x64(True):
        counts = np.random.default_rng(0).poisson(mean, (8, 400)).astype(float)
        sample = CountMatrix.from_arrays(counts, small_design(8))
        table = GeneTable.start(jax.tree.map(jnp.asarray, sample))
        table = table.with_scale(jnp.ones((8, 1)))
        curve = parametric(0.05, 0.0)
        table = table.replace(gene_dispersion=curve(table.base_mean))
        trend = run(DispersionTrend("local"), table).trend
        found = eqx.filter_jit(stabilise)(table, trend)
        exact = stabilise(table, curve)
        high = table.counts > 50
        np.testing.assert_allclose(found[high], exact[high], atol=0.05)


def test_of_too_few_genes():
    with pytest.raises(Exception, match="subset"):
        run(VarianceStabilising(subset=200), fitted_table(jax.random.key(0)))
    with pytest.raises(ValueError, match="trend"):
        table = fitted_table(jax.random.key(0)).replace(trend=None)
        VarianceStabilising(blind=False)(table)


def test_gradient_at_zero_counts_is_finite():
    with jax.enable_x64(True):
        table = jax.tree.map(
            lambda x: x.astype(float) if eqx.is_inexact_array(x) else x,
            fitted_table(jax.random.key(0)),
        )
        counts = table.counts.at[0].set(0.0)
        direction = jnp.where(counts > 0, jnp.cos(counts), 0.0)

        @jax.jit
        def value(counts):
            changed = eqx.tree_at(lambda t: t.counts, table, counts)
            return (stabilise(changed, table.trend) * jnp.sin(counts + 1)).sum()

        gradient = jax.grad(value)(counts)
        assert jnp.isfinite(gradient).all()
        step = finite_difference(value, counts, direction)
        np.testing.assert_allclose((gradient * direction).sum(), step, rtol=1e-6)
