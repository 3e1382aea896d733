"""The classifier and its features, and the closed form of every position."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import tree_allclose
from read_cases import LENGTH, random_pileup, random_window, weights

from diffbio_eqx.operators.variants import classifier as module
from diffbio_eqx.operators.variants.classifier import VariantClassifier
from diffbio_eqx.operators.variants.dense_likelihood import DenseLikelihood
from diffbio_eqx.operators.variants.genotype_likelihood import (
    Column,
    GenotypeLikelihood,
)
from diffbio_eqx.operators.variants.window_features import FEATURES, WindowFeatures


def trained(window=5, features=3, classes=3):
    """A classifier whose last layer is no longer zero."""
    made = VariantClassifier(window, features, 8, classes, key=jax.random.key(0))
    leaves, structure = jax.tree.flatten(made)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, noise)


def test_at_the_start_nothing_is_corrected():
    made = VariantClassifier(5, 3, 8, 3, key=jax.random.key(7))
    assert made.is_zero() and not trained().is_zero()
    features = jax.random.normal(jax.random.key(2), (LENGTH, 3))
    assert not np.any(made.everywhere(features))
    assert not np.any(made.at(features, jnp.array([0, 5], jnp.int32)))


@pytest.mark.parametrize("block", [7, 12, 4000])
def test_one_position_a_few_or_all_are_the_same(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    model = trained()
    features = np.random.default_rng(0).normal(size=(LENGTH, 3)).astype(np.float32)
    padded = np.pad(features, ((2, 2), (0, 0)))
    windows = np.stack([padded[k : k + 5] for k in range(LENGTH)])
    expected = jax.vmap(model)(jnp.asarray(windows))
    np.testing.assert_allclose(
        model.everywhere(jnp.asarray(features)), expected, rtol=1e-4, atol=1e-5
    )
    position = jnp.array([0, LENGTH - 1, 11], jnp.int32)
    np.testing.assert_allclose(
        model.at(jnp.asarray(features), position), expected[position], rtol=1e-4
    )


def test_a_window_without_a_centre_is_refused():
    with pytest.raises(ValueError, match="window_size must be odd"):
        VariantClassifier(4, 3, 8, 3, key=jax.random.key(0))


def test_features_are_fractions_reference_and_means():
    pileup = random_pileup()
    reference = np.arange(LENGTH, dtype=np.uint8) % 5
    out = np.asarray(WindowFeatures()((pileup, jnp.asarray(reference))))
    coverage = np.asarray(pileup.coverage)
    assert out.shape == (LENGTH, FEATURES) and np.isfinite(out).all()
    assert not out[3, :10].any()  # nothing covers it
    fractions = out[:, :9].sum(1)
    np.testing.assert_allclose(fractions[coverage > 0], 1.0, rtol=1e-5)
    expected = np.asarray(pileup.forward)[0] / coverage[0]
    np.testing.assert_allclose(out[0, :4], expected, rtol=1e-6)
    assert np.array_equal(out[:, 10:14], np.eye(5)[reference][:, :4])
    tail = [np.log1p(coverage) / 4, pileup.mean_quality / 40]
    np.testing.assert_allclose(out[:, 14:16], np.stack(tail, 1), rtol=1e-6)
    mapping = np.asarray(pileup.mean_mapping_quality) / 60
    np.testing.assert_allclose(out[:, 16], mapping, rtol=1e-6)


def all_columns(window, weight, error):
    """What lies over every position of a window."""
    bases = np.asarray(window.bases)
    position = np.asarray(window.start)[:, None] + np.arange(bases.shape[1])
    shown = (bases < 4) & np.asarray(window.read_mask)[:, None]
    row, column = np.nonzero(shown & (position >= 0) & (position < LENGTH))
    return Column(
        probs=jax.nn.one_hot(bases[row, column], 4),
        error=error[row, column],
        weight=weight[row, column],
        reverse=window.reverse[row],
        site=jnp.asarray(position[row, column].astype(np.int32)),
    )


def test_the_closed_form_is_the_site_likelihood_where_no_two_errors_agree():
    window = random_window(0, reads=40)
    weight = weights(window)
    error = jnp.asarray(10 ** (-np.asarray(window.qualities) / 10))
    dense = DenseLikelihood()((window, weight, error))
    column = all_columns(window, weight, error)
    full = GenotypeLikelihood().sites(column, LENGTH)
    kind = np.asarray(column.probs).argmax(1)
    most = np.zeros((LENGTH, 4), int)
    np.add.at(most, (np.asarray(column.site), kind), 1)
    alone = most.max(1) == 1
    assert alone.sum() > 3 and (~alone).sum() > 3
    assert tree_allclose(dense[alone], full[alone], rtol=1e-4, atol=1e-4)
    # Dependency can only make errors likelier.
    more = np.asarray(full - dense)[~alone]
    assert more.min() > -1e-4 and (more.max(1) > 0.1).all()
    assert not np.any(dense[most.sum(1) == 0])
