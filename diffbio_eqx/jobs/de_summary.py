"""What a run of differential expression found, with the names that arrays lack."""

import dataclasses
from typing import Any

import numpy as np

from diffbio_eqx.data.design_formula import DesignInfo
from diffbio_eqx.data.differential_expression import DifferentialExpression


@dataclasses.dataclass(frozen=True)
class DeResult:
    """One test: the `result` (NumPy arrays, NaN for NA) with its names.

    `cell_type` is None but for pseudo-bulk; `alpha` and `lfc_threshold` are those of
    the test. `library_sizes` (samples,) are sums of counts.
    """

    cell_type: str | None
    genes: tuple[str, ...]
    samples: tuple[str, ...]
    info: DesignInfo
    result: DifferentialExpression
    library_sizes: np.ndarray
    alpha: float
    lfc_threshold: float
    test: str = "wald"
    shrinkage: str | None = None

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """DESeq2's columns (genes,); shrunken effects as its `lfcShrink` puts them.

        `stat` stays that of the test. apeglm adds `svalue`.
        """
        r = self.result
        columns = {
            "baseMean": r.base_mean,
            "log2FoldChange": r.log_fold_change,
            "lfcSE": r.standard_error,
            "stat": r.statistic,
            "pvalue": r.p_values,
            "padj": r.adjusted_p_values,
        }
        if r.shrunken_log_fold_change is not None:
            columns["log2FoldChange"] = r.shrunken_log_fold_change
            columns["lfcSE"] = r.shrunken_standard_error
        if r.s_values is not None:
            columns["svalue"] = r.s_values
        # R has NA, not 0, where nothing was counted in any sample.
        nothing = ~np.asarray(r.tested)
        return {
            name: np.asarray(x) if name == "baseMean" else np.where(nothing, np.nan, x)
            for name, x in columns.items()
        }

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of genes, counted as DESeq2's `summary()` does."""
        columns = self.columns
        lfc, p, padj = (columns[x] for x in ("log2FoldChange", "pvalue", "padj"))
        counted = columns["baseMean"] > 0
        with np.errstate(invalid="ignore"):
            found = padj < self.alpha
            up = found & (lfc > self.lfc_threshold)
            down = found & (lfc < -self.lfc_threshold)
        tested = np.asarray(self.result.tested)
        numbers = {
            "genes": np.ones(len(self.genes), bool),
            "without counts": ~counted,
            "with counts": counted,
            "up": up,
            "down": down,
            "outliers": counted & np.isnan(p),
            "low counts": ~np.isnan(p) & np.isnan(padj),
            "outliers replaced": np.asarray(self.result.replaced) & tested,
            "not converged": tested & ~np.asarray(self.result.converged),
        }
        return {name: int(np.sum(x)) for name, x in numbers.items()}

    @property
    def filter_threshold(self) -> float:
        """The mean below which genes were filtered."""
        threshold = float(self.result.filter_threshold)
        return threshold if np.isfinite(threshold) else 0.0

    def __str__(self) -> str:
        c = self.counts
        share = lambda n: f"{n:,} ({100 * n / max(c['with counts'], 1):.2g} %)"
        head = self.info.contrast_name
        if self.test == "lrt":
            head = f"{self.info.formula} against {self.info.reduced_formula}; {head}"
        if self.cell_type is not None:
            head = f"{self.cell_type}: {head}"
        large = ""
        if self.lfc_threshold:
            large = f" (beyond a log2 fold change of {self.lfc_threshold:g})"
        lines = [
            f"{head} ({len(self.samples)} samples, {len(self.genes):,} genes, "
            f"{c['with counts']:,} with a count)",
            f"  adjusted p < {self.alpha:g}: {share(c['up'])} up, "
            f"{share(c['down'])} down{large}",
            f"  no p-value, Cook's outliers: {share(c['outliers'])}; no adjusted "
            f"p-value, mean count < {self.filter_threshold:.0f}: "
            f"{share(c['low counts'])}",
        ]
        if c["outliers replaced"]:
            lines.append(
                f"  outlying counts were replaced in {c['outliers replaced']:,} genes"
            )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class DeSummary:
    """All tests of a run: one, or one a cell type.

    `skipped` says why cell types have no test. `notes` are sentences for the user.
    """

    output: str
    parts: tuple[DeResult, ...]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def result(self) -> DeResult:
        """The only test (`ValueError` if there are several, one a cell type)."""
        if len(self.parts) != 1:
            names = ", ".join(str(part.cell_type) for part in self.parts)
            raise ValueError(f"there is a result for each of {names}: see `parts`.")
        return self.parts[0]

    def rows(self) -> tuple[list[str], dict[str, Any]]:
        """Genes and columns of the long table that is written."""
        genes = [gene for part in self.parts for gene in part.genes]
        columns: dict[str, Any] = {}
        if self.parts[0].cell_type is not None:
            columns["cell_type"] = [
                str(part.cell_type) for part in self.parts for _ in part.genes
            ]
        for name in self.parts[0].columns:
            columns[name] = np.concatenate([part.columns[name] for part in self.parts])
        return genes, columns

    def __str__(self) -> str:
        lines = [f"note: {note}" for note in self.notes]
        lines += [str(part) for part in self.parts]
        if self.skipped:
            lines.append(f"not tested: {', '.join(self.skipped)}")
        return "\n".join([*lines, f"written to {self.output}"])
