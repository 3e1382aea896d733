"""What is known of each sample: numbers, and factors with their levels."""

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from diffbio_eqx._checks import fail, require

MISSING = frozenset({"", "NA", "NaN", "nan", "<NA>"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Before digits and letters, as the collation that R sorts by has them.
_SIGNS = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"


@dataclasses.dataclass(frozen=True)
class Factor:
    """A column of levels: `codes` (samples,) into `levels`, -1 for a missing value."""

    codes: np.ndarray
    levels: tuple[str, ...]

    @staticmethod
    def of(values: Iterable[Any]) -> "Factor":
        """Levels in the order that R's `factor()` gives them; None is missing."""
        texts = [None if _is_missing(value) else str(value) for value in values]
        levels = tuple(sorted({x for x in texts if x is not None}, key=_collation))
        place = {level: i for i, level in enumerate(levels)} | {None: -1}
        return Factor(np.array([place[x] for x in texts], int), levels)

    def take(self, order: Sequence[int] | np.ndarray) -> "Factor":
        """The same levels at these samples."""
        return Factor(self.codes[np.asarray(order, int)], self.levels)

    def used(self) -> "Factor":
        """Without levels that no sample has."""
        kept = [i for i in range(len(self.levels)) if (self.codes == i).any()]
        place = np.full(len(self.levels) + 1, -1)
        place[kept] = np.arange(len(kept))
        return Factor(place[self.codes], tuple(self.levels[i] for i in kept))

    def relevel(self, reference: str) -> "Factor":
        """With `reference` as the first level."""
        first = self.levels.index(reference)
        order = [first, *(i for i in range(len(self.levels)) if i != first)]
        place = np.full(len(self.levels) + 1, -1)
        place[order] = np.arange(len(order))
        return Factor(place[self.codes], tuple(self.levels[i] for i in order))

    def texts(self) -> list[str | None]:
        """The level of each sample."""
        return [None if code < 0 else self.levels[code] for code in self.codes]


@dataclasses.dataclass(frozen=True)
class SampleTable:
    """Samples with their columns: float64 arrays (NaN is missing) or `Factor`s.

    ```python
    table = SampleTable.from_columns(["s1", "s2"], {"dex": ["trt", "untrt"]})
    assert table.columns["dex"].levels == ("trt", "untrt")
    ```
    """

    names: tuple[str, ...]
    columns: dict[str, np.ndarray | Factor]

    @staticmethod
    def from_columns(names: Iterable[Any], columns: Mapping[str, Any]) -> "SampleTable":
        """A table from a sequence of values for each column.

        Numbers stay numbers, also where they are written as text; a text is missing
        when it is empty, NA or NaN. Categories (of pandas) keep their order of levels.
        Other text is a `Factor`, its levels in the order of R's `factor()`.

        **Raises:** `ValueError` for columns of another length, and names that repeat.
        """
        names = tuple(str(name) for name in names)
        repeated = [name for name, n in Counter(names).items() if n > 1]
        if repeated:
            fail("sample names", expected="each once", got=f"{repeated[0]!r} again")
        made: dict[str, np.ndarray | Factor] = {}
        for name, values in columns.items():
            require(
                len(values) == len(names),
                f"column {name!r}",
                expected=f"{len(names)} values, one for each sample",
                got=len(values),
            )
            made[str(name)] = _column(values)
        return SampleTable(names, made)

    @staticmethod
    def of(table: Any) -> "SampleTable":
        """A `SampleTable`, a pandas frame (its index names samples) or a mapping."""
        if isinstance(table, SampleTable):
            return table
        if hasattr(table, "columns") and hasattr(table, "index"):
            columns = {str(name): table[name].array for name in table.columns}
            return SampleTable.from_columns(table.index, columns)
        if isinstance(table, Mapping) and table:
            count = len(next(iter(table.values())))
            names = [f"sample{i + 1}" for i in range(count)]
            return SampleTable.from_columns(names, table)
        fail(
            "sample table",
            expected="a SampleTable, a pandas frame or a mapping of columns",
            got=type(table).__name__,
        )

    def take(self, order: Sequence[int] | np.ndarray) -> "SampleTable":
        """These samples, in this order."""
        order = np.asarray(order, int)
        columns = {
            name: x.take(order) if isinstance(x, Factor) else x[order]
            for name, x in self.columns.items()
        }
        return SampleTable(tuple(self.names[i] for i in order), columns)


def _column(values: Any) -> np.ndarray | Factor:
    if isinstance(values, Factor):
        return values
    if hasattr(values, "codes") and hasattr(values, "categories"):  # of pandas
        levels = tuple(str(level) for level in values.categories)
        return Factor(np.asarray(values.codes, int), levels)
    array = np.asarray(values)
    if array.dtype.kind in "iuf":
        return array.astype(float)
    items = ["" if _is_missing(x) else x for x in array.tolist()]
    known = [x for x in items if x != ""]
    if known and all(_NUMBER.fullmatch(str(x)) for x in known):
        return np.array([float(x) if x != "" else np.nan for x in items])
    return Factor.of(items)


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in MISSING
    return value is None or value != value or str(value) in MISSING


def _collation(text: str) -> tuple:
    """Sorts as R does: signs, digits, letters; case last, small before capital."""
    plain = unicodedata.normalize("NFKD", text)
    bare = [c for c in plain if not unicodedata.combining(c)]
    return (
        [_SIGNS.find(c) if c in _SIGNS else 1000 + ord(c.lower()[0]) for c in bare],
        plain.lower(),
        [c.isupper() for c in bare],
        text,
    )
