"""Errors of the untrained caller and of its peers, scored alike in one run.

    python tests/benchmarks/accuracy.py MANIFEST OUT NAME... [--freebayes]

MANIFEST is the JSON that `art_simulation.py` writes (name -> bam, reference, truth,
bed, region); OUT a folder for the calls. Each named data set is called by ours, by
bcftools (and by freebayes), with every record scored, genotype-aware, and the counts
are pooled. Prints a table and writes `tests/benchmarks/results/accuracy_*.json`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from peers import run_bcftools, run_freebayes

from diffbio_eqx.io.bed import read_bed
from diffbio_eqx.io.fasta import Fasta
from diffbio_eqx.io.vcf_reader import read_vcf
from diffbio_eqx.jobs.call import call_variants
from diffbio_eqx.metrics import ClassCounts, score_variants

RESULTS = Path(__file__).parent / "results"


def score(calls: Path, data: dict):
    """Score of one VCF on one data set; every record counts, whatever its FILTER."""
    regions = {
        contig: np.stack([inside.start, inside.end], axis=1)
        for contig, inside in read_bed(data["bed"]).items()
    }
    with Fasta(data["reference"]) as fasta:
        return score_variants(
            read_vcf(data["truth"]),
            read_vcf(calls),
            fasta.text,
            regions=regions,
            all_records=True,
        )


def call_all(name: str, data: dict, out: Path, *, freebayes: bool) -> dict[str, Path]:
    """The calls of every tool on one data set."""
    region = data.get("region")
    ours = out / f"{name}.ours.vcf.gz"
    call_variants(data["bam"], data["reference"], ours, region=region)
    found = {"ours": ours}
    tools = {"bcftools": run_bcftools}
    if freebayes:
        tools["freebayes"] = run_freebayes
    for tool, run in tools.items():
        path = out / f"{name}.{tool}.vcf.gz"
        run(data["bam"], data["reference"], path, region=region)
        found[tool] = path
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--freebayes", action="store_true")
    parser.add_argument("--label", default=None, help="name of the result file")
    options = parser.parse_args()
    manifest = json.loads(options.manifest.read_text())
    options.out.mkdir(parents=True, exist_ok=True)
    pooled: dict[str, dict[str, ClassCounts]] = {}
    for name in options.names:
        data = manifest[name]
        calls = call_all(name, data, options.out, freebayes=options.freebayes)
        for tool, path in calls.items():
            found = score(path, data)
            print(found.table(f"{name} {tool}"), flush=True)
            total = pooled.setdefault(
                tool, {"snp": ClassCounts(), "indel": ClassCounts()}
            )
            for kind in total:
                total[kind] = total[kind] + getattr(found, kind)
    table = {}
    print(f"\npooled over {', '.join(options.names)}")
    for tool, kinds in pooled.items():
        for kind, c in kinds.items():
            low, high = c.f1_interval()
            print(
                f"{tool:<10} {kind:<6} TP {c.tp_truth} FP {c.fp} FN {c.fn} "
                f"errors {c.errors} F1 {c.f1:.4f} ({low:.4f}-{high:.4f})"
            )
            table[f"{tool} {kind}"] = {
                "TP": c.tp_truth,
                "FP": c.fp,
                "FN": c.fn,
                "F1": round(c.f1, 4),
                "F1 low": round(low, 4),
                "F1 high": round(high, 4),
            }
    RESULTS.mkdir(exist_ok=True)
    label = options.label or "_".join(options.names)
    result = {"data": options.names, "counts": table}
    path = RESULTS / f"accuracy_{label}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
