"""Relaxations: the limit is the classical decision, padding is never seen."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import finite_difference, random_direction

from diffbio_eqx.relax import (
    MODES,
    Relaxation,
    modes,
    set_mode,
    set_modes,
    set_temperature,
)

X = jnp.array([0.3, -1.2, 2.5, 0.9, -0.4])
MASK = jnp.array([True, True, False, True, True])
REAL = np.asarray(X)[np.asarray(MASK)]
POSITIONS = jnp.arange(5.0)

METHODS = {
    "step": lambda r, x, m: jnp.where(m, r.step(x), 0.0),
    "greater_equal": lambda r, x, m: jnp.where(m, r.greater_equal(x, 0.31), 0.0),
    "argmax": lambda r, x, m: r.argmax(x, m),
    "max": lambda r, x, m: r.max(x, m),
    "top_k": lambda r, x, m: r.top_k(x, 2, m),
    "sort_weights": lambda r, x, m: r.sort_weights(x, m),
    "sort": lambda r, x, m: r.sort(x, m),
    "rank": lambda r, x, m: r.rank(x, m),
    "quantile": lambda r, x, m: r.quantile(x, 0.4, m),
    "window": lambda r, x, m: jnp.where(m, r.window(x, -1.0, 0.5), 0.0),
}

METHODS = {name: jax.jit(call) for name, call in METHODS.items()}

CLASSICAL = {
    "step": [1, 0, 0, 1, 0],
    "greater_equal": [0, 0, 0, 1, 0],
    "argmax": [0, 0, 0, 1, 0],
    "max": REAL.max(),
    "top_k": np.eye(5)[[3, 0]],
    "sort_weights": np.eye(5)[[1, 4, 0, 3]].tolist() + [[0] * 5],
    "sort": [*np.sort(REAL), 0],
    "rank": [2, 0, 0, 3, 1],
    "quantile": np.quantile(REAL, 0.4),
    "window": [0, 1, 0, 0, 1],
}


@pytest.mark.parametrize("name", METHODS)
def test_hard_is_classical_and_soft_tends_to_it(name):
    call, expected = METHODS[name], np.asarray(CLASSICAL[name], np.float32)
    value = {mode: call(Relaxation(1e-3, mode), X, MASK) for mode in MODES}
    np.testing.assert_allclose(value["hard"], expected, atol=1e-6)
    np.testing.assert_array_equal(value["straight_through"], value["hard"])
    np.testing.assert_allclose(value["soft"], expected, atol=2e-3)
    assert len({(v.shape, v.dtype) for v in value.values()}) == 1
    far = np.abs(call(Relaxation(0.5, "soft"), X, MASK) - expected).max()
    assert far > 2e-3


@pytest.mark.parametrize("name", METHODS)
def test_gradient_of_soft_is_its_derivative_and_straight_through_has_it(name):
    call = METHODS[name]

    def scalar(x, mode):
        y = call(Relaxation(0.3, mode), x, MASK)
        return (y * np.arange(1.0, y.size + 1).reshape(y.shape)).sum()

    gradient_of = jax.jit(jax.grad(scalar), static_argnums=1)

    with jax.enable_x64(True):
        x = jnp.asarray(np.asarray(X, np.float64))
        direction = random_direction(x, jax.random.key(1))
        gradient = gradient_of(x, "soft")
        expected = finite_difference(lambda x: scalar(x, "soft"), x, direction)
        assert abs(expected) > 1e-3
        np.testing.assert_allclose(gradient @ direction, expected, rtol=1e-6)
        through = gradient_of(x, "straight_through")
        np.testing.assert_allclose(through, gradient, rtol=1e-12)
        assert not gradient_of(x, "hard").any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", METHODS)
def test_padding_is_never_seen(name, mode):
    call, r = METHODS[name], Relaxation(0.3, mode)
    poisoned = jnp.where(MASK, X, jnp.nan)
    jacobian = jax.jit(jax.jacobian(lambda x: call(r, x, MASK)))
    both = lambda x: (call(r, x, MASK), jacobian(x))
    for a, b in zip(both(X), both(poisoned), strict=True):
        if name in ("step", "greater_equal", "window"):  # elementwise: caller masks
            assert jnp.isfinite(both(poisoned)[0]).all()
        else:
            np.testing.assert_array_equal(a, b)
    nothing = call(r, jnp.full(5, jnp.nan), jnp.zeros(5, bool))
    assert not nothing.any()


def test_ties():
    x = jnp.array([1.0, 3.0, 3.0, 0.0])
    np.testing.assert_array_equal(Relaxation(1.0, "hard").argmax(x), [0, 1, 0, 0])
    np.testing.assert_array_equal(Relaxation(1.0, "hard").rank(x), [1, 2.5, 2.5, 0])
    soft = Relaxation(1e-3, "soft")
    np.testing.assert_allclose(soft.rank(x), [1, 2.5, 2.5, 0], atol=1e-5)
    np.testing.assert_allclose(soft.sort(x), [0, 1, 3, 3], atol=1e-5)
    hard = Relaxation(1.0, "hard")
    assert hard.step(jnp.array(0.0)) == 0 and hard.step(jnp.array(0.0), closed=True)


def test_window_is_half_open_at_whole_numbers():
    weight = Relaxation(1.0, "hard").window(POSITIONS, 1.0, 3.0)
    np.testing.assert_array_equal(weight, [0, 1, 1, 0, 0])


def test_no_gradient_reaches_the_temperature():
    for mode in ("soft", "straight_through"):
        loss = lambda r: r.sort(X).sum() + r.step(X).sum()
        assert eqx.filter_grad(loss)(Relaxation(0.5, mode)).temperature == 0


def test_settings_change_every_relaxation_and_nothing_else():
    tree = {"a": [Relaxation(1.0), X], "b": Relaxation(2.0, "soft")}
    hard = set_mode(tree, "hard")
    assert modes(hard) == {"['a'][0]": "hard", "['b']": "hard"}
    assert hard["a"][1] is X and hard["b"].temperature == 2.0
    assert modes(set_modes(hard, modes(tree))) == modes(tree)
    cold = set_temperature(tree, 0.25)
    assert cold["a"][0].temperature == cold["b"].temperature == 0.25
    assert modes(cold) == modes(tree) and cold["a"][1] is X
    with pytest.raises(ValueError, match="difference at"):
        set_modes(tree, {"['a'][0]": "soft"})


def test_annealing_does_not_retrace():
    traces = []

    @eqx.filter_jit
    def run(r, t):
        traces.append(None)
        return set_temperature(r, t).step(X)

    outputs = [run(Relaxation(1.0, "soft"), jnp.array(t))[0] for t in (2.0, 1.0, 0.1)]
    assert len(traces) == 1 and outputs[0] < outputs[1] < outputs[2]


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_bad_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature of a Relaxation: expected"):
        Relaxation(temperature)


def test_bad_mode_is_refused():
    with pytest.raises((ValueError, TypeError), match="mode"):
        Relaxation(1.0, "smooth")
    with pytest.raises((ValueError, TypeError), match="mode"):
        set_mode(Relaxation(1.0), "smooth")
