"""The report of a run of differential expression, as a page to open in a browser."""

import base64
import html
import io
import os

import numpy as np

from diffbio_eqx._version import __version__
from diffbio_eqx.jobs.de_plots import PLOTS
from diffbio_eqx.jobs.de_summary import DeResult, DeSummary
from diffbio_eqx.jobs.html_page import page, table, write_page

_TOP = 30
_CAPTIONS = {
    "ma": "effects against means",
    "volcano": "evidence against effects",
    "dispersion": "dispersions",
    "p_values": "p-values",
    "size_factors": "size factors",
}


def write_de_report(path: str | os.PathLike[str], summary: DeSummary) -> None:
    """Write counts of genes, plots and the strongest genes as one HTML page.

    The page loads nothing: plots are part of it.
    """
    parts = []
    for part in summary.parts:
        if part.cell_type is not None:
            parts.append(f"<h1>{html.escape(part.cell_type)}</h1>")
        parts += [_genes(part), "<h2>Plots</h2>", *_plots(part), _strongest(part)]
    if summary.notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in summary.notes)
        parts.append(f"<h2>Notes</h2><ul>{items}</ul>")
    if summary.skipped:
        parts.append(table("Not tested", summary.skipped))
    parts.append(_run(summary))
    write_page(
        path, page("Differential expression", parts, f"diffbio_eqx {__version__}")
    )


def _genes(part: DeResult) -> str:
    c = part.counts
    rows: dict[str, str | int | float] = {
        "test": part.info.contrast_name,
        "samples": len(part.samples),
        "genes": c["genes"],
        "genes with a count": c["with counts"],
        f"up, adjusted p < {part.alpha:g}": c["up"],
        f"down, adjusted p < {part.alpha:g}": c["down"],
        "no p-value: Cook's outliers": c["outliers"],
        f"no adjusted p-value: mean count < {part.filter_threshold:.3g}": c[
            "low counts"
        ],
        "genes with replaced outliers": c["outliers replaced"],
        "fits that did not converge": c["not converged"],
    }
    return table("Genes", rows)


def _plots(part: DeResult) -> list[str]:
    """The plots, or a line where matplotlib is not installed."""
    figures = []
    for name, draw in PLOTS.items():
        try:
            figure = draw(part)
        except ImportError as error:
            return [f"<p>{html.escape(str(error))}</p>"]
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=110)
        text = base64.b64encode(data.getvalue()).decode()
        caption = _CAPTIONS[name]
        figures.append(
            f"<figure><img width='440' alt='{caption}' "
            f"src='data:image/png;base64,{text}'><figcaption>{caption}</figcaption>"
            "</figure>"
        )
    return figures


def _strongest(part: DeResult) -> str:
    """The genes of the smallest p-values."""
    columns = part.columns
    log_p = np.asarray(part.result.log_p_values)
    known = np.flatnonzero(np.isfinite(columns["padj"]) & (log_p == log_p))
    best = known[np.argsort(log_p[known], kind="stable")][:_TOP]
    head = "".join(f"<th>{name}</th>" for name in ("gene", *columns))
    rows = []
    for i in best:
        numbers = "".join(
            f"<td class='number'>{values[i]:.3g}</td>" for values in columns.values()
        )
        rows.append(f"<tr><td>{html.escape(part.genes[i])}</td>{numbers}</tr>")
    return (
        f"<h2>Genes of the smallest p-values</h2><table><tr>{head}</tr>"
        f"{''.join(rows)}</table>"
    )


def _run(summary: DeSummary) -> str:
    info, part = summary.parts[0].info, summary.parts[0]
    references = ", ".join(f"{k}: {v}" for k, v in info.reference_levels.items())
    rows: dict[str, str | int | float] = {
        "output": summary.output,
        "design": info.formula,
        "coefficients": ", ".join(info.coefficient_names),
        "reference levels": references or "none",
        "test": "likelihood ratio against " + info.reduced_formula
        if part.test == "lrt" and info.reduced_formula
        else "Wald",
    }
    if part.shrinkage:
        rows["shrinkage"] = part.shrinkage
    return table("Run", rows)
