"""The error curve: Phred at the start, through its table, without a kink."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx.operators.reads.error_curve import (
    KNOTS,
    ErrorCurve,
    MappingError,
    combined_error,
)

TABLE = 3.0 * np.sin(np.arange(KNOTS) / 2.0)


def test_the_untrained_curve_is_the_definition_of_phred():
    quality = np.append(np.linspace(1.26, 120, 50), [2, 30, 41]).astype(np.float32)
    expected = 10.0 ** (-quality.astype(float) / 10)
    np.testing.assert_allclose(ErrorCurve()(jnp.asarray(quality)), expected, rtol=2e-6)


def test_no_base_is_worse_than_a_random_one():
    error = ErrorCurve()(jnp.array([0, 1, 2], jnp.uint8))
    np.testing.assert_allclose(error, [0.75, 0.75, 10**-0.2], atol=2e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_curve_goes_through_its_table(dtype):
    quality = np.arange(10, KNOTS).astype(dtype)
    expected = 10.0 ** (-(np.arange(10, KNOTS) + TABLE[10:]) / 10)
    np.testing.assert_allclose(
        ErrorCurve(TABLE)(jnp.asarray(quality)), np.minimum(expected, 0.75), rtol=1e-5
    )


def test_whole_numbers_and_floats_agree():
    quality = np.arange(256, dtype=np.uint8)
    curve = ErrorCurve(TABLE)
    floats = curve(jnp.asarray(quality.astype(np.float32)))
    np.testing.assert_allclose(curve(jnp.asarray(quality)), floats, rtol=1e-6)


def test_the_curve_and_its_slope_have_no_jump():
    with jax.enable_x64(True):
        curve = ErrorCurve(TABLE)
        knots = jnp.arange(3, KNOTS + 3, dtype=float)
        slope = jax.vmap(jax.grad(lambda q: curve.phred(q)))
        for function, bound in ((curve.phred, 1e-5), (slope, 1e-4)):
            jump = function(knots - 1e-6) - function(knots + 1e-6)
            assert np.abs(jump).max() < bound
        # Between the knots it is not linear.
        middle = curve.phred(knots[:20] + 0.5)
        ends = curve.phred(knots)
        assert np.abs(middle - 0.5 * (ends[:20] + ends[1:21])).max() > 0.02


def test_a_table_of_another_length_is_named():
    with pytest.raises((ValueError, TypeError), match="96"):
        ErrorCurve(np.zeros(64))


def test_mapping_error_is_phred_and_combines_as_a_read_from_elsewhere():
    quality = jnp.array([0, 10, 60], jnp.uint8)
    np.testing.assert_allclose(MappingError()(quality), [0.999, 0.1, 1e-6], rtol=1e-5)
    np.testing.assert_allclose(MappingError(0.5)(quality)[1], 10**-0.5, rtol=1e-6)
    e, m = jnp.array([0.01, 0.01, 0.3]), jnp.array([0.0, 1.0, 0.5])
    # Of a read from elsewhere three bases in four are wrong.
    expected = (1 - m) * e + m * 0.75
    np.testing.assert_allclose(combined_error(e, m), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="scale"):
        MappingError(0.0)
