"""The quality filter: a hard cut-off in the limit, smooth before it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx import set_mode, set_temperature
from diffbio_eqx.operators.reads.quality_filter import QualityFilter

QUALITY = np.array([0, 12, 19, 19.75, 20, 20.25, 21, 60], np.float32)


def hard(quality, mapping, threshold, mapping_threshold):
    return ((quality >= threshold) & (mapping >= mapping_threshold)).astype(np.float32)


@pytest.mark.parametrize("mode", ["hard", "straight_through"])
@pytest.mark.parametrize("threshold", [0.0, 1.0, 19.5, 20.0, 60.0])
def test_a_base_counts_if_it_reaches_the_threshold(mode, threshold):
    operator = QualityFilter(threshold, 30.0, mode=mode)
    for mapping in (29, 30, 31):
        weight = operator((jnp.asarray(QUALITY), jnp.full(8, mapping, jnp.uint8)))
        assert np.array_equal(weight, hard(QUALITY, mapping, threshold, 30.0))
    whole = QUALITY.astype(np.uint8)
    weight = operator((jnp.asarray(whole), jnp.full(8, 40, jnp.uint8)))
    assert np.array_equal(weight, hard(whole, 40, threshold, 30.0))


def test_soft_weights_tend_to_the_hard_ones_away_from_ties():
    quality = jnp.asarray(QUALITY[QUALITY != 20])
    operator = QualityFilter(20.0, mode="soft")
    expected = hard(np.asarray(quality), 50, 20.0, 0.0)
    errors = []
    for temperature in (2.0, 0.5, 0.05, 0.005):
        soft = set_temperature(operator, temperature)((quality, jnp.full(7, 50.0)))
        errors.append(float(np.abs(soft - expected).max()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-6
    at = operator((jnp.array([20.0, 22.0]), jnp.array(50.0)))
    np.testing.assert_allclose(at, [0.5, 1 / (1 + np.exp(-2.0))], rtol=1e-6)


def test_straight_through_has_the_gradient_of_soft():
    def gradient(mode):
        operator = set_mode(QualityFilter(20.0), mode)
        loss = lambda f: f((jnp.asarray(QUALITY), jnp.full(8, 60.0))).sum()
        return eqx.filter_grad(loss)(operator)

    soft, through, none = map(gradient, ("soft", "straight_through", "hard"))
    np.testing.assert_allclose(soft.threshold, through.threshold, rtol=1e-6)
    assert soft.threshold < -0.5
    assert soft.relaxation.temperature == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(none))


def test_defaults_drop_quality_zero_alone():
    weight = QualityFilter()((jnp.arange(5, dtype=jnp.uint8), jnp.uint8(0)))
    assert weight.tolist() == [0, 1, 1, 1, 1]


def test_thresholds_out_of_range_are_named():
    with pytest.raises(ValueError, match="mapping_threshold"):
        QualityFilter(20.0, -1.0)
    with pytest.raises(ValueError, match="threshold"):
        QualityFilter(float("nan"))
