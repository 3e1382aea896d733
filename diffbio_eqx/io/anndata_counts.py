"""Raw counts out of an AnnData file, a block of rows at a time."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from diffbio_eqx._checks import fail, require_extra
from diffbio_eqx.data.sample_table import SampleTable
from diffbio_eqx.io._errors import need_file
from diffbio_eqx.io.count_tables import CountTable

_BLOCK_VALUES = 20_000_000


class AnnDataCounts:
    """The raw counts of an `.h5ad` file or an AnnData object; a context manager.

    Counts are the layer named by `layer`, or else the first of `layers["counts"]`, `X`
    and `raw` whose numbers are whole. Rows are read in blocks; sparse stays sparse.

    - `rows`: names of the rows (cells or samples); `genes`: names of their columns.
    - `source`: where the counts are, in words.

    **Raises:** `ValueError` for a file that is no h5ad, and where no counts are found.

    ```python
    with AnnDataCounts("cells.h5ad") as data:
        for start, block in data.blocks():
            ...  # rows from `start` on, SciPy CSR
    ```
    """

    def __init__(self, source: Any, *, layer: str | None = None):
        self._anndata = require_extra("anndata", "singlecell")
        self._stack = contextlib.ExitStack()
        if isinstance(source, str | os.PathLike):
            self.where = f"counts {os.fspath(source)!r}"
            self._open(need_file(source, "h5ad file"))
        else:
            self.where = "counts"
            self._obs, self._places = source.obs, _places_in_memory(source)
        try:
            self.source, self._matrix, var = self._choose(layer)
        except BaseException:
            self.close()
            raise
        self.rows = tuple(str(name) for name in self._obs.index)
        self.genes = tuple(str(name) for name in var.index)

    def __enter__(self) -> "AnnDataCounts":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    @property
    def obs(self) -> Any:
        """The frame of the rows."""
        return self._obs

    def blocks(self) -> Iterator[tuple[int, Any]]:
        """Blocks of rows as SciPy CSR matrices, each with the number of its first row.

        **Raises:** `ValueError` for a value that is no whole number >= 0.
        """
        from scipy import sparse

        step = max(1, _BLOCK_VALUES // max(1, len(self.genes)))
        if _is_by_columns(self._matrix):
            yield from self._blocks_by_columns(step)
            return
        for start in range(0, len(self.rows), step):
            block = sparse.csr_matrix(self._matrix[start : start + step])
            self._check(block, start)
            yield start, block

    def _blocks_by_columns(self, step: int) -> Iterator[tuple[int, Any]]:
        # A row of a matrix stored by columns is everywhere in the file, so that it is
        # read once; it is sparse, and so of the size of the file.
        from scipy import sparse

        matrix = self._matrix
        matrix = matrix.to_memory() if hasattr(matrix, "to_memory") else matrix
        matrix = sparse.csr_matrix(matrix)
        for start in range(0, len(self.rows), step):
            block = matrix[start : start + step]
            self._check(block, start)
            yield start, block

    def _check(self, block: Any, start: int) -> None:
        bad = _not_counts(block.data)
        if not bad.any():
            return
        at = int(np.argmax(bad))
        row = int(np.searchsorted(block.indptr, at, side="right")) - 1
        fail(
            f"{self.where}, {self.source}, {self.rows[start + row]!r}, gene "
            f"{self.genes[block.indices[at]]!r}",
            expected="a whole number >= 0 (a raw count)",
            got=f"{block.data[at]:g}",
            hint="name the layer with the raw counts (--layer)",
        )

    def _open(self, path: str) -> None:
        import h5py
        from anndata.io import read_elem, sparse_dataset

        try:
            file = self._stack.enter_context(h5py.File(path, "r"))
        except OSError as error:
            raise ValueError(
                f"{path!r} is no h5ad file, or it is truncated or damaged."
            ) from error
        if "obs" not in file or "var" not in file:
            self.close()
            fail(self.where, expected="an h5ad file", got="one without obs and var")

        def opened(place: str) -> Any:
            item = file[place]
            return sparse_dataset(item) if isinstance(item, h5py.Group) else item

        self._obs, var = read_elem(file["obs"]), read_elem(file["var"])
        self._places = {
            f"layers[{name!r}]": (lambda name=name: opened(f"layers/{name}"), var)
            for name in file.get("layers", {})
        }
        if "X" in file:
            self._places["X"] = (lambda: opened("X"), var)
        if "raw/X" in file:
            raw = read_elem(file["raw/var"])
            self._places["raw"] = (lambda: opened("raw/X"), raw)

    def _choose(self, layer: str | None) -> tuple[str, Any, Any]:
        if layer is not None:
            name = layer if layer in ("X", "raw") else f"layers[{layer!r}]"
            if name not in self._places:
                fail(
                    self.where,
                    expected=f"one of {', '.join(self._places) or 'no matrices'}",
                    got=name,
                )
            load, var = self._places[name]
            return name, load(), var
        for name in ("layers['counts']", "X", "raw"):
            if name in self._places:
                load, var = self._places[name]
                matrix = load()
                if _looks_like_counts(matrix):
                    return name, matrix, var
        fail(
            self.where,
            expected="raw counts in layers['counts'], X or raw",
            got=f"none in {', '.join(self._places) or 'it'}",
            hint="name the layer with the raw counts (--layer)",
        )


def read_anndata_counts(
    source: Any, *, layer: str | None = None
) -> tuple[CountTable, SampleTable]:
    """Bulk counts of an AnnData (samples in rows), and `obs` as the table of samples.

    Small files only: the counts become one dense array. See `AnnDataCounts`.
    """
    with AnnDataCounts(source, layer=layer) as data:
        counts = np.zeros((len(data.rows), len(data.genes)))
        for start, block in data.blocks():
            counts[start : start + block.shape[0]] = block.toarray()
        for what, names in (("sample", data.rows), ("gene", data.genes)):
            require_unique_names(names, data.where, what)
        table = CountTable(data.genes, data.rows, counts)
        return table, SampleTable.of(data.obs)


def require_unique_names(names: tuple[str, ...], where: str, what: str) -> None:
    """`fail` where a name repeats."""
    if len(set(names)) < len(names):
        seen = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        hint = "call var_names_make_unique() and save again" if what == "gene" else ""
        fail(where, expected=f"each {what} once", got=f"{twice!r} twice", hint=hint)


def _places_in_memory(data: Any) -> dict[str, Any]:
    places = {
        f"layers[{name!r}]": (lambda name=name: data.layers[name], data.var)
        for name in data.layers
    }
    if data.X is not None:
        places["X"] = (lambda: data.X, data.var)
    if data.raw is not None:
        places["raw"] = (lambda: data.raw.X, data.raw.var)
    return places


def _is_by_columns(matrix: Any) -> bool:
    return getattr(matrix, "format", "csr") == "csc"


def _not_counts(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "ub":
        return np.zeros(values.shape, bool)
    with np.errstate(invalid="ignore"):
        return ~((values >= 0) & (values % 1 == 0))


def _looks_like_counts(matrix: Any) -> bool:
    """Whether the first numbers of a matrix are whole; all are checked when read."""
    if _is_by_columns(matrix):
        part = matrix[:, :50]
    else:
        part = matrix[:100]
    values = part.data if hasattr(part, "indptr") else np.asarray(part)
    return not _not_counts(np.asarray(values)).any()
