"""Names under which checkpoints find the function that rebuilds a model."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax

from diffbio_eqx._checks import fail, require


@dataclasses.dataclass(frozen=True)
class Factory:
    """How a class of models is rebuilt: `build(**config)`."""

    name: str
    cls: type
    build: Callable[..., Any]
    config: Callable[[Any], dict[str, Any]]

    def __call__(self, config: dict[str, Any]) -> Any:
        """Build from JSON values: lists become tuples, a missing `key` is key 0."""
        arguments = {name: _tuples(value) for name, value in config.items()}
        key = inspect.signature(self.build).parameters.get("key")
        if key is not None and key.default is inspect.Parameter.empty:
            arguments.setdefault("key", jax.random.key(0))
        return self.build(**arguments)


_BY_NAME: dict[str, Factory] = {}


def register(
    name: str,
    cls: type,
    factory: Callable[..., Any] | None = None,
    *,
    config: Callable[[Any], dict[str, Any]] | None = None,
) -> None:
    """Let models of class `cls` be saved and loaded under `name`.

    **Arguments:**

    - `name`: what the checkpoint says; keep it for as long as files should load.
    - `cls`: the class of the model itself (not a base class).
    - `factory`: `factory(**config)` builds a model of the same structure. Without it
        the class is its own factory. A required argument `key` is given key 0.
    - `config`: `config(model)` returns the factory's arguments as a dict of JSON
        values. Without it they are the fields of the dataclass `model.config`. Tuples
        are stored as lists and come back as tuples.

    One line makes any module saveable:

    ```python
    dbx.register("gate", Gate, lambda size: Gate(size), config=lambda m: {"size": m.n})
    ```

    **Raises:** `ValueError` if `cls` is no class, or if the name or the class is
    already registered for something else.
    """
    require(
        isinstance(cls, type),
        f"class registered as {name!r}",
        expected="a class",
        got=repr(cls),
        hint="call register(name, cls, factory)",
    )
    entry = Factory(name, cls, factory or cls, config or _dataclass_config)
    for old in _BY_NAME.values():
        clash = (old.name == name) != (_full_name(old.cls) == _full_name(cls))
        if clash:
            fail(
                f"registration of {_full_name(cls)} as {name!r}",
                expected="a new name for a new class",
                got=f"{_full_name(old.cls)} already registered as {old.name!r}",
                hint="choose another name",
            )
    _BY_NAME[name] = entry


def factory_of(model: Any) -> Factory:
    """The factory registered for the class of `model`."""
    for entry in _BY_NAME.values():
        if type(model) is entry.cls:
            return entry
    fail(
        "model to save",
        expected="a class with a registered factory",
        got=_full_name(type(model)),
        hint="call diffbio_eqx.register(name, cls, factory, config=...) once",
    )


def factory_named(name: str, module: str) -> Factory:
    """The factory registered as `name`, by the module called `module`."""
    if name not in _BY_NAME:
        known = ", ".join(sorted(_BY_NAME)) or "none"
        fail(
            f"factory {name!r}",
            expected=f"a registered name (now: {known})",
            got="an unknown one",
            hint=f"import the module that registers it, {module}, before loading",
        )
    return _BY_NAME[name]


def _dataclass_config(model: Any) -> dict[str, Any]:
    config = getattr(model, "config", None)
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        fail(
            f"config of {_full_name(type(model))}",
            expected="a dataclass in the field `config`",
            got=repr(config),
            hint="register the class with config=lambda model: {...}",
        )
    return dataclasses.asdict(config)


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return value
