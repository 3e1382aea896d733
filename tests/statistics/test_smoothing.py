"""Lowess, local regression and the spline against R's numbers."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import finite_difference

from diffbio_eqx.statistics.cubic_spline import CubicSpline
from diffbio_eqx.statistics.local_regression import fit_local_regression
from diffbio_eqx.statistics.lowess import lowess

STORED = Path(__file__).parent.parent / "reference" / "r_statistics.json"


fit_local = jax.jit(fit_local_regression)
smooth = jax.jit(lowess, static_argnames=("fraction", "rounds", "delta"))


def stored(name):
    return json.loads(STORED.read_text())[name]


@pytest.mark.parametrize("index", range(5))
def test_lowess_as_r(index):
    case = stored("lowess")[index]
    with jax.enable_x64(True):
        x, y = jnp.asarray(case["x"]), jnp.asarray(case["y"])
        found = smooth(x, y, fraction=case["fraction"], delta=case["delta"])
    scale = np.abs(case["smooth"]).max()
    np.testing.assert_allclose(found, case["smooth"], atol=1e-12 * scale)


def test_lowess_of_a_step():
    """More than half of the points without error end R's rounds at once."""
    y = jnp.where(jnp.arange(20) < 19, 0.0, 5.0)
    found = smooth(jnp.arange(20.0), y, fraction=0.2)
    assert jnp.isfinite(found).all() and (found[:15] == 0).all()
    assert (lowess(jnp.zeros(1), jnp.ones(1)) == 1).all()


def test_local_regression_as_locfit():
    case = stored("local")
    with jax.enable_x64(True):
        x, y, weights, at = (jnp.asarray(case[n]) for n in ("x", "y", "weights", "at"))
        nowhere = jnp.zeros(3)
        pad = lambda v: jnp.concatenate([nowhere + jnp.nan, v])
        real = jnp.arange(x.size + 3) >= 3
        fit = fit_local(pad(x), pad(y), pad(weights), real)
        found = eqx.filter_jit(fit)(at)
        np.testing.assert_allclose(found, case["fitted"], rtol=1e-8)


def test_local_regression_in_float32():
    case = stored("local")
    x, y, weights, at = (
        jnp.asarray(case[n], jnp.float32) for n in ("x", "y", "weights", "at")
    )
    fit = eqx.filter_jit(fit_local(x, y, weights, jnp.ones(x.size, bool)))
    np.testing.assert_allclose(fit(at), case["fitted"], rtol=1e-4, atol=1e-4)


def test_local_regression_gradient():
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 4)
        x = jax.random.uniform(keys[0], (25,)) * 5
        y = jnp.sin(x) + 0.1 * jax.random.normal(keys[1], (25,))
        weights = jnp.exp(x / 3)
        real = jnp.arange(25) % 6 != 1
        at = jnp.linspace(-0.5, 5.5, 9)
        tilt = jnp.cos(at)
        value = jax.jit(lambda a: (tilt * fit_local_regression(*a, real)(at)).sum())
        direction = [jax.random.normal(k, (25,)) for k in keys[1:]]
        args = [x, y, weights]
        gradient = jax.jit(jax.grad(value))(args)
        along = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
        step = finite_difference(value, args, direction, 1e-6)
        np.testing.assert_allclose(along, step, rtol=1e-6)
        assert all((g[~real] == 0).all() for g in gradient)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_local_regression_of_few_points(count):
    """Too few points for a parabola give a line, a constant or 0."""
    x = jnp.array([1.0, 2.0, 4.0, 8.0])
    fit = fit_local(x, x + 1, jnp.ones(4), jnp.arange(4) < count)
    assert jnp.isfinite(eqx.filter_jit(fit)(x)).all()
    assert (fit.values >= 0).all() and (fit.values <= 5).all()


def test_spline_as_splinefun():
    case = stored("spline")
    with jax.enable_x64(True):
        x, y, at = (jnp.asarray(case[n]) for n in ("x", "y", "at"))
        through = jax.jit(lambda x, y, at: CubicSpline.through(x, y)(at))
        scale = np.abs(case["value"])
        assert (
            np.abs(through(x, y, at) - np.array(case["value"])) / scale
        ).max() < 1e-9
        np.testing.assert_allclose(through(x, y, x), y, rtol=1e-12)
        cubic = lambda t: 1 + t - 2 * t**2 + t**3
        found = through(x, cubic(x), at)
        np.testing.assert_allclose(found, cubic(at), rtol=1e-9)
