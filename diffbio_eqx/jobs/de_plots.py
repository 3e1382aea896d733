"""Plots of a test: effects, evidence, dispersions, p-values and size factors."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from diffbio_eqx._checks import require_extra
from diffbio_eqx.io._tables import written_whole
from diffbio_eqx.jobs.de_summary import DeResult

_UP, _DOWN, _GREY, _BLUE, _RED = "#c0392b", "#3b6ea5", "0.7", "#3b6ea5", "#c0392b"
_LABELLED = 7
_LISTED_SAMPLES = 40


def write_de_plots(folder: str | os.PathLike, part: DeResult) -> list[Path]:
    """Write the plots as PNG into `folder`, and the size factors as a table.

    `ma.png`, `volcano.png`, `dispersion.png`, `p_values.png`, `size_factors.png` and
    `size_factors.tsv`. The folder is created if it is not there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in PLOTS.items():
        path = folder / f"{name}.png"
        beside = folder / f".{name}.part"
        try:
            draw(part).savefig(beside, format="png", dpi=150)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        paths.append(path)
    path = folder / "size_factors.tsv"
    with written_whole(path) as file:
        file.write("sample\tsize_factor\tlibrary_size\n")
        rows = zip(part.samples, _size_factors(part), part.library_sizes, strict=True)
        for sample, factor, size in rows:
            file.write(f"{sample}\t{factor:.12g}\t{size:.0f}\n")
    return [*paths, path]


def ma_plot(part: DeResult) -> Any:
    """Effects against means; significant genes in colour."""
    columns = part.columns
    mean, lfc = columns["baseMean"], columns["log2FoldChange"]
    shown = (mean > 0) & np.isfinite(lfc)
    found = shown & _below(columns["padj"], part.alpha)
    figure, axes = _figure()
    spread = np.quantile(np.abs(lfc[shown]), 0.995) if shown.any() else 1.0
    if found.any():
        spread = max(spread, np.quantile(np.abs(lfc[found]), 0.99))
    limit = max(1.0, 1.1 * float(spread))
    for mask, colour, label in (
        (shown & ~found, _GREY, None),
        (found & (lfc > 0), _UP, f"up, adjusted p < {part.alpha:g}"),
        (found & (lfc <= 0), _DOWN, f"down, adjusted p < {part.alpha:g}"),
    ):
        outside = np.abs(lfc) > limit
        y = np.clip(lfc, -limit, limit)
        _dots(axes, mean[mask & ~outside], y[mask & ~outside], colour, label)
        for sign, mark in ((1, "^"), (-1, "v")):
            far = mask & outside & (np.sign(lfc) == sign)
            axes.plot(mean[far], y[far], mark, ms=3.5, mfc="none", mec=colour, mew=0.6)
    axes.axhline(0, color="0.2", lw=0.8)
    if part.lfc_threshold:
        for y in (-part.lfc_threshold, part.lfc_threshold):
            axes.axhline(y, color="0.2", lw=0.8, ls="--")
    axes.set_xscale("log")
    axes.set_ylim(-1.05 * limit, 1.05 * limit)
    axes.set_xlabel("mean of scaled counts")
    axes.set_ylabel(f"log2 fold change{_shrunken(part)}")
    _finish(axes, part)
    return figure


def volcano_plot(part: DeResult) -> Any:
    """Evidence against effects; the genes of the smallest p-values are named."""
    columns = part.columns
    lfc = columns["log2FoldChange"]
    evidence = -np.asarray(part.result.log_p_values) / np.log(10)
    shown = np.isfinite(lfc) & np.isfinite(evidence)
    found = shown & _below(columns["padj"], part.alpha)
    figure, axes = _figure()
    for mask, colour, label in (
        (shown & ~found, _GREY, None),
        (found & (lfc > 0), _UP, f"up, adjusted p < {part.alpha:g}"),
        (found & (lfc <= 0), _DOWN, f"down, adjusted p < {part.alpha:g}"),
    ):
        _dots(axes, lfc[mask], evidence[mask], colour, label)
    if shown.any():
        width = float(np.quantile(np.abs(lfc[shown]), 0.999))
        if found.any():
            width = max(width, float(np.quantile(np.abs(lfc[found]), 0.995)))
        width = 1.1 * width + 0.1
        axes.set_xlim(-width, width)
        for sign, mark in ((1, ">"), (-1, "<")):
            far = np.flatnonzero(shown & (sign * lfc > width))
            colour = [_DOWN, _UP][sign > 0]
            edges = [colour if found[i] else _GREY for i in far]
            x = np.full(len(far), 0.98 * sign * width)
            y = evidence[far]
            axes.scatter(x, y, 10, marker=mark, facecolors="none", edgecolors=edges)
            _name_best(
                axes,
                part,
                found & (sign * lfc > 0) & (sign * lfc <= width),
                lfc,
                evidence,
            )
    axes.set_xlabel(f"log2 fold change{_shrunken(part)}")
    axes.set_ylabel("-log10 p")
    _finish(axes, part)
    return figure


