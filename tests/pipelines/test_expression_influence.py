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


def experiment(genes, samples, seed):
    s = simulate_counts(genes, samples, seed=seed)
    return dbx.CountMatrix.from_arrays(s.counts, s.design)


@pytest.mark.slow
def test_it_is_the_derivative_of_the_run():
    sample = experiment(80, 8, 5)
    sample = dataclasses.replace(sample, size_factors=np.ones(8))
    model = dbx.create_differential_expression_pipeline(solver="exact")
    run = eqx.filter_jit(lambda w: model(dataclasses.replace(sample, weights=w)))
    step, at = 1e-5, jnp.ones(8)
    found = sample_influence(model, sample)
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
def test_it_foretells_what_leaving_a_sample_out_does():
    samples = 12
    sample = experiment(400, samples, 6)
    model = dbx.create_differential_expression_pipeline(replace_outliers_from=None)
    run = eqx.filter_jit(model)
    whole, found = run(sample), sample_influence(model, sample)
    agreement = []
    for j in range(samples):
        kept = np.arange(samples) != j
        fewer = dbx.CountMatrix.from_arrays(
            sample.counts[kept], sample.design.matrix[kept]
        )
        change = np.asarray(run(fewer).log_p_values - whole.log_p_values)
        known = np.isfinite(change)
        agreement.append(spearmanr(change[known], -found.log_p[j][known])[0])
    assert np.median(agreement) > 0.9 and min(agreement) > 0.8
