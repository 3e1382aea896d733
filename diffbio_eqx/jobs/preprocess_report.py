"""The report of a run of preprocessing, as a page to open in a browser."""

import base64
import html
import io
import os

from diffbio_eqx._version import __version__
from diffbio_eqx.jobs.html_page import page, table, write_page
from diffbio_eqx.jobs.preprocess_plots import PLOTS
from diffbio_eqx.jobs.preprocess_summary import PreprocessSummary


def write_preprocess_report(
    path: str | os.PathLike[str], summary: PreprocessSummary
) -> None:
    """Write counts, adapters, expected wrong cuts and plots as one HTML page.

    The page loads nothing: plots are part of it.
    """
    bases = [sum(p.total_bases for p in x) for x in (summary.before, summary.after)]
    rows: dict[str, str | int | float] = {
        "reads in": summary.reads_in,
        "reads out": summary.reads_out,
        "bases in": bases[0],
        "bases out": bases[1],
    }
    for name, parts in (("before", summary.before), ("after", summary.after)):
        total = max(sum(p.total_bases for p in parts), 1)
        rows[f"bases of Q30 or more, {name}"] = (
            f"{100 * sum(p.q30 for p in parts) / total:.1f} %"
        )
    if summary.correction:
        rows["errors"] = summary.correction
    parts = [table("Reads", rows)]
    if summary.notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in summary.notes)
        parts.append(f"<h2>Notes</h2><ul>{items}</ul>")
    parts.append(table("Bases trimmed", summary.trimmed_rows()))
    parts.append(table("Reads dropped", summary.dropped_rows()))
    parts.append(_adapters(summary))
    if summary.duplicate_share is not None and summary.molecules is not None:
        copies: dict[str, str | int | float] = {
            "pairs" if summary.paired else "reads": summary.passed,
            "effective number of molecules": round(summary.molecules),
            "share of copies": f"{100 * summary.duplicate_share:.2f} %",
        }
        parts.append(table("Copies", copies))
    parts += ["<h2>Plots</h2>", *_plots(summary)]
    files: dict[str, str | int | float] = {
        "input": ", ".join(summary.inputs),
        "output": ", ".join(summary.outputs),
    }
    parts.append(table("Files", files))
    write_page(path, page("Preprocessing", parts, f"diffbio_eqx {__version__}"))


def _adapters(summary: PreprocessSummary) -> str:
    rows: dict[str, str | int | float] = {"looked for": summary.kit or "none"}
    rows |= {f"reads cut by {name}": n for name, n in summary.adapters.items()}
    if summary.paired:
        rows["reads cut by the overlap of mates"] = summary.trimmed_reads["overlap"]
    rows["cuts expected to be wrong"] = f"{100 * summary.false_trim_rate:.2g} %"
    rows["bases of inserts expected to be lost"] = round(summary.false_bases)
    return table("Adapters", rows)


def _plots(summary: PreprocessSummary) -> list[str]:
    """The plots, or a line where matplotlib is not installed."""
    figures = []
    for caption, draw in PLOTS.items():
        try:
            figure = draw(summary)
        except ImportError as error:
            return [f"<p>{html.escape(str(error))}</p>"]
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=110)
        text = base64.b64encode(data.getvalue()).decode()
        figures.append(
            f"<figure><img style='max-width:100%' alt='{caption}' "
            f"src='data:image/png;base64,{text}'><figcaption>{caption}</figcaption>"
            "</figure>"
        )
    return figures
