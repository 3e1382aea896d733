"""The training loop, on a line through points."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

from diffbio_eqx import (
    Free,
    Frozen,
    Positive,
    Relaxation,
    fit,
    set_temperature,
    trainable_spec,
)
from diffbio_eqx.train import exponential, linear, step_scales

KEY = jax.random.key(7)
X = jnp.linspace(-1.0, 1.0, 8)
BATCH = (X, 3.0 * X - 1.0)


class Line(eqx.Module):
    slope: Positive
    offset: Array
    table: Frozen
    relaxation: Relaxation
    numbers: np.ndarray

    def __init__(self):
        self.slope = Positive(1.0, step=0.02)
        self.offset = jnp.asarray(0.5)
        self.table = Frozen(1.0)
        self.relaxation = Relaxation(1.0, "soft")
        self.numbers = np.ones(2)

    def __call__(self, x):
        return self.slope.value * x * self.table.value + self.offset


def loss(model, batch, *, key):
    x, y = batch
    error = jnp.mean((jax.vmap(model)(x) - y) ** 2)
    noise = 1e-3 * jax.random.normal(key) * model.offset
    return error + noise, {"temperature_seen": model.relaxation.temperature}


def batches(step):
    return jax.tree.map(lambda a: a[step % 2 :: 2], BATCH)


def run(**more):
    arguments = dict(key=KEY, steps=30, optimiser=optax.adam(0.05)) | more
    model, data = arguments.pop("model", None), arguments.pop("batches", batches)
    return fit(Line() if model is None else model, loss, data, **arguments)


def test_spec_and_scales():
    spec = trainable_spec(Line())
    assert spec.slope.raw and spec.offset
    assert not (spec.table.raw or spec.relaxation.temperature or spec.numbers)
    scales = step_scales(Line())
    assert scales.slope.raw == pytest.approx(10.0) and scales.offset == 1.0


def test_update_is_scaled_by_the_step_of_a_node():
    model = {"table": Free(0.0, step=0.5), "weight": jnp.asarray(0.0)}
    pull = lambda m, b, *, key: (m["table"].value + m["weight"], {})
    result = fit(model, pull, [None], key=KEY, steps=1).model
    np.testing.assert_allclose(result["table"].value, -0.5, rtol=1e-4)
    np.testing.assert_allclose(result["weight"], -0.002, rtol=1e-4)


def test_fit_learns_in_one_trace_and_leaves_the_model_alone():
    model, traces = Line(), []

    def counted(model, batch, *, key):
        traces.append(None)
        return loss(model, batch, key=key)

    schedule = exponential(2.0, 0.5, 100)
    result = fit(
        model,
        counted,
        batches,
        optax.adam(optax.exponential_decay(0.05, 100, 0.5)),
        key=KEY,
        steps=120,
        temperature=schedule,
    )
    assert len(traces) == 1
    history = result.history
    assert history["loss"][-1] < 0.05 * history["loss"][0]
    assert history["step"] == list(range(120))
    np.testing.assert_allclose(history["temperature_seen"], history["temperature"])
    assert history["temperature"][0] == 2 and result.model.relaxation.temperature == 0.5
    np.testing.assert_allclose(model.slope.value, 1.0, rtol=1e-6)
    assert result.model.table.value == 1 and result.model.offset < 0


@pytest.mark.parametrize("source", ["sequence", "numpy sequence"])
def test_a_sequence_is_cycled(source):
    data = [batches(0), batches(1)]
    if source == "numpy sequence":
        data = [tuple(map(np.asarray, batch)) for batch in data]
    assert run(batches=data).history == run().history


def test_only_the_trainable_part_moves():
    spec = jax.tree.map(lambda _: False, trainable_spec(Line()))
    spec = eqx.tree_at(lambda m: m.offset, spec, True)
    result = run(trainable=spec, steps=3).model
    assert result.slope.raw == Line().slope.raw and result.offset != Line().offset
    with pytest.raises(ValueError, match="trainable: expected a leaf"):
        run(trainable=jax.tree.map(lambda _: False, spec))


def test_initial_model_is_kept_when_training_never_beats_it():
    result = run(
        validation=lambda m: float(abs(m.offset - 0.5)), temperature=linear(2, 1, 9)
    )
    assert eqx.tree_equal(result.model, Line())
    assert result.history["validation_step"][0] == 0


def test_best_model_and_early_stop():
    target = lambda m: float(abs(m.offset + 0.1))
    result = run(validation=target, validate_every=1, patience=3)
    values = result.history["validation"]
    assert target(result.model) == min(values) and np.argmin(values) == len(values) - 4
    assert len(result.history["loss"]) < 30


def test_validation_on_batches_is_their_mean():
    one = run(validation=batches(0), steps=2).history["validation"]
    two = run(validation=batches(1), steps=2).history["validation"]
    both = run(validation=[batches(0), batches(1)], steps=2).history["validation"]
    np.testing.assert_allclose(both, (np.array(one) + two) / 2, rtol=1e-6)


def test_clipping():
    sgd = optax.sgd(1.0)
    result = run(optimiser=sgd, steps=1, clip_norm=1e-3, model=Line())
    assert result.history["grad_norm"][0] > 1e-3
    moved = jnp.stack(
        [(result.model.slope.raw - Line().slope.raw) / 10, result.model.offset - 0.5]
    )
    np.testing.assert_allclose(jnp.linalg.norm(moved), 1e-3, rtol=1e-3)


@pytest.mark.parametrize("validated", [False, True])
def test_resumed_run_is_equal_to_the_bit(tmp_path, validated):
    class Killed(Exception):
        pass

    def killing(step):
        if step == 17:
            raise Killed
        return batches(step)

    more = dict(temperature=exponential(2.0, 0.5, 30))
    if validated:
        more |= dict(validation=BATCH, validate_every=4)
    path = tmp_path / "run.fit"
    with pytest.raises(Killed):
        run(batches=killing, checkpoint=path, checkpoint_every=5, **more)
    resumed = run(checkpoint=path, **more)
    unbroken = run(**more)
    assert eqx.tree_equal(resumed.model, unbroken.model)
    assert eqx.tree_equal(resumed.opt_state, unbroken.opt_state)
    assert resumed.history == unbroken.history
    again = run(checkpoint=path, batches=killing, **more)
    assert eqx.tree_equal(again.model, unbroken.model)
    with pytest.raises(ValueError, match="key of .*run.fit: expected the same key"):
        run(checkpoint=path, key=jax.random.key(8), **more)
    with pytest.raises(ValueError, match="run.fit: expected the trainable leaves"):
        run(checkpoint=path, optimiser=optax.sgd(0.1), **more)


def test_iterators_are_taken_with_a_warning_and_an_end(tmp_path):
    assert len(run(batches=map(batches, range(30))).history["loss"]) == 30
    with pytest.raises(ValueError, match="ended before step 2"):
        run(batches=map(batches, range(2)))
    with pytest.warns(UserWarning, match="batches is an iterator"):
        run(batches=map(batches, range(2)), steps=2, checkpoint=tmp_path / "a")


def test_loss_that_is_not_finite_names_its_step():
    poison = lambda step: (X, jnp.where(step == 3, jnp.nan, X))
    with pytest.raises(ValueError, match="loss at step 3: expected a finite"):
        run(batches=poison)


@pytest.mark.parametrize(
    "outcome, words",
    [
        (lambda m: m.offset, "a pair"),
        (lambda m: (m.offset, [1]), "a dict"),
        (lambda m: (m.offset * X, {}), "'loss' of the loss: expected a scalar"),
        (lambda m: (m.offset, {"loss": m.offset}), "auxiliary name"),
    ],
)
def test_bad_losses_are_refused(outcome, words):
    with pytest.raises((ValueError, TypeError), match=words):
        fit(Line(), lambda m, b, *, key: outcome(m), [None], key=KEY, steps=1)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="patience: expected validation data"):
        run(patience=2)
    with pytest.raises(ValueError, match="temperature at step 0"):
        run(temperature=lambda step: 0.0)
    with pytest.raises((ValueError, TypeError), match="batches"):
        run(batches=3)


def test_progress_and_plot(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    result = run(steps=3, progress=True, validation=BATCH)
    assert "3/3" in capsys.readouterr().err
    run(steps=3)
    assert capsys.readouterr().err == ""
    result.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_schedules():
    assert [linear(4.0, 1.0, 3)(i) for i in (0, 1, 3, 9)] == [4, 3, 1, 1]
    np.testing.assert_allclose(
        [exponential(4.0, 1.0, 2)(i) for i in range(4)], [4, 2, 1, 1]
    )
    with pytest.raises(ValueError, match="last temperature"):
        exponential(1.0, 0.0, 3)
    assert set_temperature(Line(), 3.0).relaxation.temperature == 3.0
