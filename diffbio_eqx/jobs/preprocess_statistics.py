"""Counts by cycle of a stream of reads: qualities, bases and lengths."""

from typing import Any

import numpy as np

_LETTERS = "ACGT"


class CycleStatistics:
    """Sums over the reads of blocks; a cycle is a column of the block.

    - `reads`, `total_bases`, `q20`, `q30` (bases of at least that Phred), `gc`.
    - `bases` (4, L): A C G T of each cycle; `depth` (L,): reads that have it;
      `quality` (L,): sum of Phred.
    - `lengths` (n,): how many reads have each length.
    """

    def __init__(self):
        self.reads = self.q20 = self.q30 = 0
        self.bases = np.zeros((4, 0), np.int64)
        self.depth = np.zeros(0, np.int64)
        self.quality = np.zeros(0, np.int64)
        self.lengths = np.zeros(1, np.int64)

    def add(
        self,
        bases: np.ndarray,
        qualities: np.ndarray,
        start: np.ndarray,
        end: np.ndarray,
    ) -> None:
        """Add the bases `[start, end)` of reads (R, L); cycles stay what they were."""
        if not len(bases):
            return
        column = np.arange(bases.shape[1], dtype=np.int32)
        inside = column < end.astype(np.int32)[:, None]
        if start.any():
            inside &= column >= start.astype(np.int32)[:, None]
        marked = inside.view(np.uint8)
        # 255 where a base is left, so that one `and` or `or` masks it
        mask = np.uint8(0) - marked
        bases, qualities = bases | ~mask, qualities & mask
        self._widen(bases.shape[1])
        width = slice(0, bases.shape[1])
        self.reads += len(bases)
        self.q20 += int(np.count_nonzero(qualities >= 20))
        self.q30 += int(np.count_nonzero(qualities >= 30))
        for code in range(4):
            self.bases[code, width] += _ones(bases == code)
        self.depth[width] += _ones(marked)
        self.quality[width] += _sums(qualities)
        lengths = np.bincount(np.maximum(end - start, 0), minlength=len(self.lengths))
        lengths[: len(self.lengths)] += self.lengths
        self.lengths = lengths

    @property
    def total_bases(self) -> int:
        return int(self.depth.sum())

    @property
    def gc(self) -> float:
        """Share of G and C among the known bases."""
        return float(self.bases[1:3].sum() / max(self.bases.sum(), 1))

    @property
    def mean_length(self) -> float:
        return self.total_bases / max(self.reads, 1)

    @property
    def mean_quality(self) -> np.ndarray:
        """Mean Phred of each cycle that any read has."""
        cycles = self.cycles
        return self.quality[:cycles] / np.maximum(self.depth[:cycles], 1)

    @property
    def cycles(self) -> int:
        there = np.flatnonzero(self.depth)
        return int(there[-1]) + 1 if len(there) else 0

    def content(self) -> dict[str, np.ndarray]:
        """Share of A, C, G, T, N and GC at each cycle."""
        cycles = self.cycles
        depth = np.maximum(self.depth[:cycles], 1)
        shares = {
            letter: self.bases[code, :cycles] / depth
            for code, letter in enumerate(_LETTERS)
        }
        known = sum(shares.values(), np.zeros(cycles))
        shares["N"] = np.where(self.depth[:cycles] > 0, 1.0 - known, 0.0)
        shares["GC"] = shares["G"] + shares["C"]
        return shares

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, named as in fastp's report."""
        rounded = lambda x: [round(float(v), 5) for v in x]
        return {
            "total_reads": self.reads,
            "total_bases": self.total_bases,
            "q20_bases": self.q20,
            "q30_bases": self.q30,
            "total_cycles": self.cycles,
            "quality_curves": {"mean": rounded(self.mean_quality)},
            "content_curves": {k: rounded(v) for k, v in self.content().items()},
        }

    def _widen(self, width):
        more = width - len(self.depth)
        if more > 0:
            self.depth = np.pad(self.depth, (0, more))
            self.quality = np.pad(self.quality, (0, more))
            self.bases = np.pad(self.bases, ((0, 0), (0, more)))


def joined(parts: list[CycleStatistics]) -> dict[str, Any]:
    """Reads 1 and 2 together, named as in fastp's summary."""
    total = lambda name: sum(getattr(part, name) for part in parts)
    bases = max(total("total_bases"), 1)
    counts = sum(part.bases.sum(1) for part in parts)
    answer = {
        "total_reads": total("reads"),
        "total_bases": total("total_bases"),
        "q20_bases": total("q20"),
        "q30_bases": total("q30"),
        "q20_rate": total("q20") / bases,
        "q30_rate": total("q30") / bases,
    }
    for number, part in enumerate(parts, 1):
        answer[f"read{number}_mean_length"] = round(part.mean_length)
    return answer | {"gc_content": float(counts[1:3].sum() / max(counts.sum(), 1))}


def _ones(mask: np.ndarray) -> np.ndarray:
    """Column sums of zeros and ones; 255 rows at a time fit into bytes."""
    mask = mask.view(np.uint8)
    total = np.zeros(mask.shape[1], np.int64)
    for low in range(0, len(mask), 255):
        total += np.add.reduce(mask[low : low + 255], 0, dtype=np.uint8)
    return total


def _sums(values: np.ndarray) -> np.ndarray:
    """Column sums of bytes; 256 rows at a time fit into two."""
    total = np.zeros(values.shape[1], np.int64)
    for low in range(0, len(values), 256):
        total += np.add.reduce(values[low : low + 256], 0, dtype=np.uint16)
    return total
