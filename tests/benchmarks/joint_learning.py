"""Does it pay to learn preprocessing and calling together?

    python tests/benchmarks/joint_learning.py [SEEDS] [STEPS]

Simulated windows of 600 bases at 16x, reads of 100 bases: 30 % of the pairs run into
the adapter (up to 15 bases of it stay aligned), 30 % are copies that nobody marked,
bases reported below Q16 are wrong in 30 % of the cases and those from Q36 on in 2 %.
For every seed 24 windows teach, 60 others of other genomes are reported. The arms, all
with the same caller (no classifier), the same number of steps and order of windows:

- untrained: both pipelines at their defaults.
- frozen: preprocessing at its defaults, the caller is trained.
- stage-wise: preprocessing is trained on the truth of the simulation (which bases are
  right and of the insert; how many molecules there are), then the caller on top of it.
- joint: everything by the genotype loss.
- black box: the scalars of preprocessing and six knots of the error curve by TPE
  (optuna) on the same loss and windows, from the same start, as long as joint training
  took (both without compilation).

Reported: loss (nats of a variant's genotype, `GenotypeLoss` without the term of
bases), wrong genotypes at all positions of the windows, and the seconds of training.
Differences between arms are of the same seed; the interval is that of Student's t over
seeds.
"""

import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optuna
from measuring import show, write
from scipy import stats
from simulated_samples import cigar_texts

import diffbio_eqx as dbx
from diffbio_eqx.data.call_labels import CallLabels, LabelledReads
from diffbio_eqx.losses import GenotypeLoss
from diffbio_eqx.train import fit, trainable_spec

LENGTH, BATCH = 600, 4
TEACHING, REPORTED = 24, 60
RUN = dbx.simulate.ReadOptions(
    coverage=16,
    read_length=100,
    insert_mean=250.0,
    insert_sd=40.0,
    short_inserts=0.3,
    adapter_kept=15,
    duplicates=0.3,
    miscalibration={q: 0.3 for q in range(2, 16)} | {q: 0.02 for q in range(36, 42)},
)
ARMS = ("untrained", "frozen", "stage-wise", "joint", "black box")


class Truth(eqx.Module):
    """What stage-wise tuning is told: right bases of the insert, and molecules."""

    right: np.ndarray
    molecules: np.ndarray


