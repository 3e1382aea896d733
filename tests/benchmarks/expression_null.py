"""Experiments without any effect: are p-values uniform, and is anything called?

    python tests/benchmarks/expression_null.py

2,000 genes x 8 samples, no effect, five seeds; R DESeq2 on the same counts. For the
genes that both test: distance of Kolmogorov and Smirnov from uniform, share of p < 0.05
and p < 0.01 with 95 % intervals (binomial, over genes and seeds), calls at padj < 0.05.
"""

import tempfile
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from expression_peers import read_table, run_r, write_counts
from measuring import show, write
from scipy.stats import kstest

import diffbio_eqx as dbx
from diffbio_eqx.metrics import wilson_interval
from diffbio_eqx.simulate import simulate_counts

SEEDS = range(5)


def both(seed: int) -> tuple[dict, dict]:
    """p and padj of ours and of R's on one null experiment."""
    s = simulate_counts(2_000, 8, seed=100 + seed, differential=0.0)
    pipeline = dbx.create_differential_expression_pipeline()
    sample = dbx.CountMatrix.from_arrays(s.counts, s.design)
    found = eqx.filter_jit(pipeline)(sample)
    with tempfile.TemporaryDirectory() as folder:
        write_counts(Path(folder), s.counts, s.design[:, -1])
        run_r(Path(folder))
        peer = read_table(Path(folder) / "r.tsv")
    ours = {"p": np.asarray(found.p_values), "padj": found.adjusted_p_values}
    return ours, {"p": peer["pvalue"], "padj": peer["padj"]}


def describe(tables: list[dict]) -> dict:
    """Pooled over seeds."""
    p = np.concatenate([t["p"] for t in tables])
    p = p[np.isfinite(p)]
    row = {"tests": len(p)}
    distances = [kstest(t["p"][np.isfinite(t["p"])], "uniform")[0] for t in tables]
    row["KS distance, mean over seeds"] = float(np.mean(distances))
    for level in (0.05, 0.01):
        below = int((p < level).sum())
        low, high = wilson_interval(below, len(p))
        row[f"p < {level}"] = f"{below / len(p):.4f} ({low:.4f} to {high:.4f})"
    calls = [int((np.asarray(t["padj"]) < 0.05).sum()) for t in tables]
    row["called at 5 %, by seed"] = calls
    return row


if __name__ == "__main__":
    with jax.enable_x64(True):
        pairs = [both(seed) for seed in SEEDS]
    ours, theirs = zip(*pairs, strict=True)
    table = {"ours": describe(list(ours)), "R DESeq2": describe(list(theirs))}
    names = list(table["ours"])
    show(["", *names], [[key, *row.values()] for key, row in table.items()])
    note = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
    title = "Tests where there is no effect"
    write("expression_null", {"title": title, "note": note, "tools": table})
