"""The state of a run of preprocessing: decisions, evidence and counts."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx._checks import require
from diffbio_eqx.data.duplicate_keys import (
    ReadKeys,
    duplicate_families,
    read_keys,
    read_quality,
)
from diffbio_eqx.data.kmer_counter import KmerCounter
from diffbio_eqx.data.kmer_spectrum import KmerSpectrum
from diffbio_eqx.data.reads import PADDING, Reads
from diffbio_eqx.io.fastq_block import FastqBlock
from diffbio_eqx.io.fastq_writer import FastqWriter
from diffbio_eqx.jobs.correct_reads import DEFAULT_K, KmerCorrector
from diffbio_eqx.jobs.preprocess_statistics import CycleStatistics
from diffbio_eqx.jobs.preprocess_trimming import STAGES, BlockTrimmer, TrimmedBlock
from diffbio_eqx.operators.reads.read_filter import REASONS
from diffbio_eqx.relax import set_mode

_LEAST_COVERAGE = 8.0
"""Mean count of a word below which errors and true words cannot be told apart."""
_LEAST_LENGTH = 2 * DEFAULT_K
"""Mean length below which reads are small RNA: counts say expression, not truth."""


class PreprocessRun:
    """The state of a run: statistics, decisions of the first pass, evidence."""

    def __init__(self, pipeline, summary, *, trained, drop):
        self.pipeline, self.summary, self.drop = pipeline, summary, drop
        self._trained = trained
        self.trimmer = BlockTrimmer(pipeline)
        self.weighting = pipeline.duplicate_weighting
        require(
            self.weighting is not None or not drop,
            "duplicate weighting",
            expected="to be on, to drop copies",
            got="off",
            hint="leave out --no-duplicate-weighting or --drop-duplicates",
        )
        self.correcting = pipeline.error_correction is not None
        self.two_passes = self.correcting or drop
        ends = 1 + summary.paired
        summary.before = [CycleStatistics() for _ in range(ends)]
        summary.after = [CycleStatistics() for _ in range(ends)]
        summary.dropped = dict.fromkeys([*REASONS, "duplicate"], 0)
        summary.trimmed_reads = dict.fromkeys(STAGES, 0)
        summary.trimmed_bases = dict.fromkeys(STAGES, 0)
        self._names = _adapter_names(pipeline)
        self._counter = None
        if self.correcting:
            k = getattr(pipeline.config, "error_correction_window", DEFAULT_K)
            self._counter = KmerCounter(k)
        self._decisions: list[Any] = []
        self._keys: list[ReadKeys] = []
        self._quality: list[np.ndarray] = []
        self._corrector: KmerCorrector | None = None
        self._at = 0

    def look(self, block: FastqBlock, made: TrimmedBlock):
        """Count a block and what trimming made of it; (ends, keep)."""
        summary = self.summary
        sides = _sides(block)
        for side, statistics in zip(sides, summary.before, strict=True):
            zero = np.zeros(len(side), int)
            statistics.add(side.bases, side.qualities, zero, side.lengths)
        for stage in STAGES:
            summary.trimmed_reads[stage] += made.reads[stage]
            summary.trimmed_bases[stage] += made.bases[stage]
        failed = np.bincount(made.reason[~made.keep], minlength=len(REASONS))
        for name, count in zip(REASONS, failed, strict=True):
            summary.dropped[name] += int(count) * len(sides)
        for kinds, names in zip(made.kinds, self._names, strict=False):
            counts = np.bincount(kinds[kinds >= 0], minlength=len(names))
            for name, count in zip(names, counts, strict=True):
                summary.adapters[name] = summary.adapters.get(name, 0) + int(count)
        summary.cuts += made.cuts
        summary.false_cuts += made.false_cuts
        summary.false_bases += made.false_bases
        inserts = np.bincount(made.insert, minlength=len(summary.inserts))
        inserts[: len(summary.inserts)] += summary.inserts
        inserts[0] = 0
        summary.inserts = inserts
        summary.passed += int(made.keep.sum())
        if self.weighting is not None:
            reads = block.as_reads()
            self._keys.append(read_keys(reads).take(made.keep))
            self._quality.append(read_quality(reads)[made.keep])
        if self._counter is not None:
            for side, end in zip(sides, made.ends, strict=True):
                left = _left(side, end, made.keep)
                self._counter.add(left, side.qualities)
        if self.two_passes:
            small = [tuple(x.astype(np.int32) for x in end) for end in made.ends]
            self._decisions.append((small, made.keep))
        return made.ends, made.keep

    def decide(self) -> None:
        """After all blocks were looked at: which are copies, which words are true."""
        if self.weighting is not None:
            self._decide_copies()
        if self._counter is None:
            return
        spectrum = self._counter.finish()
        self._counter = None
        summary = self.summary
        left = summary.passed * len(summary.before)
        bases = sum(
            int((end[1] - end[0])[keep].sum())
            for ends, keep in self._decisions
            for end in ends
        )
        why = _why_not(spectrum, bases / max(left, 1))
        if why:
            summary.correction = f"not corrected: {why}"
            return
        model = self.pipeline.error_correction
        if not self._trained:
            model = type(model)(float(spectrum.threshold))
        self._corrector = KmerCorrector(spectrum, model)

    def _decide_copies(self):
        self.summary.molecules = 0.0
        if not self.summary.passed:
            return
        keys = ReadKeys.concatenate(self._keys)
        quality = np.concatenate(self._quality)
        self._keys, self._quality = [], []
        families = duplicate_families(keys, quality)
        size = 1 << max(int(len(keys) - 1).bit_length(), 10)
        weight = np.asarray(
            _weigh(set_mode(self.weighting, "hard"), families.padded(size))
        )[: len(keys)]
        self.summary.molecules = float(weight.sum(dtype=np.float64))
        if not self.drop:
            return
        at, copies = 0, 0
        for number, (ends, keep) in enumerate(self._decisions):
            rows = np.flatnonzero(keep)
            best = weight[at : at + len(rows)] > 0
            at += len(rows)
            keep = keep.copy()
            keep[rows[~best]] = False
            copies += int((~best).sum())
            self._decisions[number] = (ends, keep)
        self.summary.dropped["duplicate"] = copies * len(self.summary.before)

    def recall(self, block: FastqBlock):
        """What the first pass said of the next block."""
        known = self._at < len(self._decisions)
        if not known or len(self._decisions[self._at][1]) != len(block):
            raise ValueError(
                f"{self.summary.inputs[0]!r} changed while it was read. Run again."
            )
        self._at += 1
        return self._decisions[self._at - 1]

    def write(self, writer: FastqWriter, block: FastqBlock, ends, keep) -> None:
        names = ("bases", "qualities")
        options: dict[str, Any] = {}
        sides = _sides(block)
        for prefix, side, end, statistics in zip(
            ("", "mate_"), sides, ends, self.summary.after, strict=False
        ):
            bases, qualities = side.bases, side.qualities
            if self._corrector is not None:
                bases, qualities = self._corrected(side, end, keep)
                options |= {
                    prefix + n: x
                    for n, x in zip(names, (bases, qualities), strict=True)
                }
            options |= {prefix + "start": end[0], prefix + "end": end[1]}
            rows = slice(None) if keep.all() else keep
            statistics.add(bases[rows], qualities[rows], end[0][rows], end[1][rows])
        writer.write(block, keep=keep, **options)

    def _corrected(self, side, end, keep):
        column = np.arange(side.bases.shape[1])
        inside = (column >= end[0][:, None]) & (column < end[1][:, None])
        inside &= keep[:, None]
        reads = Reads(side.bases, side.qualities, keep)
        found = self._corrector.correct(reads, inside.astype(np.float32))
        changed = found.corrections & inside
        self.summary.corrected_bases += int(changed.sum())
        self.summary.corrected_reads += int(changed.any(1).sum())
        bases = np.where(changed, found.bases, side.bases)
        return bases, np.where(changed, found.qualities, side.qualities)

    def finish(self) -> None:
        """Checks the sums, before any file gets its name."""
        summary = self.summary
        if self.two_passes and self._at != len(self._decisions):
            raise ValueError(f"{summary.inputs[0]!r} changed while it was read.")
        if self._corrector is not None:
            summary.correction = (
                f"{summary.corrected_bases:,} bases corrected in "
                f"{summary.corrected_reads:,} reads"
            )
        summary.check()


def _why_not(spectrum: KmerSpectrum, mean_length: float) -> str:
    if mean_length < _LEAST_LENGTH:
        return (
            f"reads of {mean_length:.0f} bases in the mean, as of small RNA; their "
            "counts say how much there is, not what is true"
        )
    if spectrum.coverage < _LEAST_COVERAGE:
        return (
            f"words of {spectrum.k} bases are seen {spectrum.coverage:.1f} times in "
            f"the mean, and {_LEAST_COVERAGE:.0f} are needed to tell errors "
            "(--no-error-correction saves the time to look)"
        )
    return ""


def _sides(block: FastqBlock) -> list[FastqBlock]:
    return [block] if block.mate is None else [block, block.mate]


def _left(side, end, keep):
    """Codes of what is left of the reads that pass, padding elsewhere."""
    column = np.arange(side.bases.shape[1], dtype=np.int32)
    inside = (column >= end[0].astype(np.int32)[:, None]) & keep[:, None]
    inside &= column < end[1].astype(np.int32)[:, None]
    return np.where(inside, side.bases, np.uint8(PADDING))


def _adapter_names(pipeline) -> list[list[str]]:
    """The adapters of each end in words, in the order of `AdapterSpans.kind`."""
    names = []
    for removal in (pipeline.adapter_removal, pipeline.mate_adapter_removal):
        found: list[str] = []
        if removal is not None:
            for scores in (removal.three_scores, removal.five_scores):
                if scores is not None:
                    found += _spelled(scores)
        names.append(found)
    return names


def _spelled(scores) -> list[str]:
    rows = np.asarray(scores.rows.value)
    letters = np.array(list("ACGT"))[rows.argmax(-1)]
    counted = np.asarray(scores.counted.value)
    return [
        "".join(text[mark]) + "$" * bool(anchored)
        for text, mark, anchored in zip(letters, counted, scores.anchored, strict=True)
    ]


@eqx.filter_jit
def _weigh(operator, block):
    return operator(jax.tree.map(jnp.asarray, block))