def window(seed: int) -> tuple[LabelledReads, Truth, np.ndarray]:
    """One window: sample with labels, truth of its reads, true genotype everywhere."""
    genome = dbx.simulate.simulate_genome(
        LENGTH, seed=seed, snv_rate=5e-3, indel_rate=0.0
    )
    made = dbx.simulate.simulate_reads(genome, RUN, seed=seed)
    rows = np.flatnonzero(
        ((made.flag & 4) == 0) & (made.start >= 0) & (made.end <= LENGTH)
    )
    turned = made.reverse[rows][:, None]
    bases, wrong = made.bases[rows], made.wrong[rows]
    bases = np.where(turned, np.where(bases < 4, 3 - bases, bases)[:, ::-1], bases)
    qualities = np.where(turned, made.qualities[rows][:, ::-1], made.qualities[rows])
    wrong = np.where(turned, wrong[:, ::-1], wrong)
    reads = dbx.prepare_reads(dbx.Reads.from_arrays(bases, qualities))
    sample = dbx.JointSample.from_alignments(
        reads,
        made.start[rows],
        reference=genome.reference,
        cigar=cigar_texts(made, rows),
        reverse=made.reverse[rows],
        mapping_quality=made.mapping_quality[rows],
    )
    pair = np.sort([h.bases for h in genome.haplotypes], axis=0).astype(int)
    genotype = (pair[1] * (pair[1] + 1) // 2 + pair[0]).astype(np.int32)
    sites, loci = sample.aligned.sites, sample.aligned.loci
    labels = CallLabels(
        site_genotype=genotype[np.asarray(sites.position)],
        site_mask=np.asarray(sites.mask),
        locus_genotype=np.zeros(loci.mask.shape, np.int32),
        locus_mask=np.zeros(loci.mask.shape, bool),
        genotype=genotype,
    )
    inside = np.arange(bases.shape[1]) < made.insert[rows][:, None]
    source = np.where(made.copy_of[rows] < 0, made.fragment[rows], made.copy_of[rows])
    ends = np.unique(np.stack([source, made.flag[rows] & 64], 1), axis=0)
    truth = Truth(inside & ~wrong, np.array(len(ends), np.float32))
    return LabelledReads(sample, labels), truth, genotype


def windows(seed: int):
    """Batches that teach, the stack that is reported, and its true genotypes."""
    made = [window(1000 * seed + k) for k in range(TEACHING + REPORTED)]
    everything = dbx.stack([m[0] for m in made])
    truth = dbx.stack([m[1] for m in made])
    part = lambda tree, rows: jax.tree.map(lambda x: x[rows], tree)
    groups = np.arange(TEACHING).reshape(-1, BATCH)
    teach = [part((everything, truth), g) for g in groups]
    late = np.arange(TEACHING, TEACHING + REPORTED)
    genotypes = np.stack([m[2] for m in made])[late]
    return teach, part(everything, late), genotypes


def start() -> dbx.JointCallingPipeline:
    """Both pipelines at their defaults, of single reads."""
    preprocessing = dbx.create_preprocessing_pipeline(
        enable_poly_g=False,
        enable_mate_overlap=False,
        enable_error_correction=False,
        adapter_sequence_2=None,
    )
    calling = dbx.VariantCallingPipeline(dbx.VariantCallingPipelineConfig(), key=None)
    return dbx.compose(preprocessing, calling)


GENOTYPES = GenotypeLoss(base_weight=0.0)


def joint_loss(model, batch, *, key=None):
    """What all arms but the stage of preprocessing are taught by."""
    loss = lambda one: GenotypeLoss()(model, one)[0]
    return jax.vmap(loss)(batch[0]).mean(), {}


def stage_loss(model, batch, *, key=None):
    """Cross-entropy of what is kept, and error of the number of molecules."""

    def one(labelled, truth):
        reads = labelled.sample.reads
        found = model.preprocessing(reads)
        real = (reads.bases < 4) & reads.read_mask[:, None]
        kept = jnp.clip(found.mask, 1e-3, 1 - 1e-3)
        surprise = -jnp.where(truth.right, jnp.log(kept), jnp.log(1 - kept))
        bases = jnp.where(real, surprise, 0).sum() / real.sum()
        weights = jnp.where(reads.read_mask, found.molecule_weights, 0).sum()
        return bases + (weights / truth.molecules - 1) ** 2

    return jax.vmap(one)(*batch).mean(), {}


def trained(model, loss, batches, steps, part=None):
    """The model after `steps`, and seconds without the compilation of the step."""
    spec = trainable_spec(model)
    if part is not None:
        none = jax.tree.map(lambda _: False, spec)
        where = lambda s: getattr(s, part)
        spec = eqx.tree_at(where, none, where(spec))
    run = lambda n: (
        fit(
            model,
            loss,
            batches,
            key=jax.random.key(0),
            steps=n,
            trainable=spec,
            clip_norm=10.0,
            progress=False,
        ).model
    )
    run(1)
    begun = time.perf_counter()
    made = run(steps)
    return made, time.perf_counter() - begun


@eqx.filter_jit
def _judged(model, stacked):
    model = dbx.set_mode(model, "hard")

    def one(labelled):
        loss = GENOTYPES(model, labelled)[0]
        posterior = model.calls(labelled.sample).substitutions.log_posterior
        return loss, posterior.argmax(-1)

    return jax.lax.map(one, stacked)


def judged(model, stacked, genotypes) -> dict[str, float]:
    """Loss and wrong genotypes; a place that is no candidate is called reference."""
    loss, called = map(np.asarray, _judged(model, stacked))
    position = np.asarray(stacked.sample.aligned.sites.position)
    mask = np.asarray(stacked.sample.aligned.sites.mask)
    reference = np.asarray(stacked.sample.aligned.reference).astype(int)
    found = reference * (reference + 3) // 2
    for k in range(len(found)):
        found[k, position[k, mask[k]]] = called[k, mask[k]]
    return {"loss": float(loss.mean()), "wrong": int((found != genotypes).sum())}


def knobs(model):
    """The scalars of preprocessing, as a black box turns them."""
    p = model.preprocessing
    return [
        p.quality_trimming.back_cutoff.raw,
        p.adapter_removal.cutoff.raw,
        p.adapter_removal.three_posterior.share.raw,
        p.adapter_removal.three_scores.mismatch.raw,
        p.read_filter.unqualified_percent.raw,
        p.read_filter.minimum_length.raw,
        p.duplicate_weighting.similarity_threshold.raw,
        p.duplicate_weighting.quality_preference.raw,
    ]


_WIDTHS = (15.0, 4.0, 3.0, 3.0, 2.0, 2.0, 2.0, 3.0)
_CURVE = 6


def black_box(model, batches, seconds):
    """The best of what TPE finds in `seconds`, the start included, and its trials."""
    first = [np.asarray(x) for x in knobs(model)]
    curve = model.calling.error_curve.shift.raw

    def turned(values):
        moved = [
            jnp.asarray(x + w * v, x.dtype)
            for x, w, v in zip(first, _WIDTHS, values, strict=False)
        ]
        at = np.linspace(0, curve.size - 1, _CURVE)
        bent = np.interp(np.arange(curve.size), at, 3.0 * values[len(first) :])
        where = lambda m: [*knobs(m), m.calling.error_curve.shift.raw]
        return eqx.tree_at(where, model, [*moved, curve + jnp.asarray(bent, "f4")])

    measure = eqx.filter_jit(lambda m, batch: joint_loss(m, batch)[0])
    total = lambda m: float(np.mean([measure(m, batch) for batch in batches]))
    count = len(first) + _CURVE
    total(turned(np.zeros(count)))
    names = [f"x{k}" for k in range(count)]

    def objective(trial):
        values = np.array([trial.suggest_float(n, -1.0, 1.0) for n in names])
        return total(turned(values))

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial(dict.fromkeys(names, 0.0))
    study.optimize(objective, timeout=seconds)
    best = np.array([study.best_params[n] for n in names])
    return turned(best), len(study.trials)


def one_seed(seed: int, steps: int) -> dict[str, dict[str, float]]:
    """All arms of a seed."""
    teach, late, genotypes = windows(seed)
    plain = start()
    arms = {"untrained": judged(plain, late, genotypes)}

    def add(name, model, **more):
        arms[name] = judged(model, late, genotypes) | more
        print(seed, name, arms[name], flush=True)

    model, seconds = trained(plain, joint_loss, teach, steps, "calling")
    add("frozen", model, seconds=seconds)
    model, first = trained(plain, stage_loss, teach, steps, "preprocessing")
    model, second = trained(model, joint_loss, teach, steps, "calling")
    add("stage-wise", model, seconds=first + second)
    model, seconds = trained(plain, joint_loss, teach, steps)
    where = {"knobs": [round(float(np.asarray(x)), 3) for x in knobs(model)]}
    add("joint", model, seconds=seconds, **where)
    model, trials = black_box(plain, teach, seconds)
    add("black box", model, seconds=seconds, trials=trials)
    return arms


def compared(seeds: dict) -> dict[str, dict[str, float]]:
    """Joint less every other arm: mean over seeds and its 95 % interval."""
    rows = {}
    for other in ARMS:
        if other == "joint":
            continue
        row = {}
        for what in ("loss", "wrong"):
            less = [s["joint"][what] - s[other][what] for s in seeds.values()]
            mean, error = np.mean(less), stats.sem(less)
            reach = float(stats.t.ppf(0.975, len(less) - 1) * error)
            row[what] = f"{mean:.4g} ({mean - reach:.4g} to {mean + reach:.4g})"
        rows[f"joint less {other}"] = row
    return rows


def main(seeds: int = 5, steps: int = 300) -> None:
    found = {f"seed {s}": one_seed(s, steps) for s in range(1, seeds + 1)}
    rows = [
        [arm, what, *(round(s[arm][what], 4) for s in found.values())]
        for arm in ARMS
        for what in ("loss", "wrong")
    ]
    show(["arm", "figure", *found], rows)
    told = compared(found) if seeds > 1 else {}
    print(told)
    if seeds == 5:
        write("joint_learning", {"steps": steps, "compared": told, **found})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
