"""A whole run of Differential Expression against R DESeq2 and PyDESeq2, one thread.

    PEER_PYTHON=... taskset -c 0 python tests/benchmarks/expression_speed.py [ROUNDS]

Simulated experiments of 20,000 genes with 8, 100 and 500 samples; every route starts
from counts in memory and ends with adjusted p-values. CPU seconds (user + system), the
routes in turn in each round. Cold: a fresh process without stored programs, its first
call; warm: a later call in that process. Imports and reading are left out everywhere.

More arguments are the numbers of samples to measure.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from expression_peers import (
    ONE_THREAD,
    read_table,
    run_pydeseq2,
    run_r,
    write_counts,
)
from measuring import RESULTS, middle, show, write

from diffbio_eqx.simulate import simulate_counts

GENES = 20_000
SIZES = (8, 100, 500)

_OURS = """
import sys, time
import numpy as np, jax, equinox as eqx
jax.config.update("jax_enable_x64", True)
import diffbio_eqx as dbx
folder = sys.argv[1]
data = np.load(folder + "/data.npz")
pipeline = dbx.create_differential_expression_pipeline()
call = eqx.filter_jit(pipeline)
def run():
    start = time.process_time()
    sample = dbx.CountMatrix.from_arrays(data["counts"], data["design"])
    result = jax.block_until_ready(call(sample))
    return time.process_time() - start, result
cold, result = run()
warm = min(run()[0] for _ in range(2))
np.savez(folder + "/ours.npz", padj=result.adjusted_p_values,
         lfc=result.log_fold_change)
print(cold, warm)
"""


def run_ours(folder: Path) -> tuple[float, float]:
    """CPU seconds of the first and of a later call in a fresh process."""
    flags = "--xla_cpu_multi_thread_eigen=false"
    done = subprocess.run(
        [sys.executable, "-c", _OURS, str(folder)],
        env={
            **os.environ,
            **ONE_THREAD,
            "XLA_FLAGS": flags,
            "JAX_ENABLE_COMPILATION_CACHE": "false",
        },
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    cold, warm = map(float, done.stdout.split())
    return cold, warm


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Of the genes below 5 % in either, the share below in both."""
    a, b = a < 0.05, b < 0.05
    return float((a & b).sum() / max((a | b).sum(), 1))


def measure(samples: int, rounds: int, folder: Path) -> dict:
    """One size: seconds of each route and agreement with R."""
    data = simulate_counts(GENES, samples, seed=samples, differential=0.1)
    np.savez(folder / "data.npz", counts=data.counts, design=data.design)
    write_counts(folder, data.counts, data.design[:, -1])
    spent = {"ours cold": [], "ours warm": [], "R": [], "PyDESeq2": []}
    for _ in range(rounds):
        cold, warm = run_ours(folder)
        spent["ours cold"].append(cold)
        spent["ours warm"].append(warm)
        spent["R"].append(run_r(folder))
        spent["PyDESeq2"].append(run_pydeseq2(folder))
    mid = {name: statistics.median(values) for name, values in spent.items()}
    ours = np.load(folder / "ours.npz")
    peer = read_table(folder / "r.tsv")
    python = read_table(folder / "pydeseq2.tsv")
    return {
        **{f"{name}, CPU s": middle(values) for name, values in spent.items()},
        "PyDESeq2 / ours warm": mid["PyDESeq2"] / mid["ours warm"],
        "R / ours warm": mid["R"] / mid["ours warm"],
        "PyDESeq2 / ours cold": mid["PyDESeq2"] / mid["ours cold"],
        "R / ours cold": mid["R"] / mid["ours cold"],
        "Jaccard with R at 5 %": jaccard(ours["padj"], peer["padj"]),
        "Jaccard of PyDESeq2 with R": jaccard(python["padj"], peer["padj"]),
        "rounds": rounds,
    }


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    sizes = [int(x) for x in sys.argv[2:]] or SIZES
    table = {}
    for samples in sizes:
        with tempfile.TemporaryDirectory() as folder:
            table[f"{GENES:,} x {samples}"] = measure(samples, rounds, Path(folder))
        print(json.dumps(table, indent=1), flush=True)
    names = list(next(iter(table.values())))
    show(["", *names], [[size, *row.values()] for size, row in table.items()])
    note = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
    title = "Differential Expression: a whole run, one thread"
    # Sizes that were measured by themselves join those that are stored.
    stored = RESULTS / "expression_speed.json"
    before = json.loads(stored.read_text())["sizes"] if stored.exists() else {}
    table = {**before, **table}
    write("expression_speed", {"title": title, "note": note, "sizes": table})
