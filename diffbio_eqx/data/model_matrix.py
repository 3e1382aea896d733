"""The design matrix of a formula, with the columns and names that R gives it."""

import ast
import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from diffbio_eqx._checks import fail, require_extra
from diffbio_eqx.data.sample_table import Factor, SampleTable

_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "I": lambda x: x,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "center": lambda x: x - x.mean(),
    "scale": lambda x: (x - x.mean()) / x.std(ddof=1),
}
_AS_FACTOR = ("factor", "as.factor", "C")
_OPERATORS = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.BitXor: np.power,  # R's ^
}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a design matrix.

    `name` is DESeq2's (`dex_trt_vs_untrt`), `raw` that of R's `model.matrix`
    (`dextrt`). `variables` are those of its term, `levels` the level of each factor.
    """

    name: str
    raw: str
    variables: tuple[str, ...]
    levels: dict[str, str]
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class ModelMatrix:
    """The columns of a formula, the factors it uses, and the columns it reads."""

    formula: str
    columns: tuple[Column, ...]
    factors: dict[str, Factor]
    variables: tuple[str, ...]
    intercept: bool
    interactions: bool

    @property
    def matrix(self) -> np.ndarray:
        """X (samples, coefs)."""
        return np.stack([column.values for column in self.columns], axis=1)

    @property
    def names(self) -> tuple[str, ...]:
        """DESeq2's name of each coefficient."""
        return tuple(column.name for column in self.columns)


def model_matrix(
    samples: SampleTable, formula: str, references: Mapping[str, str]
) -> ModelMatrix:
    """The design matrix of an R formula, as `model.matrix` makes it.

    A factor is coded by contrasts to its first level if the rest of its term is empty
    or part of an earlier term, and else by all its levels; without an intercept the
    first factor has all levels. Levels are those present in the samples.

    **Raises:** `ValueError` for a formula that cannot be read, columns that are not in
    the table, and missing values (with the sample and the column).
    """
    terms, intercept = _terms(formula)
    variables: dict[str, np.ndarray | Factor] = {}
    labels: dict[str, str] = {}
    read: list[str] = []
    for name in dict.fromkeys(itertools.chain.from_iterable(terms)):
        variables[name], labels[name] = _variable(name, samples, references, read)
    rank = {name: i for i, name in enumerate(variables)}
    terms = [tuple(sorted(term, key=rank.__getitem__)) for term in terms]
    terms = sorted(dict.fromkeys(terms), key=len)
    columns = []
    if intercept:
        ones = np.ones(len(samples.names))
        columns.append(Column("Intercept", "(Intercept)", (), {}, ones))
    whole = None if intercept else _first_factor(terms, variables)
    for number, term in enumerate(terms):
        coded = [_coding(name, number, terms, variables, whole) for name in term]
        columns += _products(term, coded, labels)
        if intercept and len(term) == 1 and isinstance(variables[term[0]], Factor):
            base = variables[term[0]].levels[0]
            new = len(coded[0])
            columns[-new:] = [_against(column, base) for column in columns[-new:]]
    if not columns:
        fail("design", expected="a term", got=repr(formula), hint="'~ 1' has one")
    factors = {
        labels[name]: x for name, x in variables.items() if isinstance(x, Factor)
    }
    several = any(len(term) > 1 for term in terms)
    used = tuple(dict.fromkeys(read))
    return ModelMatrix(formula, tuple(columns), factors, used, intercept, several)


def _terms(formula: str) -> tuple[list[tuple[str, ...]], bool]:
    """The terms of a formula in the order written, and whether it has an intercept."""
    formulaic = require_extra("formulaic", "formula")
    wrong = lambda got, hint="": fail(
        "design",
        expected="an R formula such as '~ batch + condition'",
        got=got,
        hint=hint,
    )
    if not formula.strip().removeprefix("~").strip():
        wrong(f"{formula!r}, without a term")
    try:
        parsed = formulaic.Formula(formula, _ordering="none")
        if hasattr(parsed, "rhs"):
            wrong(f"{formula!r}, with a left side", "counts are always on the left")
        found = [
            [(f.expr, f.eval_method.name) for f in term.factors] for term in parsed
        ]
    except formulaic.errors.FormulaicError as error:
        wrong(repr(formula), _plain(error))
    except AttributeError:  # formulas of several parts, such as those with |
        wrong(repr(formula))
    terms, intercept = [], False
    for factors in found:
        if factors == [("1", "LITERAL")]:
            intercept = True
        elif any(kind == "LITERAL" for _, kind in factors):
            wrong(f"a number in {formula!r}", "use I(2 * x) to scale a column")
        else:
            terms.append(tuple(name for name, _ in factors))
    return terms, intercept


def _plain(error: Exception) -> str:
    """The first line of formulaic's message without its colours."""
    text = re.sub(r"⧛.*?m|⧚|\x1b\[[\d;]*m", "", str(error))
    return text.split("\n")[0].strip().rstrip(".")


def _variable(name, samples, references, read):
    """The values of one variable of a formula, and what its coefficients are called."""
    if name in samples.columns:
        return _read(name, samples, references, read), name
    try:
        tree = ast.parse(name.replace("as.factor", "factor"), mode="eval").body
    except SyntaxError:
        tree = None
    call = isinstance(tree, ast.Call) and len(tree.args) == 1 and not tree.keywords
    if call and _dotted(tree.func) in _AS_FACTOR:
        inner = _dotted(tree.args[0])
        if inner is not None:
            return _read(inner, samples, references, read, factor=True), inner
    if tree is None or _dotted(tree) is not None:
        raise _unknown(name, samples)
    values = _evaluate(tree, name, samples, references, read)
    if not np.isfinite(values).all():
        sample = samples.names[int(np.argmin(np.isfinite(values)))]
        fail(
            f"design, {name!r}", expected="finite numbers", got=f"others in {sample!r}"
        )
    return values, re.sub(r"\s*(\^|\*\*)\s*", "^", name)


