"""Row 7: reads a second of the whole program, against cutadapt and fastp.

    python tests/benchmarks/preprocessing_speed.py --reads adapt.fq --out FOLDER

`adapt.fq` is the ART set of row 1 (`preprocessing_adapters.py --row 1` makes it):
199,980 reads of 150 bases. Each program trims adapters and quality and drops short
reads, plain FASTQ in and out, in turn, `--rounds` times over. Process start,
imports and, in the row "first run", compilation are included. Figures are reads a
second of CPU time (user + system, children included) and of wall time: median and
range. CPU time is what a shared machine does not disturb. Under `taskset -c 1` every
program has one core.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import run_process, show, write

TRUSEQ = "AGATCGGAAGAGCACACGTCTGAACTCCAGTCA"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", action="store_true", help="store the figures")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with args.reads.open("rb") as file:
        reads = sum(1 for _ in file) // 4
    source, out = str(args.reads), str(args.out / "out.fq")
    start = "import sys; from diffbio_eqx.cli.main import main; sys.exit(main())"
    ours = [sys.executable, "-c", start, "preprocess", source, "-o", out]
    ours += ["--no-error-correction", "--no-duplicate-weighting"]
    fastp = f"fastp -w 2 -i {source} -o {out} -a {TRUSEQ} --cut_tail -M 20 -l 15"
    report = ["-j", str(args.out / "fp.json"), "-h", str(args.out / "fp.html")]
    cutadapt = f"cutadapt -j 2 -q 20 -m 15 -a {TRUSEQ} -o {out} {source}"
    commands = {
        "diffbio-eqx": ours,
        "cutadapt": cutadapt.split(),
        "fastp": [*fastp.split(), *report],
    }
    spent: dict[str, list] = {"diffbio-eqx, first run": []}
    spent |= {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as cache:
        environment = {"DIFFBIO_EQX_CACHE": cache}
        spent["diffbio-eqx, first run"].append(run_process(ours, **environment))
        for _ in range(args.rounds):
            for name, command in commands.items():
                spent[name].append(run_process(command, **environment))
    rows, told = [], {}
    for name, times in spent.items():
        row, told[name] = [name], {}
        for kind, values in zip(("cpu", "wall"), zip(*times, strict=True), strict=True):
            rates = [reads / t for t in values]
            told[name][kind] = {
                "reads_per_second": rates,
                "median": statistics.median(rates),
            }
            row.append(
                f"{statistics.median(rates):,.0f} "
                f"({min(rates):,.0f} to {max(rates):,.0f})"
            )
        rows.append(row)
    show(("program", "reads/s of CPU", "reads/s of wall time"), rows)
    print(f"{reads:,} reads, {len(os.sched_getaffinity(0))} core(s)")
    if args.results:
        cores = len(os.sched_getaffinity(0))
        write("preprocessing_speed", {"reads": reads, "cores": cores, "rows": told})


if __name__ == "__main__":
    main()
