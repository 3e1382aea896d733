"""Where a run stands, and its checkpoint."""

import dataclasses
import json
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from diffbio_eqx import _container, _leaves
from diffbio_eqx._checks import fail, require
from diffbio_eqx._version import __version__

KIND = "fit"


@dataclasses.dataclass
class RunState:
    """Everything that a run changes.

    `step` counts finished steps, `stale` validations without a better model. The best
    value is NaN before the first validation; a temperature of None is the model's own.
    """

    step: int
    diff: PyTree
    opt_state: PyTree
    history: dict[str, list[Any]]
    best: PyTree = None
    best_value: float = float("nan")
    best_temperature: float | None = None
    stale: int = 0
    stopped: bool = False


def save_run(path: str | os.PathLike[str], run: RunState, key: PRNGKeyArray) -> None:
    """Write a checkpoint from which `load_run` continues to the bit."""
    text = json.dumps(run.history).encode()
    none = float("nan")
    level = none if run.best_temperature is None else run.best_temperature
    arrays = {
        f"{part}{name}": array
        for part, tree in _trees(run).items()
        for name, array in _leaves.arrays_of(tree).items()
    }
    arrays["history"] = np.frombuffer(text, np.uint8)
    arrays["best"] = np.array([run.best_value, level], np.float64)
    header = {
        "kind": KIND,
        "package_version": __version__,
        "step": run.step,
        "stale": run.stale,
        "stopped": run.stopped,
        "key": _key_numbers(key),
        "has_best": run.best is not None,
        "structure": _leaves.digest_of((run.diff, run.opt_state)),
    }
    _container.write(path, header, arrays)


def load_run(
    path: str | os.PathLike[str], fresh: RunState, key: PRNGKeyArray
) -> RunState:
    """The run that `save_run` wrote, in the structure of a fresh one.

    **Raises:** `ValueError` naming the file if it is damaged, no checkpoint of a run,
    of another model, optimiser, dtype or key.
    """
    header, arrays = _container.read(path)
    require(
        header.get("kind") == KIND,
        f"file {path}",
        expected="a checkpoint of a run",
        got=f"a {header.get('kind')} checkpoint",
        hint="give fit a path of its own; read this file with diffbio_eqx.load",
    )
    again = "delete the file to start again, or give the arguments of the first run"
    if header["structure"] != _leaves.digest_of((fresh.diff, fresh.opt_state)):
        fail(
            f"file {path}",
            expected="the trainable leaves and optimiser state of this model",
            got="others",
            hint=again,
        )
    if header["key"] != _key_numbers(key):
        fail(f"key of {path}", expected="the same key", got="another", hint=again)
    best_value, level = arrays["best"].tolist()
    run = RunState(
        step=header["step"],
        diff=fresh.diff,
        opt_state=fresh.opt_state,
        history=json.loads(arrays["history"].tobytes()),
        best=fresh.diff if header["has_best"] else None,
        best_value=best_value,
        best_temperature=None if np.isnan(level) else level,
        stale=header["stale"],
        stopped=header["stopped"],
    )
    filled = {
        part: _leaves.fill(tree, _part(arrays, part), {}, f"file {path}")
        for part, tree in _trees(run).items()
    }
    return dataclasses.replace(
        run, diff=filled["model"], opt_state=filled["state"], best=filled["best"]
    )


def _trees(run: RunState) -> dict[str, PyTree]:
    return {"model": run.diff, "state": run.opt_state, "best": run.best}


def _part(arrays: dict[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(part): array
        for name, array in arrays.items()
        if name.startswith(part)
    }


def _key_numbers(key: PRNGKeyArray) -> list[int]:
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return np.ravel(jax.random.key_data(key) if typed else key).tolist()
