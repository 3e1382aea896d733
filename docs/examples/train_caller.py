"""Train a caller on simulated reads whose best qualities are too good, then use it.

`python docs/examples/train_caller.py FOLDER [--length BASES] [--steps N]`
"""

import argparse
from pathlib import Path

import numpy as np

import diffbio_eqx as dbx


def simulate(folder: Path, length: int, seed: int) -> "dbx.io.SimulationFiles":
    """A genome read at 12x; 2 % of the bases reported at Q38 and more are wrong."""
    options = dbx.simulate.ReadOptions(
        coverage=12, miscalibration={quality: 0.02 for quality in range(38, 42)}
    )
    genome = dbx.simulate.simulate_genome(length, seed=seed)
    reads = dbx.simulate.simulate_reads(genome, options, seed=seed)
    return dbx.io.write_simulation(folder, genome, reads)


def errors(files, calls: Path) -> int:
    """False positives and false negatives of a VCF, genotypes included."""
    with dbx.io.Fasta(files.reference) as fasta:
        inside = dbx.io.read_bed(files.confident)
        regions = {c: np.stack([r.start, r.end], axis=1) for c, r in inside.items()}
        score = dbx.metrics.score_variants(
            dbx.io.read_vcf(files.truth),
            dbx.io.read_vcf(calls),
            fasta.text,
            regions=regions,
        )
    return score.snp.fp + score.snp.fn + score.indel.fp + score.indel.fn


def main(folder: Path, length: int = 100_000, steps: int = 40) -> tuple[int, int]:
    """Errors on a second genome, before and after training on the first."""
    folder.mkdir(parents=True, exist_ok=True)
    known = simulate(folder / "known", length, seed=1)
    unseen = simulate(folder / "unseen", length, seed=2)
    model = folder / "model.eqx"
    report = dbx.jobs.train_caller(
        known.reads,
        known.reference,
        known.truth,
        known.confident,
        model,
        steps=steps,
    )
    print(report)
    found = []
    for name, checkpoint in (("before", None), ("after", model)):
        calls = folder / f"{name}.vcf.gz"
        dbx.jobs.call_variants(
            unseen.reads, unseen.reference, calls, checkpoint=checkpoint
        )
        found.append(errors(unseen, calls))
        print(f"{name}: {found[-1]} wrong genotypes on the unseen genome")
    return found[0], found[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--length", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=40)
    main(**vars(parser.parse_args()))
