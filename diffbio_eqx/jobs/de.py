"""Differential expression from files: counts and samples in, a table of results out."""

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from diffbio_eqx._checks import fail, require_choice, require_extra
from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.design import Design
from diffbio_eqx.data.design_formula import DesignInfo, design_from_formula
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.io._tables import output_path
from diffbio_eqx.io.result_tables import write_gene_table
from diffbio_eqx.jobs.de_inputs import Experiment, read_experiments, require_counts
from diffbio_eqx.jobs.de_summary import DeResult, DeSummary

Tell = Callable[[str], None]


def differential_expression(
    counts: Any,
    samples: Any,
    output: str | os.PathLike,
    *,
    design: str,
    contrast: Any = None,
    lrt: str | None = None,
    shrink: str | None = None,
    vst: str | os.PathLike | None = None,
    vst_blind: bool = True,
    alpha: float = 0.1,
    lfc_threshold: float = 0.0,
    alternative: str = "greaterAbs",
    reference_levels: Mapping[str, str] | None = None,
    size_factors: str = "auto",
    trend: str = "parametric",
    subset: bool = False,
    groups: Sequence[str] | None = None,
    min_cells: int = 10,
    layer: str | None = None,
    plots: str | os.PathLike | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Tell | None = None,
) -> DeSummary:
    """Find the genes that differ; the whole run of `diffbio-eqx de`, in float64.

    **Arguments:**

    - `counts`: a table (see `read_counts`), an `.h5ad` file or an AnnData object.
    - `samples`: a table (see `read_samples`), anything that `design_from_formula`
      takes, or None to use `obs` of the AnnData.
    - `output`: `.tsv` or `.tsv.gz` with DESeq2's columns, genes in their order.
    - `design`, `contrast`, `lrt` (the reduced formula of a likelihood ratio test) and
      `reference_levels`: see `design_from_formula`.
    - `shrink`: "apeglm" or "normal" puts shrunken effects in place of the estimates,
      as DESeq2's `lfcShrink`.
    - `vst`: file for variance-stabilised values (genes x samples, log2); `vst_blind`
      fits their trend without the design, as DESeq2 does unless told otherwise.
    - `alpha`, `lfc_threshold`, `alternative`, `size_factors`, `trend`: of the pipeline;
      `options` are further fields of `DifferentialExpressionPipelineConfig`.
    - `subset`: leave out samples of the counts that the table of samples lacks.
    - `groups`: `(donor, cell type)`, two columns of `obs`: pseudo-bulk, one test a
      cell type in one long table, from donors with `min_cells` cells or more. `layer`:
      where the raw counts are.
    - `plots`: folder for PNGs and `size_factors.tsv`.
    - `progress`: called with a few words when something long begins.

    **Returns** a `DeSummary`. **Raises** `ValueError`, one line each, for input that
    cannot be right; nothing is written then. **Warns** of everything that is decided
    by the data: size factors by positive counts, a trend that could not be fitted,
    groups without replicates, fits that did not converge.
    """
    say = progress or (lambda text: None)
    output = output_path(output, "output", (".tsv", ".tsv.gz", ".txt"))
    vst = None if vst is None else output_path(vst, "--vst", (".tsv", ".tsv.gz"))
    _check_plots(plots)
    require_choice("shrink", shrink, (None, "apeglm", "normal"))
    fields = {
        "alpha": alpha,
        "test": "wald" if lrt is None else "lrt",
        "lfc_threshold": lfc_threshold,
        "alternative": alternative,
        "shrinkage": shrink,
        "size_factors": size_factors,
        "trend": trend,
        **(options or {}),
    }
    pipeline = _pipeline(fields)
    say("reading counts")
    experiments, notes = read_experiments(
        counts,
        samples,
        groups=groups,
        min_cells=min_cells,
        layer=layer,
        subset=subset,
        formulas=f"{design} {lrt or ''} {contrast}",
    )
    parts, skipped, stabilised = [], {}, []
    for number, one in enumerate(experiments, 1):
        named = "" if one.cell_type is None else f"{one.cell_type}: "
        where = f" ({number} of {len(experiments)})" if named else ""
        try:
            with _named_warnings(named):
                made = design_from_formula(
                    one.samples,
                    design,
                    contrast,
                    reduced=lrt,
                    reference_levels=reference_levels,
                )
                told = _check_shrinkage(shrink, made[1])
                require_counts(one.counts)
        except ValueError as error:
            if one.cell_type is None:
                raise
            skipped[one.cell_type] = str(error)
            continue
        say(f"{named}fitting {len(one.counts.genes):,} genes{where}")
        with _named_warnings(named):
            part = _tested(pipeline, one, *made, shrink)
        notes += [f"{named}{note}" for note in [*made[1].notes, *told]]
        parts.append(part)
        if vst is not None:
            stabilised.append(_stabilised(pipeline, one, made[0], blind=vst_blind))
    if not parts:
        first = next(iter(skipped))
        fail(
            "pseudobulk",
            expected="a cell type that can be tested",
            got=f"{len(skipped)} that cannot; of {first}: {skipped[first]}",
        )
    for name, why in skipped.items():
        warnings.warn(f"{name}: not tested; {why}", stacklevel=2)
    notes = tuple(dict.fromkeys(notes))
    summary = DeSummary(str(output), tuple(parts), skipped, notes)
    say("writing")
    _write(summary, stabilised, vst, plots)
    return summary


