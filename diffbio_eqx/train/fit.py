"""The training loop."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray, PyTree

from diffbio_eqx._checks import fail, require, require_range
from diffbio_eqx.params import NETWORK_STEP
from diffbio_eqx.relax import set_temperature
from diffbio_eqx.train.batches import Batches, batch_source, on_device
from diffbio_eqx.train.progress import Progress
from diffbio_eqx.train.result import FitResult
from diffbio_eqx.train.state import RunState, load_run, save_run
from diffbio_eqx.train.step import Inputs, Loss, Report, own, train_step
from diffbio_eqx.train.trainable import step_scales, trainable_spec
from diffbio_eqx.train.validation import Validator, validator

_FLUSH = 20
_DEFAULT_OPTIMISER = optax.adam(NETWORK_STEP)


def fit(
    model: PyTree,
    loss: Loss,
    batches: Batches,
    optimiser: optax.GradientTransformation | None = None,
    *,
    key: PRNGKeyArray,
    steps: int,
    trainable: PyTree = None,
    validation: Any = None,
    validate_every: int | None = None,
    patience: int | None = None,
    clip_norm: float | None = None,
    temperature: Callable[[int], float] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    progress: bool | None = None,
) -> FitResult:
    """Train `model` by gradient steps and return the best one.

    The update of a leaf in a parameter node is multiplied by `step / 0.002` of that
    node (`diffbio_eqx.params`), so one learning rate fits a Phred table and a network;
    learning-rate schedules are optax's. The step compiles once, whatever the
    temperature. The model that was passed in is not changed.

    **Arguments:**

    - `loss`: `loss(model, batch, *, key) -> (scalar, dict of scalars)`.
    - `batches`: a pure function of the step, or a sequence, which is cycled: then a
        resumed run is equal to the bit. An iterator is accepted without that promise
        (with a warning if there is a checkpoint). One batch at every step is
        `lambda step: batch`.
    - `optimiser`: from optax; by default Adam with learning rate 0.002.
    - `key`: step `i` uses `fold_in(key, i)`.
    - `steps`: how many steps in all, those before a resume included.
    - `trainable`: a tree of booleans as `trainable_spec(model)`, the default.
    - `validation`: a batch, a *list* of batches (their mean loss), or a function
        `model -> number`, lower is better, which need not be jit-able. The initial
        model is the first candidate: it is returned if training never beats it.
    - `validate_every`: steps between validations (default `steps // 20`, at least 1);
        the last step is validated too.
    - `patience`: stop after so many validations without a better model.
    - `clip_norm`: largest norm of the whole gradient.
    - `temperature`: `step -> temperature` of every `Relaxation`, see
        `diffbio_eqx.train.exponential`. A model comes back with the temperature that
        it was judged at.
    - `checkpoint`: file to resume from if it exists, and to write to every
        `checkpoint_every` steps (default `steps // 10`, at least 1) and at the end.
    - `progress`: show a bar; by default only on a terminal.

    **Returns:** `FitResult(model, history, opt_state)`.

    **Raises:** `ValueError` if a loss or gradient is not finite (naming the step), if
    nothing is trainable, or if the checkpoint is damaged or of another run.
    """
    require(steps >= 0, "steps", expected="at least 0", got=steps)
    every = _interval("validate_every", validate_every, steps // 20)
    save_every = _interval("checkpoint_every", checkpoint_every, steps // 10)
    if patience is not None:
        require(patience >= 1, "patience", expected="at least 1", got=patience)
        require(
            validation is not None,
            "patience",
            expected="validation data to judge by",
            got="none",
            hint="pass validation=...",
        )
    if clip_norm is not None:
        require_range("clip_norm", clip_norm, 0.0, open_low=True)
    optimiser = _DEFAULT_OPTIMISER if optimiser is None else optimiser
    spec = trainable_spec(model) if trainable is None else trainable
    diff, rest = eqx.partition(model, spec)
    _check_trainable(diff)
    diff = own(diff)
    run = RunState(0, diff, own(optimiser.init(diff)), _empty_history(validation))
    source = batch_source(batches, checkpointed=checkpoint is not None)
    judge = None if validation is None else validator(validation, loss, key)
    resumed = checkpoint is not None and Path(checkpoint).exists()
    if resumed:
        run = load_run(checkpoint, run, key)
    elif judge is not None:
        _validate(run, judge, rest, None)
    scales = eqx.partition(step_scales(model), spec)[0]
    pending: list[tuple[int, float | None, Report]] = []
    level = _level(temperature, run.step - 1)
    with Progress(steps, show=progress) as bar:
        while run.step < steps and not run.stopped:
            index = run.step
            level = _level(temperature, index)
            inputs = Inputs(
                _at(rest, level),
                loss,
                optimiser,
                scales,
                clip_norm,
                on_device(source(index)),
                key,
                jnp.asarray(index, jnp.uint32),
            )
            run.diff, run.opt_state, report = train_step(
                inputs, run.diff, run.opt_state
            )
            pending.append((index, level, report))
            run.step += 1
            last = run.step == steps
            due = judge is not None and (run.step % every == 0 or last)
            save_due = checkpoint is not None and (run.step % save_every == 0 or last)
            if due or save_due or last or len(pending) >= _FLUSH:
                _flush(run.history, pending)
                bar.update(run.step, _note(run.history))
            if due:
                _validate(run, judge, rest, level)
                run.stopped = patience is not None and run.stale >= patience
            if save_due or (checkpoint is not None and run.stopped):
                save_run(checkpoint, run, key)
    if judge is not None:
        level = run.best_temperature
    final = run.diff if judge is None else run.best
    return FitResult(
        eqx.combine(own(final), _at(rest, level)), run.history, run.opt_state
    )


def _level(temperature: Callable[[int], float] | None, index: int) -> float | None:
    """The temperature of step `index`; the model's own before the first step."""
    if temperature is None or index < 0:
        return None
    level = float(temperature(index))
    what = f"temperature at step {index}"
    require_range(what, level, 0.0, open_low=True)
    return level


