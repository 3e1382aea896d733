"""Pseudo-bulk: the counts of many cells summed into one sample a donor and type."""

import dataclasses
import re
import warnings
from typing import Any

import numpy as np

from diffbio_eqx._checks import fail, require
from diffbio_eqx.data.sample_table import Factor, SampleTable
from diffbio_eqx.io.anndata_counts import AnnDataCounts, require_unique_names
from diffbio_eqx.io.count_tables import CountTable


@dataclasses.dataclass(frozen=True)
class PseudoBulk:
    """The summed counts of one cell type.

    - `counts`: a `CountTable`, one sample a donor; `samples`: what is known of them.
    - `cells` (samples,): how many cells each sum is of.
    - `left_out`: donors with too few cells of this type, with their number of cells.
    - `varying`: columns of the cells that are not constant within each donor, with
      one donor for which that is so; they are not in `samples`.
    """

    cell_type: str
    counts: CountTable
    samples: SampleTable
    cells: np.ndarray
    left_out: dict[str, int]
    varying: dict[str, str]


def pseudobulk_counts(
    source: Any,
    donor: str,
    cell_type: str,
    *,
    min_cells: int = 10,
    layer: str | None = None,
) -> list[PseudoBulk]:
    """Sum raw counts over the cells of each donor and cell type.

    **Arguments:**

    - `source`: an `.h5ad` file, which is read in blocks, or an AnnData object.
    - `donor`, `cell_type`: columns of `obs`. Cells without a value in one of them are
      left out, with a warning.
    - `min_cells`: a donor with fewer cells of a type has no sample there.
    - `layer`: where raw counts are; see `AnnDataCounts`.

    **Returns** one `PseudoBulk` a cell type with at least one sample, in the order of
    R's `factor()`.

    **Raises:** `ValueError` for columns that are not there, and if no donor has enough
    cells of any type.

    ```python
    for bulk in pseudobulk_counts("cells.h5ad", "donor", "cell_type"):
        print(bulk.cell_type, bulk.counts.counts.shape)
    ```
    """
    require(
        isinstance(min_cells, int) and min_cells >= 1,
        "min_cells",
        expected="a whole number >= 1",
        got=min_cells,
    )
    with AnnDataCounts(source, layer=layer) as data:
        require_unique_names(data.genes, data.where, "gene")
        for name in (donor, cell_type):
            if name not in data.obs.columns:
                known = ", ".join(str(x) for x in data.obs.columns) or "none"
                fail("pseudobulk", expected=f"columns of obs ({known})", got=repr(name))
        donors = _groups(data.obs[donor])
        types = _groups(data.obs[cell_type])
        cells = _count_pairs(types, donors)
        kept = np.argwhere(cells >= min_cells)
        if not len(kept):
            most = f"at most {cells.max() if cells.size else 0}"
            fail(
                "pseudobulk",
                expected=f"{min_cells} cells of one donor and type",
                got=most,
                hint="lower --min-cells, or look at the two columns",
            )
        sums = _sums(data, types, donors, kept, cells.shape)
        table, varying = _donor_table(data.obs, donors, donor)
    found = []
    for t in np.unique(kept[:, 0]):
        here = np.flatnonzero(kept[:, 0] == t)
        which = kept[here, 1]
        few = [i for i in range(len(donors.levels)) if 0 < cells[t, i] < min_cells]
        names = tuple(donors.levels[i] for i in which)
        found.append(
            PseudoBulk(
                types.levels[t],
                CountTable(data.genes, names, sums[here]),
                table.take(which),
                cells[t, which],
                {donors.levels[i]: int(cells[t, i]) for i in few},
                varying,
            )
        )
    return found


def refuse_varying(bulk: PseudoBulk, text: str, donor: str) -> None:
    """`fail` if a formula or contrast names a column that varies within a donor."""
    for name, example in bulk.varying.items():
        if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text):
            fail(
                "design",
                expected=f"columns that are constant within each {donor}",
                got=f"{name!r}, which varies within {example!r}",
                hint=f"make a column that names {donor} and {name} together, and give "
                "it as the first of --pseudobulk",
            )


def _groups(column: Any) -> Factor:
    """A column of names; numbers are names too, and `001` stays what it is."""
    values = column.array
    if hasattr(values, "codes") and hasattr(values, "categories"):
        x = SampleTable.from_columns(range(len(values)), {"x": values}).columns["x"]
    else:
        items = [v if v == v else None for v in np.asarray(values, object).tolist()]
        x = Factor.of(
            int(v) if isinstance(v, float) and v.is_integer() else v for v in items
        )
    x = x.used()
    gone = int((x.codes < 0).sum())
    if gone:
        warnings.warn(
            f"pseudobulk: {gone} cells without a value in {column.name!r} are left out",
            stacklevel=3,
        )
    return x


def _count_pairs(types: Factor, donors: Factor) -> np.ndarray:
    """Cells by type and donor."""
    both = (types.codes >= 0) & (donors.codes >= 0)
    shape = (len(types.levels), len(donors.levels))
    flat = types.codes[both] * shape[1] + donors.codes[both]
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)


def _sums(data: AnnDataCounts, types, donors, kept, shape) -> np.ndarray:
    """Counts summed over the cells of each kept pair (pairs, genes)."""
    from scipy import sparse

    row_of = np.full(shape, -1)
    row_of[kept[:, 0], kept[:, 1]] = np.arange(len(kept))
    both = (types.codes >= 0) & (donors.codes >= 0)
    rows = np.where(both, row_of[types.codes, donors.codes], -1)
    total = np.zeros((len(kept), len(data.genes)))
    for start, block in data.blocks():
        here = rows[start : start + block.shape[0]]
        inside = np.flatnonzero(here >= 0)
        ones = np.ones(len(inside))
        places = (here[inside], inside)
        adder = sparse.csr_matrix((ones, places), (len(kept), block.shape[0]))
        part = (adder @ block.astype(np.float64)).tocoo()
        total[part.row, part.col] += part.data
    return total


def _donor_table(obs: Any, donors: Factor, donor: str):
    """Columns of the cells that are constant within donors, one row a donor."""
    known = np.flatnonzero(donors.codes >= 0)
    codes = donors.codes[known]
    first = np.full(len(donors.levels), -1)
    first[codes[::-1]] = known[::-1]
    every = SampleTable.from_columns(
        range(len(obs)), {str(name): obs[name].array for name in obs.columns}
    )
    columns, varying = {}, {}
    for name, column in every.columns.items():
        values = column.codes if isinstance(column, Factor) else column
        same = _same(values[known], values[first][codes])
        if not same.all():
            varying[name] = donors.levels[codes[int(np.argmin(same))]]
        elif name == donor:
            columns[name] = Factor(np.arange(len(donors.levels)), donors.levels)
        else:
            columns[name] = (
                column.take(first) if isinstance(column, Factor) else column[first]
            )
    return SampleTable(donors.levels, columns), varying


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a == b) | ((a != a) & (b != b))
