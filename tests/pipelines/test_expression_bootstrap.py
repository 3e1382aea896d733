"""Bootstrap intervals hold the truth about as often as they say."""

import jax
import numpy as np
import pytest

import diffbio_eqx as dbx
from diffbio_eqx.pipelines.expression_bootstrap import bootstrap_expression
from diffbio_eqx.simulate import simulate_counts


def experiment(samples):
    s = simulate_counts(60, samples, seed=9, mean=300.0, mean_spread=0.7)
    return dbx.CountMatrix.from_arrays(s.counts, s.design), s.coefficients[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "parametric"),
    [(12, False), pytest.param(4, True, marks=pytest.mark.exhaustive)],
)
def test_intervals_and_ranks(samples, parametric):
    sample, effect = experiment(samples)
    model = dbx.create_differential_expression_pipeline()
    key = jax.random.key(3)
    found = bootstrap_expression(model, sample, key=key, draws=40, block=4)
    assert bool(found.parametric) == parametric
    assert found.log_fold_change.shape == (40, 60)
    low, high = found.interval(0.95)
    inside = (low <= effect / np.log(2)) & (effect / np.log(2) <= high)
    assert 0.6 < inside.mean() <= 1.0
    assert (np.sort(found.rank, 1) == np.arange(60)).all()
    top = found.top_share(5)
    assert np.isclose(top.sum(), 5.0, atol=1e-4) and top.max() > 0.5
    again = bootstrap_expression(model, sample, key=key, draws=40, block=4)
    np.testing.assert_array_equal(again.rank, found.rank)
