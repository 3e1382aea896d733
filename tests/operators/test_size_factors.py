"""Size factors: the definition, R's numbers, weights, gradients."""

import csv
import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from expression_references import load_reference, read_table, relative
from expression_tables import small_counts, small_design, small_table
from helpers import finite_difference

from diffbio_eqx import set_mode
from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.iterative_size_factors import (
    iterate_size_factors,
)
from diffbio_eqx.operators.expression.size_factors import SizeFactors

PEER = Path(__file__).parent.parent / "reference" / "pydeseq2"


def start(counts, weights=None):
    """A table without factors."""
    design = small_design(len(counts))
    sample = CountMatrix.from_arrays(counts, design, weights=weights)
    return GeneTable.start(jax.tree.map(jnp.asarray, sample))


@eqx.filter_jit
def factors(operator, table):
    return operator(table).scale[:, 0]


def sparse_counts(samples=9, genes=80):
    """Counts in which every gene has a zero."""
    counts = small_counts(jax.random.key(3), samples, genes)
    counts[np.arange(genes) % samples, np.arange(genes)] = 0
    return counts


def ratio_by_hand(counts, control=True):
    """Median of ratios in NumPy."""
    complete = (counts > 0).all(0) & control
    logs = np.log(counts[:, complete])
    return np.exp(np.median(logs - logs.mean(0), axis=1))


def poscounts_by_hand(counts):
    """The same with zeros in the genes, as R's type "poscounts"."""
    logs = np.log(np.where(counts > 0, counts, 1.0))
    ratios = np.where(counts > 0, logs - logs.mean(0), np.nan)
    log_factors = np.nanmedian(ratios, axis=1)
    return np.exp(log_factors - log_factors.mean())


def test_ratio():
    counts = small_counts(jax.random.key(0), 9, 80)
    counts[0, 3] = counts[4, 7] = 0
    with jax.enable_x64(True):
        found = factors(SizeFactors("ratio"), start(counts))
        np.testing.assert_allclose(found, ratio_by_hand(counts), rtol=1e-13)
        default = factors(SizeFactors(), start(counts))
        np.testing.assert_allclose(found, default, rtol=1e-13)
        control = np.arange(80) % 3 == 0
        found = factors(SizeFactors(control_genes=control), start(counts))
        np.testing.assert_allclose(found, ratio_by_hand(counts, control), rtol=1e-13)
    found = factors(SizeFactors(), start(counts))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, ratio_by_hand(counts), rtol=1e-5)


def test_columns_that_follow():
    counts = small_counts(jax.random.key(0), 9, 80)
    table = SizeFactors()(start(counts))
    scaled = counts / np.asarray(table.scale)
    np.testing.assert_allclose(table.base_mean, scaled.mean(0), rtol=1e-5)
    np.testing.assert_allclose(table.base_variance, scaled.var(0, ddof=1), rtol=1e-4)
    assert SizeFactors()(table) is table


def test_auto_takes_poscounts_where_every_gene_has_a_zero():
    counts = sparse_counts()
    with jax.enable_x64(True):
        table = start(counts)
        found = factors(SizeFactors(), table)
        np.testing.assert_allclose(found, poscounts_by_hand(counts), rtol=1e-13)
        assert SizeFactors().uses_poscounts(table)
        one = counts.copy()
        one[:, 0] = 5
        assert not SizeFactors().uses_poscounts(start(one))
        assert SizeFactors("poscounts").uses_poscounts(start(one))
    with pytest.raises(Exception, match="poscounts"):
        factors(SizeFactors("ratio"), start(counts))


def test_given_means():
    counts = small_counts(jax.random.key(0), 9, 80)
    means = np.linspace(0.0, 50.0, 80)
    with jax.enable_x64(True):
        found = factors(SizeFactors(geometric_means=means), start(counts))
    inside = (means > 0) & (counts > 0)
    ratios = np.log(np.where(inside, counts, 1)) - np.log(np.where(inside, means, 1))
    logs = np.nanmedian(np.where(inside, ratios, np.nan), axis=1)
    np.testing.assert_allclose(found, np.exp(logs - logs.mean()), rtol=1e-13)


def test_bad_arguments():
    for arguments in (
        dict(control_genes=[0, 1]),
        dict(control_genes=np.zeros(3, bool)),
        dict(geometric_means=[-1.0, 2.0]),
        dict(method="iterate", control_genes=np.ones(3, bool)),
    ):
        with pytest.raises(ValueError, match="expected"):
            SizeFactors(**arguments)
    with pytest.raises(Exception, match="method"):
        SizeFactors("total")


