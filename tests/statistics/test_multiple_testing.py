"""Adjusted p-values against R and against the definition."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from helpers import finite_difference

from diffbio_eqx.statistics.benjamini_hochberg import benjamini_hochberg

STORED = Path(__file__).parent.parent / "reference" / "r_statistics.json"


def test_as_p_adjust_of_r():
    case = json.loads(STORED.read_text())["bh"]
    expected = np.array(case["adjusted"], float)
    p = np.array(case["p"], float)
    tested = np.isfinite(p)
    with jax.enable_x64(True):
        log_p = jnp.asarray(np.where(tested, np.log(p), np.nan))
        found = np.exp(jax.jit(benjamini_hochberg)(log_p, jnp.asarray(tested)))
    np.testing.assert_allclose(found[tested], expected[tested], rtol=1e-12)
    assert (found[~tested] == 1).all()


def test_tails_do_not_underflow():
    log_p = jnp.array([-2000.0, -1000.0, -1.0, -3000.0])
    found = benjamini_hochberg(log_p, jnp.ones(4, bool))
    expected = log_p + jnp.log(jnp.array([2.0, 4 / 3, 1.0, 4.0]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_without_a_test():
    found = benjamini_hochberg(jnp.full(3, jnp.nan), jnp.zeros(3, bool))
    assert (found == 0).all()


def test_gradient_goes_to_the_p_value_that_decides():
    with jax.enable_x64(True):
        key, other = jax.random.split(jax.random.key(0))
        log_p = jnp.log(jax.random.uniform(key, (40,)) ** 3)
        tested = jnp.arange(40) % 7 != 3
        weights = jax.random.normal(other, (40,))
        value = jax.jit(lambda x: (weights * benjamini_hochberg(x, tested)).sum())
        poisoned = jnp.where(tested, log_p, jnp.nan)
        gradient = jax.grad(value)(poisoned)
        along = (gradient * weights).sum()
        step = finite_difference(value, log_p, weights, 1e-7)
        np.testing.assert_allclose(along, step, rtol=1e-6)
        assert (gradient[~tested] == 0).all()
