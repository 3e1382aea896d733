"""Independent filtering: R's adjusted p-values, thresholds and NA."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from expression_references import EACH_SET, SETS, read_table

from diffbio_eqx.operators.expression.independent_filtering import IndependentFiltering

run = eqx.filter_jit(lambda operator, item: operator(item))
TESTS = {
    "pvalue_default": "padj_default",
    "pvalue_noCooks": "padj_noCooks",
    "pvalue_lfc1_greaterAbs": "padj_lfc1_greaterAbs",
    "pvalue_lfc1_lessAbs": "padj_lfc1_lessAbs",
    "pvalue_lfc0.5_greater": "padj_lfc0.5_greater",
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", EACH_SET)
def test_as_deseq2(name, dtype, data_root):
    """On R's p-values and means: the same genes, thresholds and numbers."""
    folder = data_root / "reference" / "expression" / name
    meta = json.loads((folder / "meta.json").read_text())
    names, genes, values = read_table(folder / "wald.tsv.gz")
    columns = dict(zip(names, values.T, strict=True))
    counts = f"{SETS[name][0]}_counts.tsv.gz"
    every = len(read_table(data_root / "data" / "expression" / counts)[1])
    pad = lambda x, fill: np.append(x, np.full(every - len(genes), fill))
    mean = pad(columns["baseMean"], 0.0)
    with jax.enable_x64(dtype == "float64"):
        for raw, adjusted in TESTS.items():
            p, expected = pad(columns[raw], np.nan), pad(columns[adjusted], np.nan)
            tested = np.isfinite(p)
            log_p = np.log(np.where(tested, np.maximum(p, 1e-300), 1.0))
            real = jnp.ones(every, bool)
            item = jnp.asarray(log_p), jnp.asarray(tested), jnp.asarray(mean), real
            found = run(IndependentFiltering(), item)
            passed = np.asarray(found.passed)
            np.testing.assert_array_equal(passed, np.isfinite(expected))
            numbers = np.exp(np.asarray(found.log_adjusted, float)[passed])
            exact = 1e-6 if dtype == "float64" else 1e-4
            np.testing.assert_allclose(numbers, expected[passed], rtol=exact, atol=0)
            if raw == "pvalue_default":
                threshold = meta["filterThreshold"]
                np.testing.assert_allclose(found.threshold, threshold, rtol=1e-6)
                np.testing.assert_allclose(found.theta, meta["filterTheta"], rtol=1e-6)


def few_effects(genes=600, effects=0.3, key=0):
    """Null p-values at low means, effects at high ones."""
    generator = np.random.default_rng(key)
    mean = np.exp(generator.uniform(-2, 8, genes))
    mean[:50] = 0
    p = generator.uniform(size=genes)
    strong = (mean > 100) & (generator.uniform(size=genes) < effects)
    p[strong] = p[strong] ** 12
    return jnp.log(p), jnp.asarray(mean > 0), jnp.asarray(mean), jnp.ones(genes, bool)


def adjusted_by_hand(p):
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return adjusted[np.argsort(order)]


def test_counts_of_rejections():
    item = few_effects()
    found = run(IndependentFiltering(0.05), item)
    log_p, tested, mean, _ = (np.asarray(x) for x in item)
    thetas = np.linspace((mean == 0).mean(), 0.95, 50)
    np.testing.assert_allclose(found.thetas, thetas, rtol=1e-5)
    expected = []
    for cutoff in np.quantile(mean, thetas):
        p = np.exp(log_p[tested & (mean >= cutoff)])
        expected.append((adjusted_by_hand(p) < 0.05).sum())
    np.testing.assert_array_equal(found.rejections, expected)
    assert (
        found.threshold > 0
        and (found.passed == (tested & (mean >= found.threshold))).all()
    )
    passed = np.asarray(found.passed)
    expected = adjusted_by_hand(np.exp(log_p[passed]))
    np.testing.assert_allclose(np.exp(found.log_adjusted[passed]), expected, rtol=1e-4)


def test_few_rejections_filter_nothing():
    log_p, tested, mean, real = few_effects(effects=0.0)
    found = run(IndependentFiltering(), (log_p, tested, mean, real))
    assert found.rejections.max() <= 10
    assert found.theta == found.thetas[0] and (found.passed == tested).all()


def test_disabled():
    log_p, tested, mean, real = few_effects()
    found = run(IndependentFiltering(enabled=False), (log_p, tested, mean, real))
    kept = np.asarray(tested)
    expected = adjusted_by_hand(np.exp(np.asarray(log_p)[kept]))
    assert (found.passed == tested).all() and found.threshold == 0
    np.testing.assert_allclose(np.exp(found.log_adjusted[kept]), expected, rtol=1e-4)


def test_padding_changes_nothing():
    item = few_effects()
    rubbish = (jnp.nan, True, 1e6, False)
    padded = tuple(
        jnp.append(x, jnp.full(30, v, x.dtype))
        for x, v in zip(item, rubbish, strict=True)
    )
    found, expected = (
        run(IndependentFiltering(), padded),
        run(IndependentFiltering(), item),
    )
    np.testing.assert_array_equal(found.rejections, expected.rejections)
    np.testing.assert_array_equal(found.log_adjusted[:600], expected.log_adjusted)
    assert not found.passed[600:].any() and found.threshold == expected.threshold


def test_all_genes_without_counts():
    nothing = jnp.zeros(8)
    none, real = jnp.zeros(8, bool), jnp.ones(8, bool)
    found = run(IndependentFiltering(), (nothing, none, nothing, real))
    assert not found.passed.any()
    leaves = jax.tree.leaves(eqx.filter(found, eqx.is_inexact_array))
    assert all(jnp.isfinite(leaf).all() for leaf in leaves)


def test_alpha_is_checked():
    with pytest.raises(ValueError, match="alpha"):
        IndependentFiltering(1.5)
