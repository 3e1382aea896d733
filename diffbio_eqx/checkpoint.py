"""Saving a model to one file, and loading it: a line of JSON, then the leaves."""

import json
import os
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from diffbio_eqx import _container, _leaves
from diffbio_eqx._checks import fail, require
from diffbio_eqx._registry import Factory, factory_named, factory_of
from diffbio_eqx._version import __version__
from diffbio_eqx.relax import modes, set_modes

KIND = "model"
Path = str | os.PathLike[str]


def save(path: Path, model: PyTree, metadata: Mapping[str, Any] | None = None) -> None:
    """Write `model` to `path`, beside it first and then renamed.

    The header (first line, JSON) holds format and package version, the registered name
    of the model's factory, its config, the x64 flag, the mode of every `Relaxation`, a
    digest of the structure and `metadata`; then come the leaves. No pickle.

    **Arguments:**

    - `path`: the file, replaced if it exists.
    - `model`: of a class registered by `diffbio_eqx.register`; all pipelines are.
    - `metadata`: JSON values of the caller's: vocabularies, gene names, split hash.

    **Raises:** `ValueError` if the class has no factory, if config or metadata are no
    JSON, or if the model's structure is not what its factory builds.
    """
    factory = factory_of(model)
    config = _json(factory.config(model), f"config of {factory.name!r}")
    by_path = modes(model)
    _check_structure(model, _skeleton(factory, config), factory.name)
    header = {
        "kind": KIND,
        "package_version": __version__,
        "factory": factory.name,
        "module": factory.cls.__module__,
        "config": config,
        "x64": _x64(),
        "modes": by_path,
        "structure": _leaves.digest_of(model),
        "plain": _leaves.plain_of(model),
        "metadata": _json(dict(metadata or {}), "metadata"),
    }
    _container.write(path, header, _leaves.arrays_of(model))


def load(path: Path) -> PyTree:
    """The model that `save` wrote, modes included.

    Nothing in the file is imported or evaluated: the factory is looked up by name among
    those that are registered, and called with the config.

    **Raises:** `ValueError` naming the file if it is damaged or no model, if its
    factory is not registered (naming the module to import), if the factory now builds
    another structure, or if the dtype would change (naming the x64 setting).
    """
    header, arrays = _container.read(path)
    _check_kind(path, header)
    factory = factory_named(header["factory"], header["module"])
    require(
        header["x64"] == _x64(),
        f"x64 mode for loading {path}",
        expected=header["x64"],
        got=_x64(),
        hint=f"load it inside `with jax.enable_x64({header['x64']}):`",
    )
    skeleton = _skeleton(factory, header["config"])
    require(
        _leaves.digest_of(skeleton) == header["structure"],
        f"structure of {path}",
        expected=f"what the factory {factory.name!r} builds",
        got="another one",
        hint=f"it was written by diffbio_eqx {header['package_version']}",
    )
    model = _leaves.fill(skeleton, arrays, header["plain"], f"file {path}")
    return set_modes(model, header["modes"])


def load_metadata(path: Path) -> dict[str, Any]:
    """The metadata given to `save`; reads the header alone. Raises as `load`."""
    header = _container.read_header(path)
    _check_kind(path, header)
    return header["metadata"]


def _check_kind(path: Path, header: dict[str, Any]) -> None:
    require(
        header.get("kind") == KIND,
        f"file {path}",
        expected="a saved model",
        got=f"a {header.get('kind')} checkpoint",
        hint="a checkpoint of a run is read by fit(..., checkpoint=path)",
    )


def _skeleton(factory: Factory, config: dict[str, Any]) -> PyTree:
    """What the factory builds, with shapes in place of arrays: nothing is computed."""
    return eqx.filter_eval_shape(lambda: factory(config))


def _check_structure(model: PyTree, skeleton: PyTree, name: str) -> None:
    hint = (
        "after surgery on a model register a class and factory that build the new "
        "structure"
    )
    what = f"structure of the model to save as {name!r}"
    expected = "what its factory builds"
    if modes(skeleton).keys() == modes(model).keys():
        skeleton = set_modes(skeleton, modes(model))
    got, want = (jax.tree_util.tree_flatten_with_path(t) for t in (model, skeleton))
    if got[1] != want[1]:
        fail(what, expected=expected, got=_first_difference(got[0], want[0]), hint=hint)
    for (path, leaf), (_, like) in zip(got[0], want[0], strict=True):
        where = jax.tree_util.keystr(path)
        if _leaves.is_array_like(leaf) != _leaves.is_array_like(like):
            kinds = f"{type(leaf).__name__} at {where}"
            fail(what, expected=expected, got=kinds, hint=hint)
        if not _leaves.is_array_like(leaf):
            plain = where in _leaves.plain_of(model)
            if not plain and leaf is not like and leaf != like:
                fail(what, expected=expected, got=f"{leaf!r} at {where}", hint=hint)
        elif leaf.shape != like.shape:
            got_shape = f"shape {leaf.shape} instead of {like.shape} at {where}"
            fail(what, expected=expected, got=got_shape, hint=hint)
        elif leaf.dtype != like.dtype:
            fail(
                what,
                expected=f"dtype {like.dtype} at {where}",
                got=str(leaf.dtype),
                hint="save under the jax.enable_x64 setting that made the model",
            )


def _first_difference(got: list[Any], want: list[Any]) -> str:
    paths = [{jax.tree_util.keystr(path) for path, _ in side} for side in (got, want)]
    odd = sorted(paths[0] ^ paths[1])
    return f"a difference at {odd[0]}" if odd else "a difference in a static field"


def _x64() -> bool:
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


def _json(value: Any, what: str) -> Any:
    """`value` as it comes back from JSON."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        fail(
            what,
            expected="JSON values (text, finite numbers, lists, dicts)",
            got=str(error),
            hint="convert arrays with .tolist()",
        )
