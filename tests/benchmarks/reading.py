"""How fast are BAM records turned into merged rows, against pysam reading nothing?

    python tests/benchmarks/reading.py [READS.bam] [--repeats 5]

Alternates the routes in one process, `--repeats` times after one run to warm up:
pysam iterating over all records and touching no field, and `AlignmentFile.windows`
over the contigs that hold reads, mates merged. Prints reads per CPU second (each
route uses one core; CPU time does not feel the neighbours), median and range, and
the ratio within each round; 0.35 is the least that is wanted.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import pysam

from diffbio_eqx.io.bam import AlignmentFile

_ROOT = Path(__file__).resolve().parents[2]


def default_reads() -> str:
    """The NA12878 slice in the data folder."""
    data = Path(os.environ.get("DIFFBIO_EQX_DATA", _ROOT.parent / "shared"))
    folder = data / "data/genomics/illumina-na12878"
    return str(folder / "NA12878_S1.chr20.10_10p1mb.bam")


def iterate(path: str) -> int:
    """Reads that pysam passes over."""
    with pysam.AlignmentFile(path) as file:
        return sum(1 for _ in file)


def rows(path: str, contigs: list[str]) -> int:
    """Reads met while all rows of the contigs are made in one piece each."""
    file = AlignmentFile(path)
    for contig in contigs:
        file.read_rows(contig)
    return file.counts.seen


def windows(path: str, contigs: list[str]) -> int:
    """Reads met while rows are made window by window."""
    file = AlignmentFile(path)
    for contig in contigs:
        for _ in file.windows(contig):
            pass
    return file.counts.seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reads", nargs="?", default=default_reads())
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with pysam.AlignmentFile(given.reads) as file:
        stats = file.get_index_statistics()
    contigs = [entry.contig for entry in stats if entry.mapped]
    tasks = {
        "pysam, nothing read": lambda: iterate(given.reads),
        "rows, whole contigs": lambda: rows(given.reads, contigs),
        "rows, windows of 100 kb": lambda: windows(given.reads, contigs),
    }
    rates = {name: [] for name in tasks}
    for repeat in range(given.repeats + 1):
        for name, task in tasks.items():
            begin = time.process_time()
            reads = task()
            if repeat:
                rates[name].append(reads / (time.process_time() - begin))
    base = rates["pysam, nothing read"]
    print(f"{'route':26} {'k reads/s':>10} {'range':>13} {'ratio':>6} {'range':>12}")
    for name, values in rates.items():
        ratio = [mine / other for mine, other in zip(values, base, strict=True)]
        print(
            f"{name:26} {statistics.median(values) / 1e3:10.0f} "
            f"{min(values) / 1e3:6.0f}-{max(values) / 1e3:<6.0f} "
            f"{statistics.median(ratio):6.2f} {min(ratio):6.2f}-{max(ratio):<5.2f}"
        )


if __name__ == "__main__":
    main()
