"""Medians and quantiles: exact values against R, gradients against differences."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import finite_difference

from diffbio_eqx import set_mode
from diffbio_eqx.relax import Relaxation
from diffbio_eqx.statistics.quantiles import quantiles
from diffbio_eqx.statistics.robust import (
    median,
    median_absolute_deviation,
    order_statistic,
)

STORED = Path(__file__).parent.parent / "reference" / "r_statistics.json"
SHARP = Relaxation(0.05)


def test_as_r():
    case = json.loads(STORED.read_text())["robust"]
    with jax.enable_x64(True):
        x = jnp.asarray(case["x"])
        real = jnp.ones(x.size, bool)
        mad = jax.jit(lambda real: median_absolute_deviation(x, real, SHARP))
        middle = jax.jit(lambda real: median(x, real, SHARP))
        found = [middle(real), mad(real), mad(real.at[0].set(False))]
        expected = [case["median"], case["mad"], case["mad_odd"]]
        np.testing.assert_allclose(found, expected, rtol=1e-14)
        found = quantiles(x, real, jnp.asarray(case["q"]))
        np.testing.assert_allclose(found, case["quantiles"], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_selection_is_exact_for_odd_numbers(dtype):
    values = [0.0, -0.0, -1e-30, 1e-30, -3.5, 2.0, 2.0, 1e30, -1e30, 7.0, np.nan]
    with jax.enable_x64(True):
        x, real = jnp.asarray(values, dtype), jnp.arange(11) < 10
        select = jax.jit(order_statistic)
        ordered = np.sort(np.asarray(values[:10], dtype))
        for place in range(10):
            found = select(x, real, jnp.asarray(place))
            assert found.dtype == dtype and found == ordered[place]
        assert median(x, real, SHARP) == np.median(ordered)


def test_without_entries():
    x, none = jnp.full(4, jnp.nan), jnp.zeros(4, bool)
    for mode in ("soft", "straight_through"):
        value = lambda x: median(x, none, set_mode(SHARP, mode))
        found, gradient = jax.jit(jax.value_and_grad(value))(x)
        assert found == 0 and (gradient == 0).all()
    assert (quantiles(x, none, jnp.array([0.5])) == 0).all()


@pytest.mark.parametrize("function", [median, median_absolute_deviation])
def test_soft_gradient(function):
    with jax.enable_x64(True):
        x, direction = jax.random.normal(jax.random.key(0), (2, 30))
        real = jnp.arange(30) % 5 != 2
        soft = Relaxation(0.3, "soft")
        value = jax.jit(lambda x: function(x, real, soft))
        poisoned = jnp.where(real, x, jnp.nan)
        gradient = jax.grad(value)(poisoned)
        step = finite_difference(value, x, direction)
        np.testing.assert_allclose((gradient * direction).sum(), step, rtol=1e-7)
        forward = jax.jvp(value, (x,), (direction,))[1]
        np.testing.assert_allclose(forward, step, rtol=1e-7)
        assert (gradient[~real] == 0).all()


def test_soft_tends_to_hard():
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(1), (31,))
        real, middle = jnp.ones(31, bool), eqx.filter_jit(median)
        for t in (1e-1, 1e-2, 1e-3, 1e-9):
            found = middle(x, real, Relaxation(t, "soft"))
            assert abs(found - jnp.median(x)) < t


def test_gradient_is_the_mean_change_near_the_median():
    """A field of changes moves the median of many entries by its value there."""
    x = jnp.linspace(-2.0, 3.0, 20_001)
    real = jnp.ones(x.size, bool)
    change = jnp.sin(x)
    value = jax.jit(lambda x: median(x, real, SHARP))
    moved = jax.jvp(value, (x,), (change,))[1]
    np.testing.assert_allclose(moved, jnp.sin(0.5), atol=0.005)


def test_over_a_batch():
    x = jax.random.normal(jax.random.key(2), (5, 12))
    real = jnp.arange(12) < jnp.array([12, 11, 2, 1, 7])[:, None]
    value = jax.jit(lambda x, m: median(x, m, SHARP))
    found = jax.vmap(value)(x, real)
    one = [value(a, m) for a, m in zip(x, real, strict=True)]
    np.testing.assert_array_equal(found, jnp.stack(one))
