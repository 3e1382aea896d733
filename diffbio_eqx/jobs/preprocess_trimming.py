"""What is left of each read of a block: every trimming stage in hard mode, fast."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from diffbio_eqx.io.fastq_block import FastqBlock
from diffbio_eqx.operators.reads.adapter_blocks import AdapterBlocks
from diffbio_eqx.operators.reads.mate_blocks import MateBlocks

STAGES = ("poly_tail", "overlap", "adapter", "quality")
"""The stages that cut, in their order; pairs are cut by overlap or by adapter."""


class TrimmedEnd(NamedTuple):
    """Bases `[start, end)` of each read of a block are left."""

    start: np.ndarray
    end: np.ndarray


@dataclasses.dataclass
class TrimmedBlock:
    """What trimming made of a block.

    - `ends`: a `TrimmedEnd` for the reads, and one for their mates.
    - `keep` (R,), `reason` (R,): who passes the filters; else the index in
      `operators.reads.read_filter.REASONS`.
    - `reads`, `bases`: how many each of `STAGES` cut.
    - `insert` (R,): insert length where it was seen, else 0.
    - `kinds`: for each end the adapter of each read, -1 for none.
    - `cuts`, `false_cuts`, `false_bases`: cuts by adapter or overlap, how many of them
      are expected to be wrong, and bases of the insert expected to be lost by them.
    """

    ends: list[TrimmedEnd]
    keep: np.ndarray
    reason: np.ndarray
    reads: dict[str, int]
    bases: dict[str, int]
    insert: np.ndarray
    kinds: list[np.ndarray]
    cuts: int = 0
    false_cuts: float = 0.0
    false_bases: float = 0.0


class BlockTrimmer:
    """The hard limit of a `PreprocessingPipeline` up to its filters, for FASTQ blocks.

    Poly-G tail -> overlap of mates where it cuts, else adapter -> quality -> filters.
    A stage of the pipeline that is None does nothing. A pair passes as a whole.
    """

    def __init__(self, pipeline: Any):
        self._pipeline = pipeline
        removals = (pipeline.adapter_removal, pipeline.mate_adapter_removal)
        self._adapters = [None if r is None else AdapterBlocks(r) for r in removals]
        overlap = pipeline.mate_overlap
        self._overlap = None if overlap is None else MateBlocks(overlap)

    def __call__(self, block: FastqBlock) -> TrimmedBlock:
        sides = [block] if block.mate is None else [block, block.mate]
        count = len(block)
        made = TrimmedBlock(
            ends=[],
            keep=np.ones(count, bool),
            reason=np.full(count, -1),
            reads=dict.fromkeys(STAGES, 0),
            bases=dict.fromkeys(STAGES, 0),
            insert=np.zeros(count, int),
            kinds=[],
        )
        overlap = None
        if block.mate is not None and self._overlap is not None:
            overlap = self._overlap(*_one_width(block, block.mate))
            made.insert = np.where(overlap.cut, overlap.insert, 0)
        for side, adapters, number in zip(sides, self._adapters, (0, 1), strict=False):
            self._trim(made, side, adapters, overlap, number)
        if overlap is not None:
            made.cuts += int(overlap.cut.sum())
            made.false_cuts += float(overlap.false_trim[overlap.cut].sum())
            made.false_bases += float(overlap.false_bases[overlap.cut].sum())
        return made

    def _trim(self, made, side, adapters, overlap, number):
        bases, qualities = side.bases, side.qualities
        start, end = np.zeros(len(side), int), side.lengths.astype(int)
        pipeline = self._pipeline
        if pipeline.poly_tail is not None:
            new = pipeline.poly_tail.block_spans(bases, qualities, start, end)
            start, end = _counted(made, "poly_tail", (start, end), new)
        alone = np.ones(len(side), bool)
        if overlap is not None:
            reach = (overlap.end, overlap.mate_end)[number]
            new = start, np.where(overlap.cut, np.minimum(end, reach), end)
            start, end = _counted(made, "overlap", (start, end), new)
            alone = ~overlap.cut
        kind = np.full(len(side), -1)
        if adapters is not None and alone.any():
            rows = slice(None) if alone.all() else np.flatnonzero(alone)
            given = (x[rows] for x in (bases, qualities, start, end))
            found = adapters(*given)
            new = start.copy(), end.copy()
            new[0][rows], new[1][rows] = found.start, found.end
            kind[rows] = found.kind
            start, end = _counted(made, "adapter", (start, end), new)
            made.cuts += int(found.cut.sum())
            made.false_cuts += float(found.false_trim[found.cut].sum())
            made.false_bases += float(found.false_bases[found.cut].sum())
            if side.mate is None and overlap is None and number == 0:
                seen = found.cut & (found.end < side.lengths[rows])
                made.insert[rows] = np.where(seen, found.end - found.start, 0)
        if pipeline.quality_trimming is not None:
            cut = pipeline.quality_trimming.block_spans(bases, qualities, start, end)
            start, end = _counted(made, "quality", (start, end), cut)
        end = np.maximum(start, end)
        if pipeline.read_filter is not None:
            passes, reason = pipeline.read_filter.block_passes(
                bases, qualities, start, end
            )
            made.reason = np.where(made.reason < 0, reason, made.reason)
            made.keep = made.keep & passes
        made.ends.append(TrimmedEnd(start, end))
        made.kinds.append(kind)


def _counted(made, stage, old, new):
    """`new`, after counting what the stage took off `old`."""
    new = tuple(np.asarray(x) for x in new)
    lost = (old[1] - old[0]) - np.maximum(new[1] - new[0], 0)
    made.reads[stage] += int((lost > 0).sum())
    made.bases[stage] += int(lost.sum())
    return new


def _one_width(one, two):
    """Bases and qualities of both ends, (R, L) of the wider one."""
    width = max(one.bases.shape[1], two.bases.shape[1])
    arrays = []
    for side in (one, two):
        more = ((0, 0), (0, width - side.bases.shape[1]))
        arrays.append(np.pad(side.bases, more, constant_values=7))
        arrays.append(np.pad(side.qualities, more))
    return arrays