@pytest.mark.parametrize("method", ["ratio", "poscounts"])
def test_weights(method):
    """Weights of 1 change nothing, a weight of 0 leaves the sample out."""
    counts = small_counts(jax.random.key(0), 9, 80)
    counts[2, :5] = 0
    with jax.enable_x64(True):
        operator = SizeFactors(method)
        plain = factors(operator, start(counts))
        ones = factors(operator, start(counts, np.ones(9)))
        np.testing.assert_allclose(ones, plain, rtol=1e-14)
        without = factors(operator, start(counts, np.arange(9.0) != 2))
        fewer = factors(operator, start(np.delete(counts, 2, 0)))
        np.testing.assert_allclose(np.delete(without, 2), fewer, rtol=1e-13)


def test_straight_through_gradient_is_that_of_a_soft_median():
    with jax.enable_x64(True):
        table = start(small_counts(jax.random.key(0), 9, 400), np.ones(9))
        direction = jax.random.normal(jax.random.key(1), (9,))

        def value(operator, log_counts, weights):
            counts = jnp.exp(log_counts)
            changed = dataclasses.replace(table, counts=counts, weights=weights)
            return jnp.log(factors(operator, changed)) @ direction

        log_counts = jnp.log(table.counts)
        operator = SizeFactors(temperature=0.1)
        soft = set_mode(operator, "soft")
        gradient = jax.grad(value, (1, 2))
        by_counts, by_weights = gradient(operator, log_counts, table.weights)
        soft_counts, soft_weights = gradient(soft, log_counts, table.weights)
        np.testing.assert_allclose(by_counts, soft_counts, atol=5e-3)
        np.testing.assert_allclose(by_weights, soft_weights, atol=2e-2)
        # Twice the counts of a sample: twice its factor, all of them less the mean.
        whole = by_counts.sum(1)
        np.testing.assert_allclose(whole, direction - direction.mean(), atol=1e-12)


def peer_factors(name):
    with open(PEER / "single_factor" / name) as file:
        return np.array([float(row[1]) for row in list(csv.reader(file))[1:]])


def peer_table():
    with open(PEER / "synthetic" / "test_counts.csv") as file:
        counts = np.array([row[1:] for row in list(csv.reader(file))[1:]], float)
    return start(counts.T)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("auto", "r_test_size_factors.csv"),
        ("poscounts", "r_test_size_factors_poscount.csv"),
    ],
)
def test_pydeseq2_tables(method, name):
    with jax.enable_x64(True):
        found = factors(SizeFactors(method), peer_table())
        assert relative(found, peer_factors(name)).max() < 1e-12


@pytest.mark.slow
def test_pydeseq2_table_of_iterate():
    with jax.enable_x64(True):
        found = factors(SizeFactors("iterate"), peer_table())
        expected = peer_factors("r_iterative_size_factors.csv")
        assert relative(found, expected).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["airway_R", "sim_outliers_R"])
def test_as_deseq2(name, data_root):
    with jax.enable_x64(True):
        reference = load_reference(data_root, name)
        table = GeneTable.start(jax.tree.map(jnp.asarray, reference.sample))
        names, _, values = read_table(reference.folder / "size_factors.tsv.gz")
        for method, tolerance in [
            ("ratio", 1e-10),
            ("poscounts", 1e-10),
            ("iterate", 1e-5),
        ]:
            found = factors(SizeFactors(method), table)
            expected = values[:, names.index(method)]
            assert relative(found, expected).max() < tolerance


@pytest.mark.slow
def test_gradient_of_iterate():
    """Of the fixed point with dispersions held: near the difference of refits."""
    with jax.enable_x64(True):
        table = start(small_counts(jax.random.key(5), 8, 300))
        direction, tilt = jax.random.normal(jax.random.key(1), (2, 8))

        @jax.jit
        def value(change):
            counts = table.counts * jnp.exp(change)[:, None]
            changed = dataclasses.replace(table, counts=counts)
            return iterate_size_factors(changed) @ tilt

        gradient = jax.grad(value)(jnp.zeros(8))
        step = finite_difference(value, jnp.zeros(8), direction, 1e-2)
        np.testing.assert_allclose(gradient @ direction, step, rtol=0.05)


def test_over_a_batch():
    tables = [small_table(key) for key in jax.random.split(jax.random.key(0), 3)]
    bare = [t.replace(scale=None, base_mean=None, base_variance=None) for t in tables]
    batch = jax.tree.map(lambda *x: jnp.stack(x), *bare)
    found = eqx.filter_vmap(lambda t: factors(SizeFactors(), t))(batch)
    for row, table in zip(found, bare, strict=True):
        np.testing.assert_allclose(row, factors(SizeFactors(), table), rtol=1e-6)
