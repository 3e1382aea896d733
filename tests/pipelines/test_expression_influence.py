"""Influence of samples is that of central differences, and foretells refits."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

import diffbio_eqx as dbx
from diffbio_eqx.pipelines.expression_influence import sample_influence
from diffbio_eqx.simulate import simulate_counts


@pytest.fixture(scope="module", autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


SAMPLES = 16


@pytest.fixture(scope="module")
def case(float64):
    """A run and its derivative along a direction of weights; and the influence."""
    s = simulate_counts(200, SAMPLES, seed=6)
    counts = s.counts.copy()
    counts[0, :10] = 50 * counts[0, :10] + 1000  # outliers, which are replaced
    sample = dbx.CountMatrix.from_arrays(counts, s.design)
    model = dbx.create_differential_expression_pipeline()

    def results(weights):
        found = model(dataclasses.replace(sample, weights=weights))
        known = lambda x: jnp.where(jnp.isnan(x), 0.0, x)
        values = known(found.log_p_values), known(found.log_fold_change)
        return values, found.replaced

    run = eqx.filter_jit(lambda w, d: jax.jvp(results, (w,), (d,), has_aux=True))
    return run, sample_influence(model, sample)


@pytest.mark.slow
def test_it_is_the_derivative_of_the_run(case):
    run, found = case
    direction = jnp.linspace(-1.0, 2.0, SAMPLES)
    _, tangent, replaced = run(jnp.ones(SAMPLES), direction)
    assert replaced.sum() >= 8
    for expected, got in zip(
        tangent, (found.log_p, found.log_fold_change), strict=True
    ):
        np.testing.assert_allclose(direction @ got, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_it_foretells_what_leaving_a_sample_out_does(case):
    run, found = case
    ones = jnp.ones(SAMPLES)
    whole, agreement = run(ones, ones)[0][0], []
    for j in range(1, SAMPLES):  # sample 0 has the outliers
        change = run(ones.at[j].set(0.0), ones)[0][0] - whole
        agreement.append(spearmanr(change, -found.log_p[j])[0])
    assert np.median(agreement) > 0.9 and min(agreement) > 0.5
