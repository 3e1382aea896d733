"""Expected power: closed forms, gradients, and what simulated tests find."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from diffbio_eqx.operators.expression.expected_power import (
    ExpectedPower,
    PlannedExperiment,
)

GENES = 40


def planned(replicates=4.0, depth=1.0, dtype=float):
    generator = np.random.default_rng(2)
    array = lambda x: jnp.asarray(x, dtype)
    effect = generator.normal(0.0, 0.8, GENES)
    return PlannedExperiment(
        cells=array([[1.0, 0.0], [1.0, 1.0]]),
        replicates=array([replicates, replicates]),
        contrast=array([0.0, 1.0]),
        depth=array(depth),
        mean=array(generator.lognormal(3.0, 1.5, GENES)),
        dispersion=array(generator.lognormal(-2.0, 0.5, GENES)),
        coefficients=array(np.stack([np.zeros(GENES), effect])),
    )


def test_two_groups_have_the_closed_form():
    x = planned()
    found = ExpectedPower(fdr=None, level=0.01)(x)
    means = np.stack([x.mean, x.mean * np.exp(x.coefficients[1])])
    error = np.sqrt(((1 / means + np.asarray(x.dispersion)) / 4).sum(0))
    z, q = np.abs(x.coefficients[1]) / error, norm.ppf(0.995)
    np.testing.assert_allclose(
        found.genes, norm.cdf(z - q) + norm.cdf(-z - q), rtol=1e-4
    )


def test_the_level_holds_the_false_discovery_rate():
    found = ExpectedPower(fdr=0.1, null=0.8)(planned())
    false = 0.8 * np.exp(float(found.log_level))
    true = 0.2 * float(found.expected)
    assert false / (false + true) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("name", ["depth", "replicates"])
def test_gradients_are_central_differences(name):
    with jax.enable_x64(True):
        x = planned(dtype=jnp.float64)
        put = lambda v: dataclasses.replace(x, **{name: getattr(x, name) * v})
        power = eqx.filter_jit(lambda v: ExpectedPower()(put(v)).expected)
        one, step = jnp.asarray(1.0), 1e-4
        difference = (power(one + step) - power(one - step)) / (2 * step)
        assert difference > 0
        np.testing.assert_allclose(jax.grad(power)(one), difference, rtol=1e-6)


def test_power_grows_with_replicates_more_than_with_depth():
    base = ExpectedPower()(planned()).expected
    deeper = ExpectedPower()(planned(depth=2.0)).expected
    larger = ExpectedPower()(planned(replicates=8.0)).expected
    assert base < deeper < larger


def test_wrong_levels_are_refused():
    with pytest.raises(ValueError, match="fdr"):
        ExpectedPower(fdr=1.0)
