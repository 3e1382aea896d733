"""Parameter nodes: round trip, constraint, dtype, errors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx.params import (
    Free,
    Frozen,
    Ordered,
    Positive,
    Simplex,
    UnitInterval,
)

VALUES = {
    "free": (Free, [[-3.0, 0.0, 40.0]]),
    "positive": (Positive, [1e-6, 0.1, 1.0, 30.0, 1e4]),
    "positive scalar": (Positive, 3.0),
    "unit interval": (UnitInterval, [[1e-6, 0.3], [0.5, 0.999]]),
    "simplex": (Simplex, [[0.7, 0.2, 0.1], [1e-6, 0.5, 0.5 - 1e-6]]),
    "ordered": (Ordered, [-2.0, 0.0, 0.001, 40.0]),
    "frozen": (Frozen, [[1.0, -2.0]]),
}


@pytest.mark.parametrize("name", VALUES)
def test_round_trip(name):
    node, natural = VALUES[name]
    made = node(natural)
    assert made.value.dtype == jnp.float32 and not made.raw.weak_type
    np.testing.assert_allclose(made.value, natural, rtol=1e-6, atol=1e-6)
    if name.startswith(("positive", "unit", "simplex")):
        np.testing.assert_allclose(made.value, natural, rtol=2e-6)
    with jax.enable_x64(True):
        np.testing.assert_allclose(node(natural).value, natural, rtol=1e-12)


@pytest.mark.parametrize("name", VALUES)
def test_value_keeps_its_constraint_wherever_raw_goes(name):
    node, natural = VALUES[name]
    made = node(natural)
    moved = eqx.tree_at(lambda p: p.raw, made, made.raw - 5.0).value
    if node is Positive:
        assert (moved > 0).all()
    if node is UnitInterval:
        assert ((moved > 0) & (moved < 1)).all()
    if node is Simplex:
        np.testing.assert_allclose(moved.sum(-1), 1, rtol=1e-6)
    if node is Ordered:
        assert (jnp.diff(moved) > 0).all()
    gradient = eqx.filter_grad(lambda p: (p.value**2).sum())(made).raw
    assert jnp.isfinite(gradient).all()
    assert gradient.any() == (node is not Frozen)


def test_free_value_is_the_leaf_itself():
    free = Free(20.0, step=0.5)
    moved = eqx.tree_at(lambda p: p.value, free, jnp.array(25.0))
    assert moved.value == 25 and moved.step == 0.5


def test_dtypes():
    half = Positive(jnp.ones(2, jnp.bfloat16))
    assert half.value.dtype == jnp.bfloat16
    assert Positive(np.float64(2.0)).value.dtype == jnp.float32
    assert Frozen(np.arange(3, dtype=np.uint8)).value.dtype == jnp.uint8
    assert Free(jnp.asarray(1.0)).value.weak_type is False


def test_constructors_work_under_a_trace():
    made = jax.jit(lambda v: Ordered(v).value)(jnp.array([0.0, 1.5]))
    np.testing.assert_allclose(made, [0, 1.5], rtol=1e-6)
    shape = eqx.filter_eval_shape(lambda: Simplex([0.5, 0.5])).raw.shape
    assert shape == (2,)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Positive(0.0), "Positive parameter: expected .* got 0; use Free"),
        (lambda: UnitInterval([0.5, 1.0]), "UnitInterval parameter: .* got 1; 0 and 1"),
        (lambda: Simplex([0.5, 0.6]), "rows that sum to 1 .* sum 1.1"),
        (lambda: Simplex([1.0, 0.0]), "add a pseudo-count"),
        (lambda: Ordered([1.0, 1.0]), "strictly ascending"),
        (lambda: Free(np.nan), "Free parameter: expected finite"),
        (lambda: Free(1.0, step=0.0), "step of a parameter"),
    ],
)
def test_bad_values_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
