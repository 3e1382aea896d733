"""Training a caller on reads whose true variants are known."""

import dataclasses
import os

import equinox as eqx
import jax
import numpy as np
import optax

from diffbio_eqx._checks import require, require_choice
from diffbio_eqx.checkpoint import load, save
from diffbio_eqx.jobs.caller_training_data import (
    LabelledWindow,
    TrainingData,
    load_training_data,
)
from diffbio_eqx.jobs.calling_records import RecordRule, window_records
from diffbio_eqx.losses.genotype_loss import GenotypeLoss
from diffbio_eqx.metrics import VariantScore, score_variants
from diffbio_eqx.pipelines.variant_calling import (
    VariantCallingPipeline,
    create_variant_calling_pipeline,
)
from diffbio_eqx.relax import set_mode
from diffbio_eqx.train import fit
from diffbio_eqx.train.result import FitResult
from diffbio_eqx.train.trainable import trainable_spec

_LEARNING_RATE = 0.002
_EVIDENCE = 1.645  # one-sided 5 % of a normal deviate


@dataclasses.dataclass(frozen=True)
class TrainingReport:
    """What training did, and whether it was kept.

    - `before`, `after`: scores on the held-back regions (never used for a choice).
    - `better`, `worse`: validation genotypes that only the trained, or only the
      untrained model has right, as (substitutions, indels).
    - `accepted`: whether the trained model was saved; else the starting one was.
    """

    output: str
    accepted: bool
    reason: str
    better: tuple[int, int]
    worse: tuple[int, int]
    before: VariantScore
    after: VariantScore
    audit: str
    fit: FitResult

    def __str__(self) -> str:
        return "\n".join(
            [
                self.audit,
                self.before.table("untrained"),
                *self.after.table("trained  ").splitlines()[1:],
                self.reason,
                f"written to {self.output}",
            ]
        )


def train_caller(
    reads: str | os.PathLike,
    reference: str | os.PathLike,
    truth: str | os.PathLike,
    confident: str | os.PathLike,
    output: str | os.PathLike,
    *,
    region: str | None = None,
    sample: str | None = None,
    checkpoint: str | os.PathLike | None = None,
    adapt: str = "all",
    steps: int = 150,
    seed: int = 0,
    learning_rate: float = _LEARNING_RATE,
    filters=None,
    progress: bool | None = None,
) -> TrainingReport:
    """Train the caller on labelled regions; the whole run of `train call`.

    Quality filter, error curve, mapping weight, dependency of errors, gap model,
    priors and classifier are trained together on the negative log-posterior of the
    true genotypes. The confident regions are cut into windows: of every five
    neighbours three train, one validates, one is held back.

    Of the models met during training the one with the fewest wrong validation
    genotypes is taken. It replaces the starting model only if it has significantly
    fewer errors (McNemar's test, one-sided 5 %), and on neither substitutions nor
    indels apart significantly more: on well-calibrated reads there is nothing to
    learn, and the starting model is saved.

    **Arguments:** `truth` a VCF with genotypes, `confident` a BED of the regions in
    which it is complete; `region` limits both; `checkpoint`, a model to start from;
    `adapt`, what is trained: "all", or "front-end", which leaves the classifier as it
    is (few labels are enough for the rest); `learning_rate` multiplies the natural
    step of every parameter, and decays to 0 by a cosine.

    **Returns** a `TrainingReport`; the model is saved to `output` in mode hard.

    **Raises** `ValueError` for input that cannot be right.
    """
    require_choice("adapt", adapt, ("all", "front-end"))
    _check_folder(output)
    start = load(checkpoint) if checkpoint else create_variant_calling_pipeline()
    require(
        isinstance(start, VariantCallingPipeline),
        "checkpoint to start from",
        expected="a variant calling pipeline",
        got=type(start).__name__,
    )
    data = load_training_data(
        reads,
        reference,
        truth,
        confident,
        region=region,
        sample=sample,
        filters=filters,
    )
    start = set_mode(start, "straight_through")
    judge = GenotypeErrors(data.of("validation"))
    batches = [window.batch for window in _shuffled(data.of("train"), seed)]
    schedule = optax.cosine_decay_schedule(learning_rate, max(steps, 1))
    result = fit(
        start,
        GenotypeLoss(),
        batches,
        optax.adam(schedule),
        key=jax.random.key(seed),
        steps=steps,
        trainable=_trainable(start, adapt),
        validation=judge,
        progress=progress,
    )
    trained = set_mode(result.model, "hard")
    start = set_mode(start, "hard")
    accepted, reason, better, worse = judge.compare(start, trained)
    before, after = (score_held_back(model, data) for model in (start, trained))
    metadata = {
        "trained_on": {"reads": os.path.basename(reads), "sample": data.sample},
        "accepted": accepted,
        "adapt": adapt,
        "steps": steps,
        "seed": seed,
        "split": [
            [w.part.contig, w.part.start, w.part.end, w.role] for w in data.windows
        ],
    }
    save(output, trained if accepted else start, metadata)
    return TrainingReport(
        str(output),
        accepted,
        reason,
        better,
        worse,
        before,
        after,
        str(data.audit),
        result,
    )