def _check_plots(plots: str | os.PathLike | None) -> None:
    if plots is None:
        return
    require_extra("matplotlib", "plots")
    if Path(plots).exists() and not Path(plots).is_dir():
        fail("plots", expected="a folder", got=f"a file, {os.fspath(plots)!r}")


def _pipeline(fields: Mapping[str, Any]) -> eqx.Module:
    from diffbio_eqx.pipelines.differential_expression import (
        create_differential_expression_pipeline,
    )
    from diffbio_eqx.relax import set_mode

    with jax.enable_x64(True):  # noqa: FBT003
        return set_mode(create_differential_expression_pipeline(**fields), "hard")


def _check_shrinkage(shrink: str | None, info: DesignInfo) -> list[str]:
    """What to say of shrinkage; normal priors are not for designs with interactions."""
    if shrink == "normal" and info.interactions:
        fail(
            "shrink",
            expected="'apeglm' for a design with interactions",
            got="'normal'",
            hint="a prior on a main effect is none on its interaction; DESeq2 refuses "
            "it too",
        )
    if shrink is None or info.coefficient is not None:
        return []
    kind = {
        "apeglm": "is shrunken as a coefficient of an equivalent design",
        "normal": "is that of shrunken coefficients (DESeq2 fits a larger design)",
    }
    return [f"{info.contrast_name} is no coefficient of the design; it {kind[shrink]}"]


@contextlib.contextmanager
def _named_warnings(name: str) -> Iterator[None]:
    """Inside, the text of a `UserWarning` begins with `name`."""
    if not name:
        yield
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for one in caught:
        warnings.warn(name + str(one.message), one.category, stacklevel=4)


def _tested(
    pipeline: Any, one: Experiment, design: Design, info: DesignInfo, shrink: Any
) -> DeResult:
    """Run the pipeline on one experiment, and say what its data decided."""
    with jax.enable_x64(True):  # noqa: FBT003
        sample = CountMatrix.from_arrays(one.counts.counts, design)
        result = jax.tree.map(np.asarray, eqx.filter_jit(pipeline)(sample))
    config = pipeline.config
    part = DeResult(
        one.cell_type,
        one.counts.genes,
        one.counts.samples,
        info,
        result,
        one.counts.counts.sum(1),
        config.alpha,
        config.lfc_threshold,
        config.test,
        shrink,
    )
    if result.used_poscounts and config.size_factors == "auto":
        warnings.warn(
            "every gene has a zero in some sample, so size factors are by positive "
            "counts (poscounts)",
            stacklevel=2,
        )
    if result.trend_fell_back:
        warnings.warn(
            "the parametric trend of the dispersions could not be fitted; a local one "
            "stands in, as in DESeq2",
            stacklevel=2,
        )
    lost = part.counts["not converged"]
    if lost:
        warnings.warn(f"the fit of {lost:,} genes did not converge", stacklevel=2)
    return part


def _stabilised(
    pipeline: Any, one: Experiment, design: Design, *, blind: bool
) -> np.ndarray:
    """Variance-stabilised counts (samples, genes), in the size factors of the test."""
    from diffbio_eqx.operators.expression.variance_stabilising import (
        VarianceStabilising,
    )

    stabilise = VarianceStabilising(blind=blind, kind=pipeline.config.trend)
    with jax.enable_x64(True):  # noqa: FBT003
        sample = CountMatrix.from_arrays(one.counts.counts, design)
        return np.asarray(_stabilised_counts(pipeline, stabilise, sample))


@eqx.filter_jit
def _stabilised_counts(pipeline: Any, stabilise: Any, sample: CountMatrix):
    table = pipeline.size_factors(GeneTable.start(sample))
    if not stabilise.blind:
        table = pipeline.trend(pipeline.gene_dispersion(table))
    return stabilise(table)


def _write(summary: DeSummary, stabilised, vst, plots) -> None:
    genes, columns = summary.rows()
    write_gene_table(summary.output, genes, columns)
    if vst is not None:
        _write_stabilised(summary, stabilised, vst)
    if plots is None:
        return
    from diffbio_eqx.jobs.de_plots import write_de_plots

    for part in summary.parts:
        name = part.cell_type
        folder = Path(plots)
        if name is not None:
            folder = folder / re.sub(r"[^\w.+-]+", "_", name)
        write_de_plots(folder, part)


def _write_stabilised(summary: DeSummary, values, path) -> None:
    """Genes in rows and samples in columns; of several types one below the other."""
    samples = list(dict.fromkeys(x for part in summary.parts for x in part.samples))
    genes = [gene for part in summary.parts for gene in part.genes]
    columns: dict[str, Any] = {}
    if summary.parts[0].cell_type is not None:
        columns["cell_type"] = [
            str(part.cell_type) for part in summary.parts for _ in part.genes
        ]
    for sample in samples:
        columns[sample] = np.concatenate(
            [
                block[part.samples.index(sample)]
                if sample in part.samples
                else np.full(len(part.genes), np.nan)
                for part, block in zip(summary.parts, values, strict=True)
            ]
        )
    write_gene_table(path, genes, columns)
