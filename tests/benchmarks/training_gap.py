"""How much of the gap to the true error table training closes on mis-calibrated reads.

    python tests/benchmarks/training_gap.py MANIFEST OUT [--calibrated NAME SIM10.json]

Data sets of `art_simulation.py`: `train_1_altered_{1,2,3}_10x` (three read seeds of one
region) train three models, each is called on `eval_c_altered_{1,2,3}_10x` (three read
seeds of another region), beside the untrained caller on the same reads, and the
untrained caller told the true error of every reported quality (the qualities of the
BAM are rewritten). Counts are genotype-aware over all records and pooled over the
pairs. With `--calibrated` a fourth model is trained on calibrated reads and both are
called on the data set of the JSON file (bam, reference, truth, bed, region): training
should decline, or cost at most two variants.
"""

import argparse
import array
import json
import math
import time
from pathlib import Path

import pysam
from accuracy import RESULTS, score

from diffbio_eqx.jobs.call import call_variants
from diffbio_eqx.jobs.train_caller import train_caller

TRAINING = [f"train_1_altered_{k}_10x" for k in (1, 2, 3)]
UNSEEN = [f"eval_c_altered_{k}_10x" for k in (1, 2, 3)]


def with_true_qualities(source: str, out: Path, true_error: dict[str, float]) -> Path:
    """A copy of a BAM in which each quality is replaced by its true one."""
    table = list(range(256))
    for quality, error in true_error.items():
        table[int(quality)] = round(-10.0 * math.log10(error))
    with pysam.AlignmentFile(source) as reads:
        with pysam.AlignmentFile(str(out), "wb", template=reads) as written:
            for read in reads:
                old = read.query_qualities
                if old is not None:
                    read.query_qualities = array.array("B", [table[q] for q in old])
                written.write(read)
    pysam.index(str(out))
    return out


def train(name: str, data: dict, out: Path) -> tuple[Path, str, float]:
    """A trained model, what the acceptance said, and the seconds it took."""
    path = out / f"{name}.eqx"
    begun = time.perf_counter()
    report = train_caller(
        data["bam"],
        data["reference"],
        data["truth"],
        data["bed"],
        path,
        region=data["region"],
        progress=False,
    )
    return path, report.reason, time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--calibrated", nargs=2, default=None)
    options = parser.parse_args()
    manifest = json.loads(options.manifest.read_text())
    options.out.mkdir(parents=True, exist_ok=True)
    errors = {arm: {"snp": 0, "indel": 0} for arm in ("untrained", "true", "trained")}
    rows = []

    def call(arm, label, data, reads, checkpoint=None):
        path = options.out / f"{label}.{arm}.vcf.gz"
        call_variants(
            reads,
            data["reference"],
            path,
            region=data["region"],
            checkpoint=checkpoint,
        )
        found = score(path, data)
        print(found.table(f"{label} {arm}"), flush=True)
        rows.append([label, arm, *(getattr(found, k).errors for k in ("snp", "indel"))])
        return found

    models = []
    for name in TRAINING:
        path, reason, seconds = train(name, manifest[name], options.out)
        print(f"{name}: {seconds:.0f} s; {reason}", flush=True)
        models.append((name, path))
    for name in UNSEEN:
        data = manifest[name]
        told = options.out / f"{name}.true.bam"
        told = with_true_qualities(data["bam"], told, data["true_error"])
        once = {
            "untrained": call("untrained", name, data, data["bam"]),
            "true": call("true", name, data, told),
        }
        for trained_on, path in models:
            label = f"{name} by {trained_on}".replace(" ", "_")
            trained = call("trained", label, data, data["bam"], path)
            for arm, found in {**once, "trained": trained}.items():
                for kind in ("snp", "indel"):
                    errors[arm][kind] += getattr(found, kind).errors
    pairs = len(models) * len(UNSEEN)
    print(f"\nerrors pooled over {pairs} pairs: {errors}")
    closed = {
        kind: (errors["untrained"][kind] - errors["trained"][kind])
        / max(errors["untrained"][kind] - errors["true"][kind], 1)
        for kind in ("snp", "indel")
    }
    print(f"share of the gap closed, SNPs: {closed['snp']:.3f}")
    result = {"pairs": pairs, "errors": errors, "closed_snp": round(closed["snp"], 3)}
    if options.calibrated:
        name, other = options.calibrated
        path, reason, seconds = train(name, manifest[name], options.out)
        print(f"{name}: {seconds:.0f} s; {reason}")
        data = json.loads(Path(other).read_text())
        call("untrained", "calibrated", data, data["bam"])
        call("trained", "calibrated", data, data["bam"], path)
        result["calibrated"] = {"reason": reason}
    result["rows"] = rows
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "training_gap.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