def _at(rest: PyTree, level: float | None) -> PyTree:
    return rest if level is None else set_temperature(rest, level)


def _interval(what: str, given: int | None, default: int) -> int:
    interval = max(1, default) if given is None else given
    require(interval >= 1, what, expected="at least 1", got=interval)
    return interval


def _empty_history(validation: Any) -> dict[str, list[Any]]:
    names = ["step", "loss", "grad_norm"]
    if validation is not None:
        names += ["validation_step", "validation"]
    return {name: [] for name in names}


def _check_trainable(diff: PyTree) -> None:
    leaves = jax.tree.leaves(diff)
    hint = "see diffbio_eqx.trainable_spec"
    require(leaves, "trainable", expected="a leaf to train", got="none", hint=hint)
    for leaf in leaves:
        floating = isinstance(leaf, jax.Array) and jnp.issubdtype(
            leaf.dtype, jnp.inexact
        )
        if not floating:
            got = str(getattr(leaf, "dtype", type(leaf).__name__))
            fail("trainable", expected="floating JAX arrays", got=got, hint=hint)


def _validate(
    run: RunState, judge: Validator, rest: PyTree, level: float | None
) -> None:
    value = judge(run.diff, _at(rest, level))
    run.history["validation_step"].append(run.step)
    run.history["validation"].append(value)
    rescued = math.isnan(run.best_value) and not math.isnan(value)
    if run.best is None or value < run.best_value or rescued:
        run.best, run.best_value = own(run.diff), value
        run.best_temperature, run.stale = level, 0
    else:
        run.stale += 1


def _flush(
    history: dict[str, list[Any]], pending: list[tuple[int, float | None, Report]]
) -> None:
    """Move finished steps into the history; stop at the first that is not finite."""
    for index, level, report in jax.device_get(pending):
        row = {"step": index, "loss": float(report.loss)}
        row["grad_norm"] = float(report.grad_norm)
        for name in ("loss", "grad_norm"):
            if not math.isfinite(row[name]):
                fail(
                    f"{name} at step {index}",
                    expected="a finite number",
                    got=row[name],
                    hint="lower the learning rate, set clip_norm, or look for a "
                    "division by zero or a log of zero in the loss",
                )
        if level is not None:
            row["temperature"] = level
        row |= {name: value.item() for name, value in report.aux.items()}
        for name, value in row.items():
            history.setdefault(name, []).append(value)
    pending.clear()


def _note(history: dict[str, list[Any]]) -> str:
    note = f"loss {history['loss'][-1]:.4g}"
    if history.get("validation"):
        note += f", validation {history['validation'][-1]:.4g}"
    return note
