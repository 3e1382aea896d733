"""Fast special functions against SciPy, with their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx import _special

scipy_special = pytest.importorskip("scipy.special")

FUNCTIONS = {
    "log": (_special.log, np.log),
    "log_gamma": (_special.log_gamma, scipy_special.gammaln),
    "digamma": (_special.digamma, scipy_special.digamma),
}


def arguments(dtype: type, low: float = 1e-10, high: float = 1e12) -> np.ndarray:
    generator = np.random.default_rng(0)
    wide = np.exp(generator.uniform(np.log(low), np.log(high), 4000))
    return np.concatenate([wide, generator.uniform(0.05, 20.0, 4000)]).astype(dtype)


def relative(value: jax.Array, truth: np.ndarray, floor: float = 0.0) -> float:
    error = np.abs(np.asarray(value, float) - truth)
    return (error / np.maximum(np.abs(truth), floor)).max()


@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-13), (np.float32, 5e-6)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_equal_to_scipy(name, dtype, bound):
    fast, truth = FUNCTIONS[name]
    with jax.enable_x64(True):
        x = arguments(dtype)
        value = jax.jit(fast)(x)
        assert value.dtype == dtype
        assert relative(value, truth(x.astype(float)), floor=1.0) < bound


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_of_digamma(order):
    with jax.enable_x64(True):
        x = arguments(np.float64, low=1e-8)
        function = _special.log_gamma
        for _ in range(order + 1):
            function = jax.grad(function)
        truth = scipy_special.polygamma(order, x)
        assert relative(jax.jit(jax.vmap(function))(x), truth) < 1e-12


def test_log1p_terms_do_not_cancel():
    with jax.enable_x64(True):
        x = np.concatenate([np.geomspace(1e-18, 1e6, 500), -np.geomspace(1e-18, 0.9)])
        value, excess, lack = jax.jit(_special.log1p_terms)(x)
        wide = x.astype(np.longdouble)
        assert relative(value, np.log1p(x)) < 1e-15
        near = np.abs(x) < 1e-3
        series = wide**2 / 2 - wide**3 / 6 + wide**4 / 12 - wide**5 / 20
        series = np.where(near, series, (1 + wide) * np.log1p(wide) - wide)
        assert relative(excess, np.asarray(series, float)) < 1e-12
        series = -(wide**2) / 2 + wide**3 / 3 - wide**4 / 4 + wide**5 / 5
        series = np.where(near, series, np.log1p(wide) - wide)
        assert relative(lack, np.asarray(series, float)) < 1e-12


def test_log_gamma_ratio():
    with jax.enable_x64(True):
        generator = np.random.default_rng(1)
        k = np.floor(np.exp(generator.uniform(0.0, 10.0, 4000))) - 1
        r = arguments(np.float64)[:4000]
        value = jax.jit(_special.log_gamma_ratio)(k, r)
        wide = scipy_special.gammaln(k + r) - scipy_special.gammaln(r)
        scale = np.maximum(np.abs(scipy_special.gammaln(r)), np.abs(wide))
        assert (np.abs(value - wide) / np.maximum(scale, 1.0)).max() < 1e-13
        # For small whole k the ratio is a product, exact where lgamma cancels.
        few = k <= 20
        steps = np.arange(20)
        product = np.where(steps < k[few, None], np.log(r[few, None] + steps), 0.0)
        assert relative(value[few], product.sum(1), floor=1.0) < 1e-13
        single = jax.jit(_special.log_gamma_ratio)(
            k.astype(np.float32), r.astype(np.float32)
        )
        assert relative(single, np.asarray(value), floor=1.0) < 1e-5


def test_log_gamma_ratio_gradients():
    with jax.enable_x64(True):
        k = np.array([0.0, 1.0, 7.0, 40.0, 3.0, 9.0])
        r = np.array([0.3, 5.0, 20.0, 1e-3, 1e9, 1e6])
        by_k, by_r = jax.vmap(jax.grad(_special.log_gamma_ratio, (0, 1)))(k, r)
        steps = np.arange(40)
        slope = np.where(steps < k[:, None], 1 / (r[:, None] + steps), 0.0).sum(1)
        assert relative(by_k, scipy_special.digamma(k + r)) < 1e-13
        np.testing.assert_allclose(by_r, slope, rtol=1e-12)
        curve = jax.vmap(jax.grad(jax.grad(_special.log_gamma_ratio, 1), 1))(k, r)
        slope = np.where(steps < k[:, None], (r[:, None] + steps) ** -2.0, 0.0).sum(1)
        np.testing.assert_allclose(curve[:4], -slope[:4], rtol=1e-10)
        reverse = jax.vmap(lambda x: jax.vjp(_special.log_gamma, x)[1](1.0)[0])(r)
        assert relative(reverse, scipy_special.digamma(r)) < 1e-13


def test_float32_stays_float32():
    x = jnp.asarray([0.5, 3.0, 1e5], jnp.float32)
    for function in (_special.log, _special.log_gamma, _special.trigamma):
        assert function(x).dtype == jnp.float32
        assert jax.vmap(jax.grad(function))(x).dtype == jnp.float32
