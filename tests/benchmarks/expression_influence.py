"""Influence of samples from one pass, against leaving each sample out and refitting.

    python tests/benchmarks/expression_influence.py

24 simulated samples in two groups, 5,000 genes, three seeds. For each sample, the rank
correlation over genes between the change in log p that influence foretells and the
change that a refit without the sample finds. Speed-up: CPU seconds of the 24 refits
(each warm, of one compiled program) over those of the influence (warm).
"""

import time

import equinox as eqx
import jax
import numpy as np
from measuring import show, write
from scipy.stats import spearmanr

import diffbio_eqx as dbx
from diffbio_eqx.simulate import simulate_counts

SAMPLES, GENES, SEEDS = 24, 5_000, (11, 12, 13)


def timed(function):
    """CPU seconds and result of a call that is compiled already."""
    jax.block_until_ready(function())
    start = time.process_time()
    result = jax.block_until_ready(function())
    return time.process_time() - start, result


def one(seed: int) -> dict:
    """Agreement and speed-up on one simulated experiment."""
    s = simulate_counts(GENES, SAMPLES, seed=seed)
    sample = dbx.CountMatrix.from_arrays(s.counts, s.design)
    pipeline = dbx.create_differential_expression_pipeline()
    run = eqx.filter_jit(pipeline)
    whole = run(sample)
    spent, influence = timed(lambda: dbx.sample_influence(pipeline, sample))
    refits, agreement, effects = 0.0, [], []
    for j in range(SAMPLES):
        kept = np.arange(SAMPLES) != j
        fewer = dbx.CountMatrix.from_arrays(s.counts[kept], s.design[kept])
        if j == 0:
            jax.block_until_ready(run(fewer))
        start = time.process_time()
        found = jax.block_until_ready(run(fewer))
        refits += time.process_time() - start
        for name, column, into in (
            ("log_p", "log_p_values", agreement),
            ("log_fold_change", "log_fold_change", effects),
        ):
            change = np.asarray(getattr(found, column) - getattr(whole, column))
            told = -np.asarray(getattr(influence, name)[j])
            known = np.isfinite(change)
            into.append(spearmanr(change[known], told[known])[0])
    return {
        "log p: median": float(np.median(agreement)),
        "worst": float(np.min(agreement)),
        "log2FC: median": float(np.median(effects)),
        "worst effect": float(np.min(effects)),
        "refits / influence, CPU s": refits / spent,
        "influence, CPU s": spent,
    }


if __name__ == "__main__":
    with jax.enable_x64(True):
        table = {f"seed {seed}": one(seed) for seed in SEEDS}
    names = list(next(iter(table.values())))
    show(["", *names], [[key, *row.values()] for key, row in table.items()])
    note = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
    title = "Influence of samples on tests"
    write("expression_influence", {"title": title, "note": note, "runs": table})
