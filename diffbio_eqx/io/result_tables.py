"""Tables of results: one row a gene, DESeq2's column names, NA for what is unknown."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from diffbio_eqx.io._tables import written_whole


def write_gene_table(
    path: str | os.PathLike,
    genes: Sequence[str],
    columns: Mapping[str, np.ndarray | Sequence[str]],
    *,
    digits: int = 10,
) -> None:
    """Write a table with tabs; gene names first, then `columns` (genes,).

    Numbers have `digits` significant digits and NaN is NA. A name that ends in `.gz`
    is packed. The file is written beside and renamed, so that there is never half of
    it.

    ```python
    write_gene_table("results.tsv", ["a", "b"], {"padj": np.array([0.01, np.nan])})
    ```
    """
    form = f"%.{digits}g"
    cells = [list(genes)]
    for values in columns.values():
        array = np.asarray(values)
        if array.dtype.kind in "iub":
            cells.append([str(x) for x in array.tolist()])
        elif array.dtype.kind == "f":
            known = np.isfinite(array).tolist()
            numbers = array.tolist()
            cells.append(
                [
                    form % x if ok else ("NA" if x != x else ("-Inf", "Inf")[x > 0])
                    for x, ok in zip(numbers, known, strict=True)
                ]
            )
        else:
            cells.append([str(x) for x in values])
    with written_whole(path) as file:
        file.write("\t".join(["gene", *columns]) + "\n")
        for row in zip(*cells, strict=True):
            file.write("\t".join(row) + "\n")
