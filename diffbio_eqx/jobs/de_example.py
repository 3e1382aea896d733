"""A small simulated experiment on disk, to try the command with."""

import os
from pathlib import Path

import numpy as np

from diffbio_eqx.io._tables import written_whole
from diffbio_eqx.io.result_tables import write_gene_table
from diffbio_eqx.simulate.counts import SimulatedCounts, simulate_counts


def write_de_example(
    folder: str | os.PathLike, *, genes: int = 2000, samples: int = 8, seed: int = 0
) -> SimulatedCounts:
    """Write `counts.tsv.gz` and `samples.tsv` of two conditions in two batches.

    **Returns** the truth behind them. **Raises** `ValueError` if the folder exists and
    is not empty.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"folder {str(folder)!r} must be new or empty.")
    folder.mkdir(parents=True, exist_ok=True)
    made = simulate_counts(genes, samples, seed=seed, batches=2, effect=1.5)
    names = [f"sample{j + 1}" for j in range(samples)]
    counts = dict(zip(names, made.counts.astype(np.int64), strict=True))
    ids = [f"gene{i + 1:04d}" for i in range(genes)]
    write_gene_table(folder / "counts.tsv.gz", ids, counts)
    with written_whole(folder / "samples.tsv") as file:
        file.write("sample\tbatch\tcondition\n")
        for name, row in zip(names, made.design, strict=True):
            condition = "treated" if row[-1] else "control"
            file.write(f"{name}\tb{int(row[1]) + 1}\t{condition}\n")
    return made
