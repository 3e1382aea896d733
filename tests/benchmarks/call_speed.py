"""How much CPU does a whole `diffbio-eqx call` take against bcftools?

    python tests/benchmarks/call_speed.py READS.bam REF.fa [--repeats 3]

Alternates three processes: `bcftools mpileup -d 1000 -q 1 | call -mv | norm`, ours
with an empty compilation cache, and ours again with the cache that run has filled.
Prints CPU seconds (user + system, all processes) and wall seconds, median and range,
and the ratio bcftools / ours within each round: 1.5 is wanted, 3 hoped for. Made for
5 Mb at 30x (1 M reads, `art_simulation.py`).
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from measuring import call_command, middle, run_process, show, write
from peers import run_bcftools


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reads")
    parser.add_argument("reference")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    cpu, wall = ({"bcftools": [], "cold": [], "warm": []} for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(given.repeats):
            out = str(Path(folder) / "calls.vcf.gz")
            peer = run_bcftools(given.reads, given.reference, Path(folder) / "b.vcf.gz")
            cpu["bcftools"].append(peer.cpu)
            wall["bcftools"].append(peer.wall)
            cache = str(Path(folder) / f"cache{round_}")
            for name in ("cold", "warm"):
                command = call_command(given.reads, given.reference, out)
                spent = run_process(command, DIFFBIO_EQX_CACHE=cache)
                cpu[name].append(spent[0])
                wall[name].append(spent[1])
    ratio = {
        name: [b / x for b, x in zip(cpu["bcftools"], cpu[name], strict=True)]
        for name in cpu
    }
    rows = [
        (name, middle(cpu[name]), middle(wall[name]), middle(ratio[name]))
        for name in cpu
    ]
    show(("process", "CPU s", "wall s", "bcftools CPU / this"), rows)
    medians = {name: statistics.median(values) for name, values in ratio.items()}
    write("call_speed", {"cpu": cpu, "wall": wall, "ratio": medians})


if __name__ == "__main__":
    main()
