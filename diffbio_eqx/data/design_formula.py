"""A design from an R formula and a table of samples."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffbio_eqx._checks import fail
from diffbio_eqx.data.contrasts import describe, resolve_contrast
from diffbio_eqx.data.design import Design
from diffbio_eqx.data.model_matrix import Column, ModelMatrix, model_matrix
from diffbio_eqx.data.sample_table import Factor, SampleTable


@dataclasses.dataclass(frozen=True)
class DesignInfo:
    """Names of a `Design`, which holds only arrays.

    - `coefficient_names`: as DESeq2's `resultsNames`; `reduced_names`: of the reduced
      design, empty without one.
    - `contrast_name`: what is tested, such as `dex trt vs untrt`. `coefficient`: the
      index of the coefficient that the contrast is, or None.
    - `reference_levels`: of each factor. `variables`: columns that the formula reads.
    - `interactions`: whether a term has several variables.
    - `notes`: what a user should know, one sentence each.
    """

    formula: str
    coefficient_names: tuple[str, ...]
    contrast_name: str
    coefficient: int | None
    reference_levels: dict[str, str]
    variables: tuple[str, ...]
    reduced_formula: str | None = None
    reduced_names: tuple[str, ...] = ()
    interactions: bool = False
    notes: tuple[str, ...] = ()


def design_from_formula(
    samples: Any,
    formula: str,
    contrast: Any = None,
    *,
    reduced: str | None = None,
    reference_levels: Mapping[str, str] | None = None,
) -> tuple[Design, DesignInfo]:
    """The design matrix of an R formula, as R and DESeq2 make it.

    **Arguments:**

    - `samples`: a `SampleTable`, a pandas frame or a mapping of columns.
    - `formula`: such as `"~ batch + condition"`. Interactions (`a:b`, `a*b`, `a/b`),
      `~ 0 + x`, numbers, `factor(x)`, and arithmetic with log, log2, log10, log1p,
      exp, sqrt, abs, center, scale and I are understood. Columns of numbers stay
      numbers, as in R, also where they are only 0 and 1.
    - `contrast`: `(factor, numerator, denominator)`, the name of a coefficient, a
      number for each coefficient, or None for the last one.
    - `reduced`: the smaller formula of a likelihood ratio test.
    - `reference_levels`: the reference level of a factor, by its name; the first in
      the order of R's `factor()` unless given.

    **Returns:** the `Design`, and its names as a `DesignInfo`.

    **Raises:** `ValueError` for what cannot be fitted: missing values (names sample and
    column), combinations of columns (names the aliased ones), as many coefficients as
    samples, a reduced formula that is not part of the full one.

    **Warns:** where one sample alone decides a coefficient (no replicate), and where a
    level has no samples.

    ```python
    table = {"dex": ["untrt", "trt"] * 3, "cell": ["a", "a", "b", "b", "c", "c"]}
    design, info = design_from_formula(table, "~ cell + dex", ("dex", "trt", "untrt"),
                                       reference_levels={"dex": "untrt"})
    assert info.coefficient_names[-1] == "dex_trt_vs_untrt"
    ```
    """
    table = SampleTable.of(samples)
    references = {str(k): str(v) for k, v in (reference_levels or {}).items()}
    model = model_matrix(table, formula, references)
    unused = [name for name in references if name not in model.variables]
    if unused:
        fail(
            "reference levels",
            expected=f"columns of the design ({', '.join(model.variables) or 'none'})",
            got=repr(unused[0]),
        )
    _warn_of_empty_levels(table, model)
    _require_rank("design", model)
    count, coefs = model.matrix.shape
    if count <= coefs:
        fail(
            "design",
            expected="more samples than coefficients, to estimate the dispersion",
            got=f"{count} samples and {coefs} coefficients ({', '.join(model.names)})",
            hint="add replicates, or leave terms out of the design",
        )
    _warn_of_single_samples(table, model)
    tested = resolve_contrast(model, contrast)
    smaller = None if reduced is None else _reduced(table, reduced, model, references)
    design = Design.from_arrays(
        model.matrix,
        tested.vector,
        contrast_samples=tested.samples,
        reduced=None if smaller is None else smaller.matrix,
    )
    info = DesignInfo(
        formula,
        model.names,
        tested.name,
        tested.coefficient,
        {name: x.levels[0] for name, x in model.factors.items()},
        model.variables,
        reduced,
        () if smaller is None else smaller.names,
        model.interactions,
        tuple(_notes(table, model, references)),
    )
    return design, info


def _warn_of_empty_levels(table: SampleTable, model: ModelMatrix) -> None:
    for name in model.variables:
        column = table.columns[name]
        if not isinstance(column, Factor):
            continue
        empty = [x for x in column.levels if x not in column.used().levels]
        if empty:
            warnings.warn(
                f"column {name!r}: no sample has the level {', '.join(empty)}; left "
                "out of the design",
                stacklevel=3,
            )


def _require_rank(what: str, model: ModelMatrix) -> None:
    """Each column must say what those before it do not."""
    kept: list[int] = []
    told: list[str] = []
    matrix = model.matrix
    size = np.maximum(np.linalg.norm(matrix, axis=0), 1e-300)
    scaled = matrix / size
    for i, column in enumerate(model.columns):
        if not matrix[:, i].any():
            told.append(f"{column.name} is 0: no sample has {describe(column)}")
            continue
        before = scaled[:, kept]
        weights = np.linalg.lstsq(before, scaled[:, i], rcond=None)[0]
        if np.linalg.norm(scaled[:, i] - before @ weights) > 1e-8:
            kept.append(i)
            continue
        told.append(_alias(model.columns, i, [kept[j] for j in _parts(weights)]))
    if told:
        more = f" (and {len(told) - 3} more)" if len(told) > 3 else ""
        fail(
            what,
            expected=f"columns that are no combinations of each other in "
            f"{model.formula!r}",
            got="; ".join(told[:3]) + more,
            hint="leave one of the terms out",
        )


def _parts(weights: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.abs(weights) > 1e-8)


def _alias(columns: tuple[Column, ...], i: int, others: list[int]) -> str:
    names = [columns[j].name for j in others]
    if names == ["Intercept"]:
        return f"{columns[i].name} is the same in every sample"
    return f"{columns[i].name} is a combination of {' and '.join(names)}"


def _warn_of_single_samples(table: SampleTable, model: ModelMatrix) -> None:
    """Samples that are fitted exactly tell nothing of the dispersion."""
    basis = np.linalg.qr(model.matrix)[0]
    alone = np.flatnonzero((basis**2).sum(1) > 1 - 1e-8)
    if not len(alone):
        return
    cells = []
    for i in alone[:3]:
        used = [
            f"{name} {x.levels[x.codes[i]]}"
            for name, x in model.factors.items()
            if (x.codes == x.codes[i]).sum() == 1
        ]
        where = f" (the only one with {', '.join(used)})" if used else ""
        cells.append(f"{table.names[i]}{where}")
    more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
    warnings.warn(
        f"no replicates: sample {', '.join(cells)}{more} decides a coefficient alone; "
        "the dispersion comes from the other samples",
        stacklevel=3,
    )


def _reduced(table, formula, model: ModelMatrix, references) -> ModelMatrix:
    smaller = model_matrix(table, formula, references)
    strange = [name for name in smaller.variables if name not in model.variables]
    if strange:
        fail(
            "reduced design",
            expected=f"variables of {model.formula!r}",
            got=f"{strange[0]!r} in {formula!r}",
        )
    _require_rank("reduced design", smaller)
    fit = model.matrix @ np.linalg.lstsq(model.matrix, smaller.matrix, rcond=None)[0]
    size = np.abs(smaller.matrix).max(0)
    nested = (np.abs(fit - smaller.matrix) <= 1e-8 * np.maximum(size, 1.0)).all()
    if not nested or len(smaller.columns) >= len(model.columns):
        fail(
            "reduced design",
            expected=f"a part of {model.formula!r}",
            got=f"{formula!r}, which is not smaller"
            if nested
            else f"{formula!r}, which is not nested in it",
            hint="leave terms out of the full formula",
        )
    return smaller


def _notes(table: SampleTable, model: ModelMatrix, references):
    for name in model.variables:
        if name in model.factors:
            levels = model.factors[name].levels
            control = [x for x in levels[1:] if x.lower() == "control"]
            if control and name not in references:
                yield (
                    f"{name}: {levels[0]!r} is the reference level though there is "
                    f"{control[0]!r}; the first in alphabetical order is taken"
                )
            elif min(levels) != levels[0] and name not in references:
                yield (
                    f"{name}: {levels[0]!r} is the reference level, as in R in most "
                    f"languages; in R's C locale it would be {min(levels)!r}"
                )
            continue
        column = table.columns[name]
        if isinstance(column, Factor):
            continue
        if (column == np.round(column)).all():
            yield (
                f"{name} holds numbers and is a number in the design (a fold change "
                f"per unit); for a group each write factor({name})"
            )
        elif abs(column.mean()) > 5 or column.std(ddof=1) > 5:
            yield (
                f"{name} has a mean or standard deviation above 5; scale({name}) in "
                "the design makes the fit easier"
            )
