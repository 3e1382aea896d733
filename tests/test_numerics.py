"""Safe functions at the points where the plain ones fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx import _numerics as num

NAN = jnp.nan
X = jnp.array([[0.5, -1.0, NAN, 2.0], [NAN, NAN, NAN, NAN]])
MASK = jnp.array([[True, True, False, True], [False] * 4])
REAL = np.array([0.5, -1.0, 2.0])

MASKED = {
    "sum": (lambda x: num.masked_sum(x, MASK, -1), REAL.sum(), 0.0),
    "mean": (lambda x: num.masked_mean(x, MASK, -1), REAL.mean(), 0.0),
    "logsumexp": (
        lambda x: num.masked_logsumexp(x, MASK, empty=-7.0),
        np.log(np.exp(REAL).sum()),
        -7.0,
    ),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked_reduction_never_sees_padding(name):
    function, expected, empty = MASKED[name]
    np.testing.assert_allclose(function(X), [expected, empty], rtol=1e-6)
    gradient = jax.grad(lambda x: function(x).sum())(X)
    clean = jnp.where(MASK, X, 3.0)
    same = jax.grad(lambda x: function(x).sum())(clean)
    np.testing.assert_array_equal(gradient, same)
    assert (gradient[0, [0, 1, 3]] != 0).all() and not gradient[0, 2]
    assert not gradient[1].any()


def test_masked_softmax_never_sees_padding():
    weight = num.masked_softmax(X, MASK)
    expected = np.exp(REAL) / np.exp(REAL).sum()
    np.testing.assert_allclose(weight[0, jnp.array([0, 1, 3])], expected, rtol=1e-6)
    assert weight[0, 2] == 0 and not weight[1].any()
    gradient = jax.grad(lambda x: num.masked_softmax(x, MASK)[0, 0])(X)
    plain = jax.grad(lambda x: jax.nn.softmax(x)[0])(jnp.asarray(REAL, jnp.float32))
    np.testing.assert_allclose(gradient[0, jnp.array([0, 1, 3])], plain, rtol=1e-5)
    assert jnp.isfinite(gradient).all()


def test_masked_logsumexp_keeps_nan_of_real_entries_and_drops_minus_infinity():
    x = jnp.array([1.0, -jnp.inf])
    real = jnp.ones(2, bool)
    assert num.masked_logsumexp(x, real) == 1.0
    assert jnp.isfinite(jax.grad(num.masked_logsumexp)(x, real)).all()
    assert jnp.isnan(num.masked_logsumexp(jnp.array([1.0, NAN]), real))
    bottom = num.masked_logsumexp(jnp.full(2, -jnp.inf), real)
    assert jnp.isfinite(bottom) and bottom < -1e37


def test_safe_functions_at_zero():
    zero = jnp.array(0.0)
    assert jnp.isfinite(num.safe_log(zero)) and jax.grad(num.safe_log)(zero) == 0
    assert num.safe_log(jnp.array(2.0)) == jnp.log(2.0)
    assert num.safe_sqrt(zero) == 0 and jax.grad(num.safe_sqrt)(zero) == 0
    assert num.safe_sqrt(jnp.array(4.0)) == 2
    assert num.safe_div(jnp.array(1.0), zero, 5.0) == 5
    both = jax.grad(num.safe_div, argnums=(0, 1))
    assert both(jnp.array(1.0), zero) == (0, 0)
    assert both(jnp.array(3.0), jnp.array(2.0)) == (0.5, -0.75)


def test_log1mexp_at_both_ends():
    x = np.array([1e-8, 1e-3, 0.5, 0.7, 1.0, 20.0])
    with jax.enable_x64(True):
        expected = np.where(x < 0.6, np.log(-np.expm1(-x)), np.log1p(-np.exp(-x)))
        np.testing.assert_allclose(num.log1mexp(jnp.asarray(x)), expected, rtol=1e-9)
    gradient = jax.vmap(jax.grad(num.log1mexp))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(gradient, 1 / np.expm1(x), rtol=1e-4)
