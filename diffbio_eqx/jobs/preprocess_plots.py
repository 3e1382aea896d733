"""Plots of preprocessing: qualities, base content, what was trimmed, inserts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from diffbio_eqx._checks import require_extra
from diffbio_eqx.jobs.preprocess_summary import PreprocessSummary

_COLOURS = {"A": "#4c9f70", "C": "#3b6ea5", "G": "0.3", "T": "#c0392b", "N": "#e0a030"}


def quality_plot(summary: PreprocessSummary) -> Any:
    """Mean Phred of each cycle, before (grey) and after."""
    figure, axes = _figure(len(summary.before))
    for number, (ax, one, two) in enumerate(
        zip(axes, summary.before, summary.after, strict=True), 1
    ):
        for part, colour, label in ((one, "0.6", "before"), (two, "#3b6ea5", "after")):
            quality = part.mean_quality
            ax.plot(np.arange(1, len(quality) + 1), quality, color=colour, label=label)
        ax.set(xlabel=f"cycle of read {number}", ylabel="mean Phred", ylim=(0, 42))
        ax.legend(frameon=False, loc="lower left")
    return figure


def content_plot(summary: PreprocessSummary) -> Any:
    """Share of each base at each cycle, before (dotted) and after."""
    figure, axes = _figure(len(summary.before))
    for number, (ax, one, two) in enumerate(
        zip(axes, summary.before, summary.after, strict=True), 1
    ):
        for part, style in ((one, ":"), (two, "-")):
            shares = part.content()
            for letter, colour in _COLOURS.items():
                values = shares[letter]
                label = letter if style == "-" else None
                ax.plot(
                    *(np.arange(1, len(values) + 1), values, style),
                    color=colour,
                    label=label,
                )
        ax.set(xlabel=f"cycle of read {number}", ylabel="share of bases", ylim=(0, 0.6))
        ax.legend(frameon=False, ncols=5, loc="upper center")
        ax.set_title("dotted: before", fontsize=9)
    return figure


def length_plot(summary: PreprocessSummary) -> Any:
    """How many reads have each length, before (grey) and after."""
    figure, axes = _figure(len(summary.before))
    for number, (ax, one, two) in enumerate(
        zip(axes, summary.before, summary.after, strict=True), 1
    ):
        for part, colour, label in ((one, "0.6", "before"), (two, "#3b6ea5", "after")):
            size = np.arange(len(part.lengths))
            ax.step(size, part.lengths, where="mid", color=colour, label=label)
        ax.set_yscale("symlog")
        ax.set(xlabel=f"bases of read {number}", ylabel="reads")
        ax.legend(frameon=False, loc="upper left")
    return figure


def insert_plot(summary: PreprocessSummary) -> Any:
    """Insert lengths where adapter or overlap showed them."""
    figure, (ax,) = _figure(1)
    ax.bar(np.arange(len(summary.inserts)), summary.inserts, width=1, color="#3b6ea5")
    what = "pairs" if summary.paired else "reads"
    ax.set(xlabel="insert length, where the read runs past it", ylabel=what)
    return figure


PLOTS: dict[str, Callable[[PreprocessSummary], Any]] = {
    "quality by cycle": quality_plot,
    "bases by cycle": content_plot,
    "lengths of reads": length_plot,
    "insert lengths": insert_plot,
}


def _figure(number: int) -> Any:
    require_extra("matplotlib", "plots")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * number, 3.4), layout="constrained")
    axes = figure.subplots(1, number, squeeze=False)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes
