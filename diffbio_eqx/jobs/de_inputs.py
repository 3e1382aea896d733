"""Counts and samples of a run, from files or memory, made to fit each other."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from diffbio_eqx._checks import fail, require
from diffbio_eqx.data.sample_table import SampleTable
from diffbio_eqx.io.anndata_counts import read_anndata_counts
from diffbio_eqx.io.count_tables import (
    CountTable,
    match_samples,
    read_counts,
    read_samples,
)
from diffbio_eqx.jobs.pseudobulk import PseudoBulk, pseudobulk_counts, refuse_varying


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Counts and samples that belong together, and where they are from."""

    cell_type: str | None
    counts: CountTable
    samples: SampleTable


def read_experiments(
    counts: Any,
    samples: Any,
    *,
    groups: Sequence[str] | None,
    min_cells: int,
    layer: str | None,
    subset: bool,
    formulas: str,
) -> tuple[list[Experiment], list[str]]:
    """What is to be tested, each on its own, and what there is to say about it.

    The arguments are those of `differential_expression`; `formulas` is the text in
    which columns that vary within a donor are looked for.
    """
    is_file = isinstance(counts, str | os.PathLike)
    anndata = not is_file or os.fspath(counts).endswith(".h5ad")
    if groups is not None:
        require(
            len(groups) == 2,
            "pseudobulk",
            expected="two columns of obs, donor and cell type",
            got=",".join(groups),
        )
        require(anndata, "pseudobulk", expected="counts as .h5ad", got=str(counts))
        bulks = pseudobulk_counts(counts, *groups, min_cells=min_cells, layer=layer)
        table = None if samples is None else _sample_table(samples)
        notes = [note for bulk in bulks for note in _left_out(bulk, min_cells)]
        made = []
        for bulk in bulks:
            if table is None:
                refuse_varying(bulk, formulas, groups[0])
            made.append(_of_bulk(bulk, table))
        return made, notes
    if samples is None and not anndata:
        fail(
            "sample table",
            expected="a second file",
            got="none",
            hint="only an .h5ad file brings its own (obs)",
        )
    if anndata:
        table, obs = read_anndata_counts(counts, layer=layer)
        known = obs if samples is None else _sample_table(samples)
    else:
        known = _sample_table(samples)
        table = read_counts(counts, known.names)
    matched, known = match_samples(table, known, subset=subset)
    notes = []
    if table.flipped:
        notes.append("the counts have samples in rows; they were turned")
    left = len(table.samples) - len(matched.samples)
    if left:
        notes.append(f"{left} samples of the counts are not in the table: left out")
    return [Experiment(None, matched, known)], notes


def _sample_table(samples: Any) -> SampleTable:
    if isinstance(samples, str | os.PathLike):
        return read_samples(samples)
    return SampleTable.of(samples)


def _left_out(bulk: PseudoBulk, min_cells: int) -> Iterator[str]:
    if bulk.left_out:
        few = ", ".join(f"{name} ({n})" for name, n in list(bulk.left_out.items())[:3])
        more = len(bulk.left_out) - 3
        yield (
            f"{bulk.cell_type}: {len(bulk.left_out)} samples of fewer than {min_cells} "
            f"cells are left out: {few}{f' and {more} more' if more > 0 else ''}"
        )


def _of_bulk(bulk: PseudoBulk, table: SampleTable | None) -> Experiment:
    if table is None:
        return Experiment(bulk.cell_type, bulk.counts, bulk.samples)
    place = {name: i for i, name in enumerate(table.names)}
    lost = [name for name in bulk.counts.samples if name not in place]
    if lost:
        fail(
            "sample table",
            expected="a row for each donor of the cells",
            got=f"none for {lost[0]!r}",
            hint=f"it has {', '.join(table.names[:3])}",
        )
    rows = table.take([place[name] for name in bulk.counts.samples])
    return Experiment(bulk.cell_type, bulk.counts, rows)


def require_counts(counts: CountTable) -> None:
    """`fail` if a sample has no count at all."""
    empty = np.flatnonzero(~counts.counts.any(1))
    if len(empty) == len(counts.samples):
        fail("counts", expected="a count in some gene", got="zeros only")
    if len(empty):
        fail(
            "counts",
            expected="a count in every sample",
            got=f"only zeros in {counts.samples[empty[0]]!r}",
            hint="leave this sample out of both tables",
        )
