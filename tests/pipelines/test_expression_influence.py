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


SAMPLES = 12


@pytest.fixture(scope="module")
def case(float64):
    """A run as a function of the weights, with what is known of its derivative."""
    s = simulate_counts(200, SAMPLES, seed=6)
    sample = dbx.CountMatrix.from_arrays(
        s.counts, s.design, size_factors=s.size_factors
    )
    model = dbx.create_differential_expression_pipeline(
        solver="exact", prior_variance=1.0, replace_outliers_from=None
    )
    model = dbx.set_mode(model, "soft")
    run = eqx.filter_jit(lambda w: model(dataclasses.replace(sample, weights=w)))
    return run, sample_influence(model, sample)


@pytest.mark.slow
def test_it_is_the_derivative_of_the_run(case):
    run, found = case
    step, at = 1e-5, jnp.ones(SAMPLES)
    for j in (0, 3):
        ends = [run(at.at[j].add(h)) for h in (step, -step)]
        for name, column in (("log_p", "log_p_values"), ("log_fold_change",) * 2):
            high, low = (getattr(end, column) for end in ends)
            expected = np.asarray((high - low) / (2 * step))
            known = np.isfinite(expected)
            got = np.asarray(getattr(found, name)[j])
            scale = np.abs(expected[known]).max()
            assert np.abs(got - expected)[known].max() < 1e-3 * scale, (j, name)


@pytest.mark.slow
def test_it_foretells_what_leaving_a_sample_out_does(case):
    run, found = case
    whole, agreement = run(jnp.ones(SAMPLES)), []
    for j in range(SAMPLES):
        change = run(jnp.ones(SAMPLES).at[j].set(0.0)).log_p_values
        change = np.asarray(change - whole.log_p_values)
        known = np.isfinite(change)
        agreement.append(spearmanr(change[known], -found.log_p[j][known])[0])
    assert np.median(agreement) > 0.9 and min(agreement) > 0.8
