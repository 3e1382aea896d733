"""R DESeq2 and PyDESeq2 on counts in a file: CPU seconds of the fit alone, results.

`PEER_PYTHON` names a Python that has pydeseq2 (`pip install pydeseq2`, in an
environment of its own); `Rscript` must have DESeq2.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

PEER_PYTHON = os.environ.get("PEER_PYTHON", "python3")

_R = """
suppressMessages(library(DESeq2))
a <- commandArgs(TRUE)
counts <- as.matrix(read.table(file.path(a[1], "counts.tsv")))
storage.mode(counts) <- "integer"
group <- factor(scan(file.path(a[1], "group.txt"), quiet = TRUE))
t0 <- proc.time()
dds <- DESeqDataSetFromMatrix(counts, data.frame(group = group), ~ group)
res <- results(DESeq(dds, quiet = TRUE))
t <- proc.time() - t0
cat(t[["user.self"]] + t[["sys.self"]], "\\n")
write.table(as.data.frame(res), file.path(a[1], "r.tsv"), sep = "\\t", quote = FALSE)
"""

_PYTHON = """
import sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
from pydeseq2.dds import DeseqDataSet
from pydeseq2.default_inference import DefaultInference
from pydeseq2.ds import DeseqStats
folder = sys.argv[1]
counts = np.loadtxt(folder + "/counts.tsv", dtype=int).T
group = np.loadtxt(folder + "/group.txt", dtype=int)
samples = [f"s{i}" for i in range(len(group))]
counts = pd.DataFrame(counts, index=samples)
counts.columns = [f"g{i}" for i in range(counts.shape[1])]
meta = pd.DataFrame({"group": ["ab"[g] for g in group]}, index=samples)
start = time.process_time()
one = DefaultInference(n_cpus=1)
dds = DeseqDataSet(counts=counts, metadata=meta, design="~group", quiet=True,
                   inference=one)
dds.deseq2()
stats = DeseqStats(dds, contrast=["group", "b", "a"], quiet=True, inference=one,
                   alpha=0.1)
stats.summary()
print(time.process_time() - start)
stats.results_df.to_csv(folder + "/pydeseq2.tsv", sep="\\t")
"""

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def write_counts(folder: Path, counts: np.ndarray, group: np.ndarray) -> None:
    """Counts (samples, genes) and 0/1 groups where the peers look for them."""
    np.savetxt(folder / "counts.tsv", counts.T, fmt="%d", delimiter="\t")
    np.savetxt(folder / "group.txt", group, fmt="%d")


def run_r(folder: Path) -> float:
    """CPU seconds of DESeq() and results(); the table is left in `r.tsv`."""
    return _run(["Rscript", "-"], _R, folder)


def run_pydeseq2(folder: Path) -> float:
    """CPU seconds of the fit and the summary; the table is left in `pydeseq2.tsv`."""
    return _run([PEER_PYTHON, "-"], _PYTHON, folder)


def read_table(path: Path) -> dict[str, np.ndarray]:
    """The numeric columns of a result table of a peer, in the order of the genes."""
    lines = path.read_text().splitlines()
    names = lines[0].split("\t")
    rows = [line.split("\t") for line in lines[1:]]
    number = lambda text: float("nan") if text in ("NA", "") else float(text)
    names = names if len(names) < len(rows[0]) else names[1:]
    columns = np.array([[number(x) for x in row[1:]] for row in rows])
    return dict(zip(names, columns.T, strict=True))


def _run(command: list[str], script: str, folder: Path) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".script") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            [*command[:-1], file.name, str(folder)],
            env={**os.environ, **ONE_THREAD},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])
