"""`diffbio-eqx de`: counts and samples in, genes that differ out."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from diffbio_eqx._checks import fail
from diffbio_eqx.cli.compilation import keep_compiled_programs
from diffbio_eqx.cli.messages import console, say
from diffbio_eqx.cli.report_option import check_report


def _example(folder: Path | None) -> Path | None:
    if folder is not None:
        from diffbio_eqx.jobs.de_example import write_de_example

        write_de_example(folder)
        say(f"counts.tsv.gz and samples.tsv are in {folder}")
        raise typer.Exit
    return folder


def de(
    counts: Annotated[
        Path,
        typer.Argument(
            metavar="COUNTS",
            help="Raw counts, genes in rows: .tsv, .csv (.gz); or .h5ad.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Table to write: .tsv or .tsv.gz."),
    ],
    design: Annotated[
        str, typer.Option(help="R formula over the columns of the samples.")
    ],
    samples: Annotated[
        Path | None,
        typer.Argument(
            metavar="SAMPLES",
            help="Table of samples, names in the first column. [default: obs of .h5ad]",
            show_default=False,
        ),
    ] = None,
    contrast: Annotated[
        str | None,
        typer.Option(
            help="factor,numerator,denominator; or a coefficient; or a number for "
            "each. [default: the last coefficient]"
        ),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=LEVEL",
            help="Reference level, as dex=untrt; may be given again. [default: the "
            "first in the alphabet]",
        ),
    ] = None,
    lrt: Annotated[
        str | None, typer.Option(help="Likelihood ratio test against this formula.")
    ] = None,
    shrink: Annotated[
        str | None, typer.Option(help="Shrink effects: apeglm or normal.")
    ] = None,
    vst: Annotated[
        Path | None, typer.Option(help="Also write variance-stabilised values.")
    ] = None,
    vst_with_design: Annotated[
        bool,
        typer.Option(
            "--vst-with-design", help="Fit the trend of --vst with the design."
        ),
    ] = False,
    alpha: Annotated[float, typer.Option(help="False discovery rate aimed at.")] = 0.1,
    lfc_threshold: Annotated[
        float, typer.Option(help="Test against this log2 fold change, not 0.")
    ] = 0.0,
    alternative: Annotated[
        str, typer.Option(help="greaterAbs, lessAbs, greater or less.")
    ] = "greaterAbs",
    pseudobulk: Annotated[
        str | None,
        typer.Option(help="Sum cells by these columns of obs: donor,cell_type."),
    ] = None,
    min_cells: Annotated[
        int, typer.Option(help="Fewest cells of a donor and type that are summed.")
    ] = 10,
    layer: Annotated[
        str | None,
        typer.Option(help="Where an .h5ad has raw counts: a layer, X or raw."),
    ] = None,
    size_factors: Annotated[
        str, typer.Option(help="auto, ratio, poscounts or iterate.")
    ] = "auto",
    trend: Annotated[
        str, typer.Option(help="Dispersion trend: parametric, local or mean.")
    ] = "parametric",
    prior_variance: Annotated[
        float | None,
        typer.Option(
            help="Variance of log dispersions around the trend. [default: estimated]",
            show_default=False,
        ),
    ] = None,
    no_cooks_filter: Annotated[
        bool, typer.Option("--no-cooks-filter", help="Outliers keep their p-value.")
    ] = False,
    no_independent_filtering: Annotated[
        bool,
        typer.Option("--no-independent-filtering", help="Adjust all p-values."),
    ] = False,
    samples_subset: Annotated[
        bool,
        typer.Option(
            "--samples-subset", help="Leave out counts of samples not in the table."
        ),
    ] = False,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for plots and size factors.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with counts and plots (.html).")
    ] = None,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Show no progress.")
    ] = False,
    example: Annotated[
        Path | None,
        typer.Option(
            callback=_example,
            is_eager=True,
            help="Write a small experiment into this folder, and end.",
        ),
    ] = None,
) -> None:
    """Find the genes whose expression differs, as DESeq2 does.

    \b
    Example, on a small simulated experiment:
        diffbio-eqx de --example experiment
        diffbio-eqx de experiment/counts.tsv.gz experiment/samples.tsv \\
            --design "~ batch + condition" \\
            --contrast condition,treated,control -o results.tsv --plots plots
    """
    check_report(report)
    references = _references(reference or [])
    groups = None if pseudobulk is None else _groups(pseudobulk)
    keep_compiled_programs()
    from diffbio_eqx.jobs.de import differential_expression

    options: dict[str, Any] = {}
    if prior_variance is not None:
        options["prior_variance"] = prior_variance
    if no_cooks_filter:
        options["cooks_filter"] = False
    if no_independent_filtering:
        options["independent_filtering"] = False
    with _spinner(show=not no_progress) as progress:
        summary = differential_expression(
            counts,
            samples,
            output,
            design=design,
            contrast=contrast,
            lrt=lrt,
            shrink=shrink,
            vst=vst,
            vst_blind=not vst_with_design,
            alpha=alpha,
            lfc_threshold=lfc_threshold,
            alternative=alternative,
            reference_levels=references,
            size_factors=size_factors,
            trend=trend,
            subset=samples_subset,
            groups=groups,
            min_cells=min_cells,
            layer=layer,
            plots=plots,
            options=options,
            progress=progress,
        )
    say(str(summary))
    if plots is not None:
        say(f"plots in {plots}")
    if report is not None:
        from diffbio_eqx.jobs.de_report import write_de_report

        write_de_report(report, summary)
        say(f"report in {report}")


def _references(texts: list[str]) -> dict[str, str]:
    levels = {}
    for text in texts:
        name, mark, level = text.partition("=")
        if not (name.strip() and mark and level.strip()):
            fail("--reference", expected="column=level", got=repr(text))
        levels[name.strip()] = level.strip()
    return levels


def _groups(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if len(names) != 2 or not all(names):
        fail(
            "--pseudobulk",
            expected="two columns of obs, such as donor,cell_type",
            got=repr(text),
        )
    return names


@contextlib.contextmanager
def _spinner(*, show: bool) -> Iterator[Any]:
    """Gives a function that shows what is being done, or None where nothing is."""
    if not (show and console().is_terminal):
        yield None
        return
    with console().status("starting") as status:
        yield status.update