def dispersion_plot(part: DeResult) -> Any:
    """Gene-wise dispersions, their trend and what is used; outliers are circled."""
    r = part.result
    mean, gene, fit, final = (
        np.asarray(x)
        for x in (r.base_mean, r.gene_dispersion, r.fitted_dispersion, r.dispersion)
    )
    shown = (mean > 0) & np.isfinite(gene) & np.isfinite(final) & (final > 0)
    figure, axes = _figure()
    low = 1e-8
    if shown.any():
        # Genes at the lower bound would squeeze all others.
        low = max(1e-8, 10 ** np.floor(np.log10(0.05 * np.quantile(fit[shown], 0.01))))
    at_floor = shown & (gene < low)
    y = np.maximum(gene, low)
    _dots(axes, mean[shown & ~at_floor], y[shown & ~at_floor], "0.25", "gene by gene")
    axes.plot(
        mean[at_floor],
        y[at_floor],
        "v",
        ms=2.5,
        mfc="none",
        mec="0.6",
        mew=0.4,
        rasterized=True,
        label=f"gene by gene, below {low:g}",
    )
    outlier = shown & (np.asarray(r.dispersion_outlier) > 0.5)
    inner = shown & ~outlier
    _dots(axes, mean[inner], np.maximum(final[inner], low), _BLUE, "used")
    axes.plot(
        mean[outlier],
        final[outlier],
        "o",
        ms=5,
        mfc="none",
        mec=_BLUE,
        mew=0.8,
        label="outlier, kept as it is",
    )
    order = np.flatnonzero(shown)[np.argsort(mean[shown])]
    axes.plot(mean[order], fit[order], color=_RED, lw=1.6, label="trend")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("mean of scaled counts")
    axes.set_ylabel("dispersion")
    _finish(axes, part)
    return figure


def p_value_histogram(part: DeResult) -> Any:
    """Counts of p-values; without effects they are level."""
    columns = part.columns
    p = columns["pvalue"]
    known = np.isfinite(p)
    low = known & ~np.isfinite(columns["padj"])
    bins = np.linspace(0, 1, 41)
    figure, axes = _figure()
    axes.hist(
        [p[known & ~low], p[low]],
        bins,
        stacked=True,
        color=[_BLUE, _GREY],
        label=["tested", "mean count too low"],
    )
    axes.set_xlim(0, 1)
    axes.set_xlabel("p-value")
    axes.set_ylabel("genes")
    _finish(axes, part)
    return figure


def size_factor_plot(part: DeResult) -> Any:
    """Size factors beside library sizes, both relative to their geometric means."""
    factors = _size_factors(part)
    libraries = part.library_sizes / np.exp(np.log(part.library_sizes).mean())
    figure, axes = _figure()
    if len(factors) <= _LISTED_SAMPLES:
        rows = np.arange(len(factors))[::-1]
        axes.hlines(
            rows,
            np.minimum(factors, libraries),
            np.maximum(factors, libraries),
            color="0.85",
            lw=1.5,
        )
        axes.plot(libraries, rows, "o", ms=4, color=_GREY, label="library size")
        axes.plot(factors, rows, "o", ms=5, color=_BLUE, label="size factor")
        axes.axvline(1, color="0.2", lw=0.8)
        axes.set_yticks(rows, part.samples, fontsize=8 if len(rows) <= 20 else 5)
        axes.set_xlabel("relative to the geometric mean")
    else:
        axes.plot(libraries, factors, "o", ms=3.5, color=_BLUE, label="a sample")
        ends = [
            min(libraries.min(), factors.min()),
            max(libraries.max(), factors.max()),
        ]
        axes.plot(ends, ends, color="0.2", lw=0.8, label="equal")
        axes.set_xlabel("library size, relative to the geometric mean")
        axes.set_ylabel("size factor")
    _finish(axes, part)
    return figure


PLOTS: dict[str, Callable[[DeResult], Any]] = {
    "ma": ma_plot,
    "volcano": volcano_plot,
    "dispersion": dispersion_plot,
    "p_values": p_value_histogram,
    "size_factors": size_factor_plot,
}


def _name_best(axes, part: DeResult, genes, x, y) -> None:
    """Names beside the highest points, towards the middle, none over another."""
    best = np.flatnonzero(genes)
    best = best[np.argsort(-y[best], kind="stable")][:_LABELLED]
    height = 0.03 * max(float(np.nanmax(y[np.isfinite(y)])), 1e-9)
    last = np.inf
    for i in best:
        if last - y[i] < height:
            continue
        last = y[i]
        right = x[i] > 0
        axes.annotate(
            part.genes[i],
            (x[i], y[i]),
            xytext=(-4 if right else 4, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            fontsize=6,
        )


def _figure():
    require_extra("matplotlib", "plots")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _finish(axes: Any, part: DeResult) -> None:
    title = part.info.contrast_name
    if part.cell_type is not None:
        title = f"{part.cell_type}: {title}"
    axes.set_title(title, fontsize=10)
    if axes.get_legend_handles_labels()[0]:
        legend = axes.legend(frameon=False, fontsize=8)
        for handle in legend.legend_handles:
            if getattr(handle, "get_marker", str)() == ".":
                handle.set_markersize(9)


def _dots(axes: Any, x: np.ndarray, y: np.ndarray, colour: str, label: str | None):
    if len(x):
        axes.plot(x, y, ".", ms=2.5, color=colour, mew=0, label=label, rasterized=True)


def _below(values: np.ndarray, limit: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return values < limit


def _shrunken(part: DeResult) -> str:
    return f", shrunken ({part.shrinkage})" if part.shrinkage else ""


def _size_factors(part: DeResult) -> np.ndarray:
    return np.asarray(part.result.size_factors)
