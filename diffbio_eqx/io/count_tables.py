"""Tables of counts and of samples: text in, arrays out, errors with row and column."""

import dataclasses
import io
import itertools
import os
import warnings
from collections.abc import Sequence

import numpy as np

from diffbio_eqx._checks import fail, require_extra
from diffbio_eqx.data.sample_table import SampleTable
from diffbio_eqx.io._tables import delimiter_of, split_line, table_text

_FEATURE_COUNTS = ("Chr", "Start", "End", "Strand", "Length")
_HTSEQ = ("no_feature", "ambiguous", "too_low_aQual", "not_aligned")
_HTSEQ += ("alignment_not_unique",)


@dataclasses.dataclass(frozen=True)
class CountTable:
    """Counts (samples, genes) as float64, with the names of both in the file's order.

    `flipped` says whether the file had samples in rows.
    """

    genes: tuple[str, ...]
    samples: tuple[str, ...]
    counts: np.ndarray
    flipped: bool = False

    def take(self, order: Sequence[int] | np.ndarray) -> "CountTable":
        """These samples, in this order."""
        order = np.asarray(order, int)
        names = tuple(self.samples[i] for i in order)
        return dataclasses.replace(self, samples=names, counts=self.counts[order])


def read_counts(
    path: str | os.PathLike, samples: Sequence[str] | None = None
) -> CountTable:
    """Counts from a table with genes in rows and samples in columns, as in DESeq2.

    The first column names genes, the first line names samples; its first cell may be
    left out, as R does. Cells are separated by tabs, commas, semicolons or spaces;
    gzip is unpacked. A table with samples in rows is turned if its rows, and not its
    columns, are named as `samples`. Lines that begin with `#` and the five columns
    of places that featureCounts adds are skipped; so are the rows of htseq-count that
    are no genes, with a warning.

    **Raises:** `ValueError` as `file, line n, column c: ...` for a cell that is no
    whole number >= 0, rows of differing length, and names that repeat.

    ```python
    table = read_counts("counts.tsv.gz", samples.names)
    table.counts  # (samples, genes)
    ```
    """
    text = table_text(path, "counts")
    where = f"counts {os.fspath(path)!r}"
    header, lines_before, start = _header(text, where)
    delimiter = delimiter_of(header)
    cells = split_line(header, delimiter)
    first = text[start:].lstrip("\n").partition("\n")[0]
    if not first.strip():
        fail(where, expected="rows of counts", got="only a header")
    width = len(split_line(first, delimiter))
    columns = cells if len(cells) == width - 1 else cells[1:]
    if width != len(columns) + 1 or not columns:
        fail(
            f"{where}, line {lines_before + 2}",
            expected=f"{len(cells)} cells, as in the header",
            got=width,
        )
    extra = 0
    if tuple(columns[:5]) == _FEATURE_COUNTS:
        extra, columns = 5, columns[5:]
    table = _Text(text, start, lines_before, delimiter, where, columns, extra)
    rows, values = table.read()
    flipped = _is_flipped(rows, columns, samples)
    kept = [i for i, name in enumerate(rows) if name.lstrip("_") not in _HTSEQ]
    if len(kept) < len(rows):
        warnings.warn(
            f"{where}: {len(rows) - len(kept)} rows of htseq-count that are no genes "
            "(such as __no_feature) are left out",
            stacklevel=2,
        )
        rows, values = [rows[i] for i in kept], values[kept]
    kinds = ("sample", "gene") if flipped else ("gene", "sample")
    _require_unique(rows, where, kinds[0], "row")
    _require_unique(columns, where, kinds[1], "column")
    if flipped:
        return CountTable(tuple(columns), tuple(rows), values, flipped=True)
    counts = np.ascontiguousarray(values.T)
    return CountTable(tuple(rows), tuple(columns), counts)


def read_samples(path: str | os.PathLike) -> SampleTable:
    """A table of samples: their names in the first column, then what is known of them.

    See `SampleTable.from_columns` for what becomes a number and what a factor.

    **Raises:** `ValueError` for rows of differing length and names that repeat.
    """
    text = table_text(path, "sample table")
    where = f"sample table {os.fspath(path)!r}"
    header, before, start = _header(text, where)
    delimiter = delimiter_of(header)
    cells = split_line(header, delimiter)
    rows = []
    for number, line in enumerate(text[start:].split("\n"), before + 2):
        if not line.strip():
            continue
        row = split_line(line, delimiter)
        if not rows and len(row) == len(cells) + 1:
            cells = ["", *cells]
        if len(row) != len(cells):
            fail(
                f"{where}, line {number}",
                expected=f"{len(cells)} cells, as in the header",
                got=len(row),
            )
        rows.append(row)
    if not rows:
        fail(where, expected="a row for each sample", got="only a header")
    names = cells[1:]
    _require_unique(names, where, "column", "column")
    columns = {name: [r[i] for r in rows] for i, name in enumerate(names, 1)}
    _require_unique([row[0] for row in rows], where, "sample", "row")
    return SampleTable.from_columns([row[0] for row in rows], columns)


def match_samples(
    counts: CountTable, samples: SampleTable, *, subset: bool = False
) -> tuple[CountTable, SampleTable]:
    """Both with the samples of the counts, in their order.

    With `subset`, samples of the counts that the table lacks are left out.

    **Raises:** `ValueError` that lists a few names of both sides if they do not match.
    """
    place = {name: i for i, name in enumerate(samples.names)}
    known = set(counts.samples)
    lost = [name for name in samples.names if name not in known]
    more = [name for name in counts.samples if name not in place]
    if lost:
        fail(
            "samples",
            expected="counts for every sample of the table",
            got=f"none for {_few(lost)}",
            hint=f"the counts are of {_few(counts.samples)}"
            + _other_column(counts, samples),
        )
    if more and not subset:
        fail(
            "samples",
            expected="a row of the sample table for every sample of the counts",
            got=f"none for {_few(more)}",
            hint="add rows, or leave these samples out (--samples-subset)",
        )
    order = [i for i, name in enumerate(counts.samples) if name in place]
    counts = counts.take(order) if more else counts
    return counts, samples.take([place[name] for name in counts.samples])


def _few(names: Sequence[str]) -> str:
    listed = ", ".join(repr(name) for name in names[:3])
    return listed + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _other_column(counts: CountTable, samples: SampleTable) -> str:
    for name, column in samples.columns.items():
        texts = getattr(column, "texts", lambda x=column: [f"{v:.15g}" for v in x])()
        if set(texts) & set(counts.samples):
            return f"; put column {name!r} of the sample table first"
    return ""


def _header(text: str, where: str) -> tuple[str, int, int]:
    """The first line that is no comment, how many came before, and where rows begin."""
    start = 0
    for before in itertools.count():
        end = text.find("\n", start)
        line = text[start:] if end < 0 else text[start:end]
        if line.strip() and not line.startswith("#"):
            return line, before, len(text) if end < 0 else end + 1
        if end < 0:
            fail(where, expected="a header and rows", got="only comments")
        start = end + 1
    raise AssertionError


def _require_unique(names: Sequence[str], where: str, what: str, axis: str) -> None:
    if len(set(names)) == len(names):
        return
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if name in seen:
            fail(
                where,
                expected=f"each {what} once",
                got=f"{what} {name!r} in {axis}s {seen[name]} and {number}",
                hint="use unique names, such as Ensembl ids for genes"
                if what == "gene"
                else "rename one of them",
            )
        seen[name] = number


def _is_flipped(rows, columns, samples) -> bool:
    if samples is None:
        return False
    wanted = set(samples)
    return len(wanted.intersection(rows)) > len(wanted.intersection(columns))


@dataclasses.dataclass(frozen=True)
class _Text:
    """The body of a table of counts, and how to say where something is wrong in it."""

    text: str
    start: int
    before: int
    delimiter: str
    where: str
    columns: list[str]
    extra: int

    def read(self) -> tuple[list[str], np.ndarray]:
        """Names of rows, and their cells as numbers."""
        pandas = require_extra("pandas", "formula")
        first = 1 + self.extra
        width = first + len(self.columns)
        use = [0, *range(first, width)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                frame = pandas.read_csv(
                    io.StringIO(self.text[self.start :]),
                    sep=self.delimiter,
                    header=None,
                    names=range(width),
                    usecols=use,
                    index_col=False,
                    dtype={0: str} | {i: np.float64 for i in range(first, width)},
                    keep_default_na=False,
                    skipinitialspace=True,
                    engine="c",
                )
        except (ValueError, Warning, OverflowError):  # pandas' errors are ValueErrors
            self.complain()
            raise
        values = frame.iloc[:, 1:].to_numpy(np.float64)
        # Cells beyond the width are not even looked at by the parser.
        if self.text.count(self.delimiter, self.start) != len(frame) * (width - 1):
            self.complain()
        with np.errstate(invalid="ignore"):
            if not ((values >= 0) & (values % 1 == 0)).all():
                self.complain()
        return [str(name).strip() for name in frame.iloc[:, 0]], values

    def complain(self) -> None:
        """Raise for the first cell that is wrong, with its line and column."""
        width = 1 + self.extra + len(self.columns)
        lines = self.text[self.start :].split("\n")
        for number, line in enumerate(lines, self.before + 2):
            if not line.strip():
                continue
            cells = split_line(line, self.delimiter)
            place = f"{self.where}, line {number}"
            if len(cells) != width:
                fail(
                    place,
                    expected=f"{width} cells, as in the first row",
                    got=f"{len(cells)} ({line[:40]!r})",
                )
            for name, cell in zip(self.columns, cells[1 + self.extra :], strict=True):
                why = _wrong_count(cell)
                if why:
                    fail(
                        f"{place} ({cells[0]}), column {name!r}",
                        expected="a whole number >= 0 (a raw count)",
                        got=repr(cell) + why[0],
                        hint=why[1],
                    )


def _wrong_count(cell: str) -> tuple[str, str] | None:
    """What a cell is instead of a count, and what to do; None if it is one."""
    try:
        value = float(cell)
    except ValueError:
        value = np.nan
    if np.isnan(value):
        return "", "put 0 where nothing was counted, and leave other columns out"
    if value < 0 or np.isinf(value):
        return "", "give the counts as the counting program wrote them"
    if value % 1:
        return "", (
            "give raw counts, not normalised values; round the expected counts of "
            "RSEM or Salmon first"
        )
    return None