class GenotypeErrors:
    """Counts wrong genotypes of labelled candidates; smaller is better.

    Called with a model it gives the number of wrong genotypes, and below one error a
    share of the mean loss, so that of equal counts the surer model wins.
    """

    def __init__(self, windows: list[LabelledWindow]):
        self.windows = windows
        self._wrong = eqx.filter_jit(_wrong_genotypes)

    def __call__(self, model: VariantCallingPipeline) -> float:
        sites, loci, loss = self.of(model)
        return float(sites.sum() + loci.sum() + loss / (1.0 + loss))

    def of(self, model: VariantCallingPipeline) -> tuple[np.ndarray, np.ndarray, float]:
        """Wrong sites and wrong loci of all windows, and the mean loss of a window."""
        model = set_mode(model, "hard")
        found = [jax.device_get(self._wrong(model, w.batch)) for w in self.windows]
        sites, loci, loss = zip(*found, strict=True)
        return np.concatenate(sites), np.concatenate(loci), float(np.mean(loss))

    def compare(self, old: VariantCallingPipeline, new: VariantCallingPipeline):
        """Whether `new` is to be kept, why, and the discordant genotypes."""
        before, after = self.of(old)[:2], self.of(new)[:2]
        better = tuple(int((b & ~a).sum()) for b, a in zip(before, after, strict=True))
        worse = tuple(int((a & ~b).sum()) for b, a in zip(before, after, strict=True))
        gain, changed = sum(better) - sum(worse), sum(better) + sum(worse)
        sure = gain > _EVIDENCE * np.sqrt(max(changed, 1))
        no_class_worse = all(
            b - w >= -_EVIDENCE * np.sqrt(b + w)
            for b, w in zip(better, worse, strict=True)
        )
        told = (
            f"on validation regions {sum(better)} genotypes became right and "
            f"{sum(worse)} wrong (substitutions {better[0]} and {worse[0]}, indels "
            f"{better[1]} and {worse[1]})"
        )
        if sure and no_class_worse:
            return True, f"the trained model is kept: {told}", better, worse
        why = "one type of variant got worse" if sure else "that may be chance"
        return False, f"training is declined, {why}: {told}", better, worse


def score_held_back(model: VariantCallingPipeline, data: TrainingData) -> VariantScore:
    """The score of a model's calls on the held-back windows."""
    run = eqx.filter_jit(lambda m, s: m.calls(s, m.window_features(s)))
    rule = RecordRule(model.config.ploidy)
    records = []
    for window in data.of("held back"):
        part = window.part
        calls = jax.tree.map(np.asarray, run(model, part.sample))
        records += window_records(part, calls, rule)
    regions = {
        contig: np.stack([inside.start, inside.end], axis=1)
        for contig, inside in data.regions("held back").items()
    }
    return score_variants(data.truth, records, data.fasta.text, regions=regions)


def _trainable(model: VariantCallingPipeline, adapt: str):
    """Which leaves are trained: all, or all but the classifier's."""
    spec = trainable_spec(model)
    if adapt == "all" or model.classifier is None:
        return spec
    fixed = jax.tree.map(lambda _: False, spec.classifier)
    return eqx.tree_at(lambda m: m.classifier, spec, fixed)


def _check_folder(output: str | os.PathLike) -> None:
    """A model that cannot be written is noticed before it is trained."""
    folder = os.path.dirname(os.path.abspath(output))
    require(
        os.path.isdir(folder),
        "folder of the output file",
        expected="a folder that exists",
        got=repr(folder),
        hint="create it first",
    )


def _wrong_genotypes(model, batch):
    calls = model.calls(batch.sample, model.window_features(batch.sample))
    labels = batch.labels
    wrong = lambda c, genotype, mask: mask & (c.genotype != genotype)
    loss, _ = GenotypeLoss(base_weight=0.0)(model, batch)
    return (
        wrong(calls.substitutions, labels.site_genotype, labels.site_mask),
        wrong(calls.indels, labels.locus_genotype, labels.locus_mask),
        loss,
    )


def _shuffled(windows: list[LabelledWindow], seed: int) -> list[LabelledWindow]:
    order = np.random.default_rng(seed).permutation(len(windows))
    return [windows[index] for index in order]
