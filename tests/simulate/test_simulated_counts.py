"""Simulated counts have the means, the dispersions and the effects that they claim."""

import numpy as np
import pytest

from diffbio_eqx.simulate import simulate_counts


def test_moments_are_those_of_the_truth():
    s = simulate_counts(4, 4000, seed=3, differential=1.0, mean_spread=0.5)
    expected = np.exp(s.design @ s.coefficients)
    scaled = s.counts / s.size_factors[:, None]
    np.testing.assert_allclose(scaled.mean(0), expected.mean(0), rtol=0.08)
    residual = (s.counts / (s.size_factors[:, None] * expected) - 1) ** 2
    noise = (1 / (s.size_factors[:, None] * expected)).mean(0)
    np.testing.assert_allclose(residual.mean(0) - noise, s.dispersion, rtol=0.2)


def test_batches_cross_the_groups_and_seeds_repeat():
    s = simulate_counts(50, 12, seed=1, batches=3, differential=0.2)
    assert s.design.shape == (12, 4) and np.linalg.matrix_rank(s.design) == 4
    assert ((s.coefficients[-1] != 0) == s.differential).all()
    assert 0 < s.differential.sum() < 30
    again = simulate_counts(50, 12, seed=1, batches=3, differential=0.2)
    assert (again.counts == s.counts).all()


def test_wrong_shares_are_refused():
    with pytest.raises(ValueError, match="share of differential genes"):
        simulate_counts(10, 4, differential=1.5)