def _unknown(name, samples):
    known = ", ".join(samples.columns) or "none"
    return ValueError(
        f"design: expected columns of the sample table ({known}), got {name!r}."
    )


def _read(name, samples, references, read, *, factor=False):
    if name not in samples.columns:
        raise _unknown(name, samples)
    column = samples.columns[name]
    read.append(name)
    factor_now = isinstance(column, Factor)
    gone = column.codes < 0 if factor_now else ~np.isfinite(column)
    if gone.any():
        sample = samples.names[int(np.argmax(gone))]
        fail(
            f"column {name!r} of the sample table",
            expected="a value for every sample, since the design uses it",
            got=f"none for {int(gone.sum())}, the first {sample!r}",
            hint="fill it in, or leave these samples out of both tables",
        )
    if factor and not factor_now:
        # The levels of numbers are sorted as numbers, as R does.
        numbers, codes = np.unique(column, return_inverse=True)
        column = Factor(codes.astype(int), tuple(f"{x:.15g}" for x in numbers))
    if not isinstance(column, Factor):
        if name in references:
            fail(
                f"reference of {name!r}",
                expected="a column of levels",
                got="a column of numbers",
                hint=f"write factor({name}) in the design",
            )
        return column
    column = column.used()
    if name in references:
        level = references[name]
        if level not in column.levels:
            fail(
                f"reference of {name!r}",
                expected=f"one of its levels {', '.join(column.levels)}",
                got=repr(level),
            )
        column = column.relevel(level)
    if len(column.levels) == 1:
        fail(
            f"column {name!r} of the sample table",
            expected="at least two levels, since the design uses it",
            got=f"{column.levels[0]!r} in every sample",
            hint="leave it out of the design",
        )
    return column


def _dotted(tree: ast.AST) -> str | None:
    """The name that a tree is (R's names may have dots), or None."""
    if isinstance(tree, ast.Name):
        return tree.id
    if isinstance(tree, ast.Attribute):
        head = _dotted(tree.value)
        return None if head is None else f"{head}.{tree.attr}"
    return None


def _evaluate(tree: ast.AST, text: str, samples, references, read) -> Any:
    """The value of arithmetic on columns; nothing else is understood."""
    deeper = lambda part: _evaluate(part, text, samples, references, read)
    name = _dotted(tree)
    if name is not None:
        values = _read(name, samples, references, read)
        if not isinstance(values, Factor):
            return values
        fail(f"design, {text!r}", expected="numbers", got=f"levels in {name!r}")
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int | float):
        return float(tree.value)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -deeper(tree.operand)
    if isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATORS:
        with np.errstate(all="ignore"):
            return _OPERATORS[type(tree.op)](deeper(tree.left), deeper(tree.right))
    if isinstance(tree, ast.Call) and len(tree.args) == 1 and not tree.keywords:
        function = _FUNCTIONS.get(_dotted(tree.func) or "")
        if function is not None:
            with np.errstate(all="ignore"):
                return function(np.asarray(deeper(tree.args[0])))
    fail(
        "design",
        expected=f"columns, arithmetic, {', '.join(_FUNCTIONS)} and factor()",
        got=repr(text),
        hint="add other transformations to the sample table as columns",
    )


def _first_factor(terms, variables):
    for number, term in enumerate(terms):
        for name in term:
            if isinstance(variables[name], Factor):
                return number, name
    return None


def _coding(name, number, terms, variables, whole):
    """The columns of one variable in term `number`: (label suffix, level, values)."""
    x = variables[name]
    if not isinstance(x, Factor):
        return [("", None, x)]
    rest = set(terms[number]) - {name}
    by_contrasts = not rest or any(rest <= set(term) for term in terms[:number])
    if whole == (number, name):
        by_contrasts = False
    levels = range(int(by_contrasts), len(x.levels))
    return [(x.levels[i], x.levels[i], (x.codes == i).astype(float)) for i in levels]


def _against(column: Column, base: str) -> Column:
    """A factor's column under the name that DESeq2 gives it."""
    ((label, level),) = column.levels.items()
    name = make_name(f"{label}_{level}_vs_{base}")
    return dataclasses.replace(column, name=name)


def _products(term, coded, labels):
    """The columns of a term: products over its variables, the first one fastest."""
    columns = []
    for chosen in itertools.product(*reversed(coded)):
        chosen = chosen[::-1]
        pairs = list(zip(term, chosen, strict=True))
        raw = ":".join(labels[name] + suffix for name, (suffix, _, _) in pairs)
        levels = {labels[name]: level for name, (_, level, _) in pairs if level}
        values = np.prod([values for _, _, values in chosen], axis=0)
        names = tuple(labels[name] for name in term)
        columns.append(Column(make_name(raw), raw, names, levels, values))
    return columns


def make_name(text: str) -> str:
    """R's `make.names`: letters, digits, dots and underscores; others become dots."""
    name = "".join(c if c.isalnum() or c in "._" else "." for c in text)
    if not re.match(r"([^\W\d_]|\.(?!\d))", name):
        name = "X" + name
    return name
