"""How near the whole run comes to R DESeq2 1.38.3: quantiles of the deviations.

    python tests/benchmarks/expression_parity.py DATA_FOLDER

End to end from the counts, in float64 with R's rules (`solver="deseq2"`), in float64 at
the optimum (`"exact"`), and in float32. On airway R's prior variance is given, as R
draws its own; the row `own prior` estimates it.
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from measuring import show, write

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from expression_references import SETS, load_reference, relative  # noqa: E402

import diffbio_eqx as dbx  # noqa: E402


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the genes called by either that both call."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def compare(reference, found) -> dict:
    """Deviations of one run from R's tables."""
    genes, wald = reference.table("gene_table"), reference.table("wald")
    settled = genes["betaConv"] == 1
    effect = np.abs(np.asarray(found.log_fold_change) - wald["log2FoldChange"])
    effect = effect[settled & np.isfinite(effect)]
    trend = [reference.meta["asymptDisp"], reference.meta["extraPois"]]
    padj, theirs = np.asarray(found.adjusted_p_values), wald["padj_default"]
    at = lambda column, name: float(
        np.quantile(relative(getattr(found, column), genes[name]), 0.99)
    )
    return {
        "trend, rel": float(relative(found.trend_coefficients, trend).max()),
        "prior variance": float(found.prior_variance),
        "gene-wise dispersion, rel 99 %": at("gene_dispersion", "dispGeneEst"),
        "MAP dispersion, rel 99 %": at("map_dispersion", "dispMAP"),
        "log2FC, median": float(np.median(effect)),
        "99.9 %": float(np.quantile(effect, 0.999)),
        "max": float(effect.max()),
        "called at 5 %": int((padj < 0.05).sum()),
        "by R": int((theirs < 0.05).sum()),
        "Jaccard": jaccard(padj < 0.05, theirs < 0.05),
        "same NA of padj": float((np.isnan(padj) == np.isnan(theirs)).mean()),
    }


def runs(root: Path, name: str):
    """Label and result of every way to run one set."""
    with jax.enable_x64(True):
        reference = load_reference(root, name)
        given = {"prior_variance": reference.meta["dispPriorVar"]}
        given = given if name == "airway_R" else {}
        ways = {"float64": given, "float64, exact": {**given, "solver": "exact"}}
        if given:
            ways["float64, own prior"] = {}
        for label, fields in ways.items():
            yield label, reference, run(reference.sample, fields)
    narrow = lambda x: x.astype(np.float32) if x.dtype == np.float64 else x
    yield "float32", reference, run(jax.tree.map(narrow, reference.sample), given)


def run(sample, fields):
    """One run."""
    return eqx.filter_jit(dbx.create_differential_expression_pipeline(**fields))(sample)


if __name__ == "__main__":
    table = {}
    for name in SETS:
        for label, reference, found in runs(Path(sys.argv[1]), name):
            table[f"{name}, {label}"] = compare(reference, found)
    names = list(next(iter(table.values())))
    show(["", *names], [[key, *row.values()] for key, row in table.items()])
    note = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
    title = "Differential Expression: deviation from R DESeq2"
    write("expression_parity", {"title": title, "note": note, "sets": table})
