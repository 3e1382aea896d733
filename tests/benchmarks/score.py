"""Score call sets against a truth set, genotype-aware and allele-only.

    python tests/benchmarks/score.py TRUTH CONF_BED REF CALLS... [--quality Q]
        [--contig chr20] [--all-records] [--errors]

Prints TP, FP, FN, F1 and its 95 % interval by SNP and indel for every call set, by the
same scorer. `--quality` leaves out calls of lower QUAL, `--errors` lists the wrong
ones, `--contig` leaves out what lies elsewhere. CONF_BED `-` counts everything.
"""

import argparse

import numpy as np
import pysam

from diffbio_eqx.io.vcf import read_vcf
from diffbio_eqx.metrics import score_variants


def read_intervals(path: str) -> dict[str, np.ndarray]:
    """Intervals by contig of a BED file."""
    rows: dict[str, list] = {}
    with open(path) as file:
        for line in file:
            if line.strip() and not line.startswith(("#", "track", "browser")):
                contig, start, end = line.split()[:3]
                rows.setdefault(contig, []).append((int(start), int(end)))
    return {contig: np.array(pairs, np.int64) for contig, pairs in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("truth")
    parser.add_argument("confident")
    parser.add_argument("reference")
    parser.add_argument("calls", nargs="+")
    parser.add_argument("--quality", type=float, default=None)
    parser.add_argument("--contig", default=None)
    parser.add_argument("--all-records", action="store_true")
    parser.add_argument("--errors", action="store_true")
    given = parser.parse_args()
    regions = None if given.confident == "-" else read_intervals(given.confident)
    truth = read_vcf(given.truth, region=given.contig)
    with pysam.FastaFile(given.reference) as fasta:
        for path in given.calls:
            calls = read_vcf(path, region=given.contig)
            for mode in ("genotype", "allele"):
                score = score_variants(
                    truth,
                    calls,
                    fasta.fetch,
                    regions=regions,
                    mode=mode,
                    all_records=given.all_records,
                    minimum_quality=given.quality,
                )
                print(score.table(path))
                if given.errors:
                    for name, rows in (
                        ("FP", score.false_positives),
                        ("FN", score.false_negatives),
                    ):
                        for kind, record in rows:
                            print(f"  {name} {kind} {record.label} {record.genotype}")
            skipped = {"truth": score.truth_skipped, "calls": score.call_skipped}
            print("left out:", skipped)


if __name__ == "__main__":
    main()
