"""What is tested, as a vector over the coefficients of a design."""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffbio_eqx._checks import fail
from diffbio_eqx.data.model_matrix import Column, ModelMatrix


@dataclasses.dataclass(frozen=True)
class Contrast:
    """`vector` (coefs,), the `samples` (samples,) it compares, and what it is called.

    `coefficient` is the index of the coefficient that it is, if it is one. Where all
    `samples` of a gene are zero, DESeq2 sets the effect to 0 and the p-value to 1.
    """

    vector: np.ndarray
    samples: np.ndarray
    name: str
    coefficient: int | None


def resolve_contrast(model: ModelMatrix, contrast: Any = None) -> Contrast:
    """The contrast that a user names.

    - `("dex", "trt", "untrt")` or `"dex,trt,untrt"`: two levels of a factor. Compared
      are the samples of these levels.
    - the name of a coefficient (DESeq2's, or R's as `dextrt`): every sample.
    - a number for each coefficient: every sample if no two of them differ in sign,
      else those whose entries in the contrasted columns do not sum to 0, as in DESeq2.
    - None: the last coefficient; without intercept and interactions the last against
      the first level of the last factor, as in DESeq2.

    **Raises:** `ValueError`, with the names and levels that there are.
    """
    if isinstance(contrast, str):
        contrast = [part.strip() for part in contrast.split(",")]
    if contrast is None:
        contrast = _default(model)
    elif not isinstance(contrast, list | tuple | np.ndarray):
        contrast = [contrast]
    parts = list(contrast)
    numbers = _numbers(parts)
    if numbers is not None and not (len(parts) == 1 and len(model.columns) > 1):
        return _numeric(model, numbers)
    if len(parts) == 1:
        return _coefficient(model, str(parts[0]))
    if len(parts) == 3:
        return _levels(model, *(str(part) for part in parts))
    fail(
        "contrast",
        expected="factor,numerator,denominator, the name of a coefficient, or "
        f"{len(model.columns)} numbers",
        got=",".join(str(part) for part in parts),
        hint=_names(model),
    )


def _default(model: ModelMatrix) -> Sequence[Any]:
    last = model.variables[-1] if model.variables else None
    if not model.intercept and not model.interactions and last in model.factors:
        levels = model.factors[last].levels
        return [last, levels[-1], levels[0]]
    return [model.columns[-1].name]


def _numbers(parts: Sequence[Any]) -> np.ndarray | None:
    try:
        return np.array([float(part) for part in parts])
    except (TypeError, ValueError):
        return None


def _names(model: ModelMatrix) -> str:
    return f"the coefficients are {', '.join(model.names)}"


def _numeric(model: ModelMatrix, vector: np.ndarray) -> Contrast:
    if len(vector) != len(model.columns):
        fail(
            "contrast",
            expected=f"{len(model.columns)} numbers, one for each coefficient",
            got=len(vector),
            hint=_names(model),
        )
    if not np.isfinite(vector).all() or not vector.any():
        fail("contrast", expected="finite numbers, not all 0", got=vector.tolist())
    compared = np.ones(len(model.matrix), bool)
    if (vector > 0).any() and (vector < 0).any():
        compared = model.matrix @ (vector != 0) != 0
    single = np.flatnonzero(vector)
    one = len(single) == 1 and vector[single[0]] == 1
    name = ",".join(f"{x:+g}" if x else "0" for x in vector)
    return Contrast(vector, compared, name, int(single[0]) if one else None)


def _coefficient(model: ModelMatrix, name: str) -> Contrast:
    by_name = [i for i, c in enumerate(model.columns) if c.name == name]
    by_raw = [i for i, c in enumerate(model.columns) if c.raw == name]
    found = by_name or by_raw
    if len(found) != 1:
        known = [*model.names, *(column.raw for column in model.columns)]
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]!r}? " if close and not found else ""
        several = "a name that one coefficient has" if found else "a coefficient"
        fail("contrast", expected=several, got=repr(name), hint=meant + _names(model))
    vector = np.eye(len(model.columns))[found[0]]
    every = np.ones(len(model.matrix), bool)
    label = model.columns[found[0]].name.replace("_", " ")
    return Contrast(vector, every, label, found[0])


def _levels(model: ModelMatrix, factor: str, above: str, below: str) -> Contrast:
    if factor not in model.factors:
        numeric = factor in model.variables
        fail(
            "contrast",
            expected="a factor of the design "
            f"({', '.join(model.factors) or 'it has none'})",
            got=f"{factor!r}, a column of numbers" if numeric else repr(factor),
            hint=f"write factor({factor}) in the design" if numeric else "",
        )
    x = model.factors[factor]
    for level in (above, below):
        if level not in x.levels:
            fail(
                f"contrast, {factor!r}",
                expected=f"one of its levels {', '.join(x.levels)}",
                got=repr(level),
            )
    if above == below:
        fail("contrast", expected="two different levels", got=f"{above!r} twice")
    vector = np.zeros(len(model.columns))
    columns = {
        column.levels[factor]: i
        for i, column in enumerate(model.columns)
        if column.variables == (factor,)
    }
    if not columns:
        fail(
            "contrast",
            expected=f"{factor!r} as a term of its own in the design",
            got=repr(model.formula),
            hint=f"give numbers or one name; {_names(model)}",
        )
    # Without a column of its own a level is the one that others are measured from.
    if above in columns:
        vector[columns[above]] = 1.0
    if below in columns:
        vector[columns[below]] -= 1.0
    compared = np.isin(x.codes, [x.levels.index(above), x.levels.index(below)])
    single = np.flatnonzero(vector)
    one = len(single) == 1 and vector[single[0]] == 1
    name = f"{factor} {above} vs {below}"
    return Contrast(vector, compared, name, int(single[0]) if one else None)


def describe(column: Column) -> str:
    """A coefficient in the words of the sample table."""
    if not column.variables:
        return "the intercept"
    return " and ".join(
        f"{name} {column.levels[name]}" if name in column.levels else name
        for name in column.variables
    )
