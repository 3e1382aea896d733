"""The whole story on simulated reads: call, train, call again, compare."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from diffbio_eqx.data.intervals import Intervals
from diffbio_eqx.io.bed import read_bed
from diffbio_eqx.io.fasta import Fasta
from diffbio_eqx.io.simulation import write_simulation
from diffbio_eqx.io.vcf_reader import read_vcf
from diffbio_eqx.jobs.call import call_variants
from diffbio_eqx.jobs.train_caller import TrainingReport, train_caller
from diffbio_eqx.metrics import VariantScore, score_variants
from diffbio_eqx.simulate.genomes import simulate_genome
from diffbio_eqx.simulate.read_options import ReadOptions
from diffbio_eqx.simulate.reads import SimulatedReads, simulate_reads

CONTIG = "chr1"
LENGTH, TRAINING = 500_000, 350_000
COVERAGE = 12.0
MISCALIBRATION = {q: 0.02 for q in range(38, 42)}


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """Where the demo's files lie and how the two callers score on unseen regions."""

    folder: Path
    before: VariantScore
    after: VariantScore
    training: TrainingReport


def run_demo(
    out: str | os.PathLike,
    *,
    seed: int = 0,
    length: int = LENGTH,
    steps: int = 80,
    progress: bool | None = None,
    tell: Callable[[str], None] = print,
) -> DemoResult:
    """Simulate, call, train, call again; everything is written to the folder `out`.

    A diploid genome of `length` bases is read at 12x with a quality profile whose best
    values are too good: 2 % of the bases reported at Q38 and more are wrong. The first
    70 % train the caller, the rest is called before and after and scored.

    Written: `reference.fa`, `reads.bam`, `truth.vcf.gz`, `confident.bed` (the
    simulation), `calls.untrained.vcf.gz`, `calls.vcf.gz`, `model.eqx`,
    `training.png`, `error_curve.png` and `summary.txt`.

    **Raises** `ValueError` if `out` exists and is not empty.
    """
    out = Path(out)
    tell(f"simulating {length:,} bases at {COVERAGE:.0f}x with mis-calibrated reads")
    genome = simulate_genome(length, seed=seed)
    options = ReadOptions(
        coverage=COVERAGE, miscalibration=MISCALIBRATION, duplicates=0.05
    )
    reads = simulate_reads(genome, options, seed=seed)
    files = write_simulation(out, genome, reads, contig=CONTIG, sample="DEMO")
    border = length * TRAINING // LENGTH
    unseen = f"{CONTIG}:{border + 1}-{length}"
    paths = [out / "calls.untrained.vcf.gz", out / "calls.vcf.gz"]
    tell(f"calling the unseen {unseen} with the untrained caller")
    call_variants(files.reads, files.reference, paths[0], region=unseen)
    tell(f"training on {CONTIG}:1-{border}")
    report = train_caller(
        files.reads,
        files.reference,
        files.truth,
        files.confident,
        out / "model.eqx",
        region=f"{CONTIG}:1-{border}",
        steps=steps,
        seed=seed,
        progress=progress,
    )
    tell(f"calling {unseen} with the trained caller")
    call_variants(
        files.reads,
        files.reference,
        paths[1],
        region=unseen,
        checkpoint=out / "model.eqx",
    )
    before, after = (_score(path, files, border) for path in paths)
    _plots(out, report, reads)
    summary = _summary(out, before, after, report)
    (out / "summary.txt").write_text(summary + "\n")
    tell(summary)
    return DemoResult(out, before, after, report)


def _score(calls: Path, files, border: int) -> VariantScore:
    regions = {
        contig: inside.intersect(Intervals.of(np.array([border]), inside.end[-1:]))
        for contig, inside in read_bed(files.confident).items()
    }
    pairs = {c: np.stack([r.start, r.end], axis=1) for c, r in regions.items()}
    with Fasta(files.reference) as fasta:
        return score_variants(
            read_vcf(files.truth), read_vcf(calls), fasta.text, regions=pairs
        )


def _plots(out: Path, report: TrainingReport, reads: SimulatedReads) -> None:
    """The training curve, and the learned error curve against the truth."""
    try:
        report.fit.plot(out / "training.png")
    except ImportError:
        return
    from matplotlib.figure import Figure

    phred = np.arange(2, 42)
    real = reads.bases < 4
    counts = np.bincount(reads.qualities[real], minlength=256)[phred]
    wrong = np.bincount(reads.qualities[real & reads.wrong], minlength=256)[phred]
    seen = counts >= 1000
    learned = np.asarray(report.fit.model.error_curve(jnp.asarray(phred)))
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(phred, 10.0 ** (-phred / 10), "--", color="0.6", label="as reported")
    axes.plot(phred, learned, lw=1.5, label="learned")
    rate = np.maximum(wrong, 0.5) / np.maximum(counts, 1)
    axes.plot(phred[seen], rate[seen], "o", ms=4, mfc="none", label="true")
    axes.set_yscale("log")
    axes.set_xlabel("reported base quality (Phred)")
    axes.set_ylabel("error rate")
    axes.legend(frameon=False)
    figure.savefig(out / "error_curve.png", dpi=150)


def _summary(out, before, after, report: TrainingReport) -> str:
    rows = [
        f"{'':<10} {'type':<6} {'TP':>5} {'FP':>5} {'FN':>5} {'F1':>7}  95 % interval"
    ]
    for name, score in (("untrained", before), ("trained", after)):
        for kind in ("snp", "indel"):
            c = getattr(score, kind)
            low, high = c.f1_interval()
            rows.append(
                f"{name:<10} {kind:<6} {c.tp_truth:>5} {c.fp:>5} {c.fn:>5} "
                f"{c.f1:>7.4f}  {low:.4f}-{high:.4f}"
            )
    return "\n".join(
        [
            "",
            "On regions that training never saw (genotype-aware):",
            *rows,
            report.reason,
            "",
            f"Look at {out / 'training.png'} and {out / 'error_curve.png'}.",
            "On your own data:",
            "  diffbio-eqx call YOUR.bam --reference YOUR.fa -o calls.vcf.gz",
            "  diffbio-eqx train call --reads YOUR.bam --reference YOUR.fa \\",
            "      --truth TRUTH.vcf.gz --confident CONFIDENT.bed -o model.eqx",
        ]
    )
