"""Errors in one wording: what, what was expected, what came, what to do next."""

import importlib
from collections.abc import Collection
from types import ModuleType
from typing import Any, NoReturn

import jax
import numpy as np


def fail(what: str, *, expected: Any, got: Any, hint: str = "") -> NoReturn:
    """Raise `ValueError("what: expected ..., got ...; hint.")`."""
    tail = f"; {hint}" if hint else ""
    raise ValueError(f"{what}: expected {expected}, got {got}{tail}.")


def require(
    condition: Any, what: str, *, expected: Any, got: Any, hint: str = ""
) -> None:
    """`fail` unless `condition` holds. The condition is a concrete Python value."""
    if not condition:
        fail(what, expected=expected, got=got, hint=hint)


def require_choice(what: str, value: Any, choices: Collection[Any]) -> None:
    """`fail` unless `value` is one of `choices`."""
    if value not in choices:
        fail(what, expected=f"one of {', '.join(map(repr, choices))}", got=repr(value))


def require_shape(
    what: str, shape: tuple[int, ...], expected: tuple[Any, ...], hint: str = ""
) -> None:
    """`fail` unless `shape` fits `expected`, where a name stands for any length."""
    shape = tuple(shape)
    fits = len(shape) == len(expected) and all(
        isinstance(want, str) or size == want
        for size, want in zip(shape, expected, strict=True)
    )
    if not fits:
        names = ", ".join(str(want) for want in expected)
        fail(what, expected=f"shape ({names})", got=shape, hint=hint)


def require_range(
    what: str,
    value: Any,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
    hint: str = "",
) -> None:
    """`fail` unless every entry of `value` is finite and in the interval.

    A traced array has no value to look at and passes.
    """
    array = concrete(value)
    if array is None:
        return
    above = array > low if open_low else array >= low
    below = array < high if open_high else array <= high
    bad = ~(np.isfinite(array) & above & below)
    if bad.any():
        left = "(" if open_low or np.isinf(low) else "["
        right = ")" if open_high or np.isinf(high) else "]"
        expected = f"finite numbers in {left}{low:g}, {high:g}{right}"
        fail(what, expected=expected, got=f"{array[bad].flat[0]:g}", hint=hint)


def concrete(value: Any) -> np.ndarray | None:
    """`value` as a float64 NumPy array, or None while it is being traced."""
    if isinstance(value, jax.core.Tracer):
        return None
    return np.asarray(value, dtype=np.float64)


def require_extra(module: str, extra: str) -> ModuleType:
    """Import and return `module`, which the extra `extra` of the package brings.

    Raises `ImportError` with the pip line when it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ImportError(
            f"this needs {name}, which is not installed: "
            f"pip install 'diffbio-eqx[{extra}]'"
        ) from error
