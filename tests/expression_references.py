"""R's stored answers on the expression sets, as arrays in the order of the counts."""

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.design_formula import design_from_formula


@dataclasses.dataclass(frozen=True)
class Reference:
    """Counts, design and R's tables of one set; genes without counts are NaN."""

    sample: CountMatrix
    genes: list[str]
    meta: dict
    folder: Path

    def table(self, name: str) -> dict[str, np.ndarray]:
        """The columns of a table, one entry a gene (NaN where R left the gene out)."""
        names, ids, values = read_table(self.folder / f"{name}.tsv.gz")
        place = {gene: i for i, gene in enumerate(self.genes)}
        full = np.full((len(self.genes), len(names)), np.nan)
        full[[place[gene] for gene in ids]] = values
        return dict(zip(names, full.T, strict=True))

    def matrix(self, name: str) -> np.ndarray:
        """A table of genes by samples as (samples, genes)."""
        return np.stack(list(self.table(name).values()))


SETS = {
    "airway_R": ("airway", "~ cell + dex", ("dex", "trt", "untrt"), "~ cell"),
    "airway_dex_only_R": ("airway", "~ dex", ("dex", "trt", "untrt"), "~ 1"),
    "sim_outliers_R": (
        "sim_outliers",
        "~ batch + age + condition",
        ("condition", "B", "A"),
        "~ batch + age",
    ),
    "sim_outliers_condition_only_R": (
        "sim_outliers",
        "~ condition",
        ("condition", "B", "A"),
        "~ 1",
    ),
}

USUAL = ("airway_R", "sim_outliers_condition_only_R")
EACH_SET = [
    name if name in USUAL else pytest.param(name, marks=pytest.mark.exhaustive)
    for name in SETS
]
"""Names as test parameters: two sets always, the others with --exhaustive."""


def load_reference(root: Path, name: str, *, lrt: bool = False) -> Reference:
    """One of `SETS` from the data folder; call it inside `jax.enable_x64(True)`."""
    stem, formula, contrast, reduced = SETS[name]
    folder = root / "data" / "expression"
    samples, genes, counts = read_table(folder / f"{stem}_counts.tsv.gz")
    lines = (folder / f"{stem}_coldata.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    by_name = {row[0]: row for row in rows[1:]}
    columns = {
        column: [_number(by_name[sample][i]) for sample in samples]
        for i, column in enumerate(rows[0])
        if i
    }
    levels = {contrast[0]: contrast[2]}
    design, _ = design_from_formula(
        columns,
        formula,
        contrast,
        reduced=reduced if lrt else None,
        reference_levels=levels,
    )
    results = root / "reference" / "expression" / name
    meta = json.loads((results / "meta.json").read_text())
    return Reference(CountMatrix.from_arrays(counts.T, design), genes, meta, results)


def read_table(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Names of columns, names of rows, and values (NA and True/False as numbers)."""
    with gzip.open(path, "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    special = {"NA": np.nan, "True": 1.0, "False": 0.0, "TRUE": 1.0, "FALSE": 0.0}
    number = lambda text: special[text] if text in special else float(text)
    values = np.array([[number(x) for x in row[1:]] for row in rows[1:]])
    return rows[0][1:], [row[0] for row in rows[1:]], values


def relative(found, expected) -> np.ndarray:
    """|found / expected - 1| where R has a number."""
    found, expected = np.asarray(found), np.asarray(expected)
    known = np.isfinite(expected)
    return np.abs(found[known] / expected[known] - 1)


def _number(text: str):
    try:
        return float(text)
    except ValueError:
        return text
