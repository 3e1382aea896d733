"""Tails in logarithms against SciPy, and their slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from diffbio_eqx.statistics.tail_probabilities import (
    f_quantile,
    log_chi2_tail,
    log_normal_tail,
    log_t_tail,
)

POINTS = np.array([0.0, 1e-3, 0.3, 1.0, 3.0, 8.0, 20.0, 37.0])


@pytest.mark.parametrize(("wide", "rtol"), [(True, 1e-10), (False, 4e-5)])
def test_normal(wide, rtol):
    with jax.enable_x64(wide):
        found = log_normal_tail(jnp.asarray([-3.0, *POINTS]))
    np.testing.assert_allclose(found, stats.norm.logsf([-3.0, *POINTS]), rtol=rtol)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 10])
def test_chi2(freedom):
    x = POINTS**2
    expected = stats.chi2.logsf(x, freedom)
    with jax.enable_x64(True):
        found = log_chi2_tail(jnp.asarray(x), freedom)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
        at = jnp.asarray(5.0)
        slope = jax.grad(log_chi2_tail)(at, freedom)
        density = stats.chi2.logpdf(5.0, freedom) - stats.chi2.logsf(5.0, freedom)
        np.testing.assert_allclose(slope, -np.exp(density), rtol=1e-9)
        assert jnp.isfinite(jax.grad(log_chi2_tail)(jnp.asarray(0.0), freedom))
    np.testing.assert_allclose(
        log_chi2_tail(jnp.asarray(x), freedom), expected, rtol=3e-5, atol=1e-6
    )


@pytest.mark.parametrize("freedom", [1.0, 3.0, 15.0, 400.0])
def test_t(freedom):
    t = np.array([-40.0, -2.0, *POINTS, 300.0])
    expected = stats.t.logsf(t, freedom)
    known = np.isfinite(expected)
    with jax.enable_x64(True):
        found = log_t_tail(jnp.asarray(t), jnp.asarray(freedom))
        np.testing.assert_allclose(found[known], expected[known], rtol=1e-9, atol=1e-12)
        assert jnp.isfinite(found).all()
        slope = jax.vmap(jax.grad(log_t_tail), (0, None))(
            jnp.asarray(t[1:]), jnp.asarray(freedom)
        )
        assert jnp.isfinite(slope).all() and (slope <= 0).all()


def test_f_quantile():
    assert f_quantile(0.99, 2, 6) == pytest.approx(stats.f.ppf(0.99, 2, 6), rel=1e-10)
