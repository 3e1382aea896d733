"""Which reads are kept, and how many were not."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int64

PAIRED, PROPER, UNMAPPED, MATE_UNMAPPED, REVERSE = 0x1, 0x2, 0x4, 0x8, 0x10
SECONDARY, QC_FAIL, DUPLICATE, SUPPLEMENTARY = 0x100, 0x200, 0x400, 0x800


@dataclasses.dataclass(frozen=True)
class ReadFilters:
    """Reads to leave out; the defaults are those of `bcftools mpileup`.

    As there, supplementary alignments are kept (each is evidence at its own place)
    and pairs that are not proper are dropped (`mpileup -A` would keep them). One
    default differs: `max_depth` is 1000 where `mpileup -d` says 250, since real 50x
    samples have honest stacks above 250. Unmapped reads are always left out.

    - `min_mapping_quality`: Phred, 0-255; reads below are dropped (`-q`).
    - `secondary`, `supplementary`, `qc_fail`, `duplicate`: True drops these.
    - `improper_pair`: True drops paired reads that are not in a proper pair.
    - `merge_mates`: overlapping mates count once (`mpileup -x` would count twice).
    - `max_depth`: reads that would start where this many kept reads lie are dropped.
    """

    min_mapping_quality: int = 0
    secondary: bool = True
    supplementary: bool = False
    qc_fail: bool = True
    duplicate: bool = True
    improper_pair: bool = True
    merge_mates: bool = True
    max_depth: int = 1000

    def __post_init__(self) -> None:
        if not 0 <= self.min_mapping_quality <= 255:
            raise ValueError(
                "min_mapping_quality is a Phred score in [0, 255], got "
                f"{self.min_mapping_quality}. bcftools keeps all at 0; 20 is strict."
            )
        if self.max_depth < 1:
            raise ValueError(
                f"max_depth must be at least 1 read, got {self.max_depth}. Use a large "
                "number to switch the cap off."
            )


@dataclasses.dataclass(frozen=True)
class ReadCounts:
    """Reads met, and what became of them; each is counted at the first that fits."""

    seen: int = 0
    unmapped: int = 0
    secondary: int = 0
    supplementary: int = 0
    qc_fail: int = 0
    duplicate: int = 0
    improper_pair: int = 0
    mapping_quality: int = 0
    no_alignment: int = 0
    no_sequence: int = 0
    depth: int = 0
    kept: int = 0

    def __add__(self, other: "ReadCounts") -> "ReadCounts":
        names = [field.name for field in dataclasses.fields(self)]
        return ReadCounts(*(getattr(self, n) + getattr(other, n) for n in names))

    def __str__(self) -> str:
        names = [f.name for f in dataclasses.fields(self) if f.name != "seen"]
        told = [f"{getattr(self, n)} {n}" for n in names if getattr(self, n)]
        return f"{self.seen} reads: " + (", ".join(told) or "none")


def filter_reads(
    filters: ReadFilters,
    flag: Int64[np.ndarray, " reads"],
    mapping_quality: Int64[np.ndarray, " reads"],
    aligned: Bool[np.ndarray, " reads"],
    sequenced: Bool[np.ndarray, " reads"],
) -> tuple[Bool[np.ndarray, " reads"], ReadCounts]:
    """Which reads stay, and the counts (`kept` before any cap on depth).

    `aligned`: the CIGAR covers a reference base. `sequenced`: the bases are there.
    """
    improper = (flag & PAIRED != 0) & (flag & PROPER == 0)
    tests = {
        "unmapped": flag & UNMAPPED != 0,
        "secondary": (flag & SECONDARY != 0) & filters.secondary,
        "supplementary": (flag & SUPPLEMENTARY != 0) & filters.supplementary,
        "qc_fail": (flag & QC_FAIL != 0) & filters.qc_fail,
        "duplicate": (flag & DUPLICATE != 0) & filters.duplicate,
        "improper_pair": improper & filters.improper_pair,
        "mapping_quality": mapping_quality < filters.min_mapping_quality,
        "no_alignment": ~aligned,
        "no_sequence": ~sequenced,
    }
    keep = np.ones(len(flag), bool)
    counts = {}
    for name, fails in tests.items():
        counts[name] = int(np.count_nonzero(keep & fails))
        keep &= ~fails
    kept = int(np.count_nonzero(keep))
    return keep, ReadCounts(seen=len(flag), **counts, kept=kept)


def cap_depth(
    start: Int64[np.ndarray, " reads"],
    end: Int64[np.ndarray, " reads"],
    alive: Int64[np.ndarray, " earlier"],
    max_depth: int,
) -> Bool[np.ndarray, " reads"]:
    """Which reads stay when no more than `max_depth` may lie over one base.

    Reads are taken in order of position, as they come in the file; those that start
    where `max_depth` kept reads already lie are dropped. `alive` are the ends of
    reads kept before these. Without an over-deep place nothing is walked.
    """
    keep = np.ones(len(start), bool)
    if not len(start):
        return keep
    ends = np.sort(np.concatenate([alive, end]))
    # Reads before this one, less those that ended: the depth with nothing dropped.
    depth = len(alive) + np.arange(1, len(start) + 1)
    depth -= np.searchsorted(ends, start, side="right")
    deep = depth > max_depth
    if not deep.any():
        return keep
    # From the first over-deep read on, one step for each distinct start.
    first = int(np.argmax(deep))
    opened = np.flatnonzero(np.diff(start[first:], prepend=start[first] - 1)) + first
    closed = np.append(opened[1:], len(start))
    past = np.concatenate([alive, end[:first]])
    live = np.sort(past[past > start[first]])
    for low, high in zip(opened.tolist(), closed.tolist(), strict=True):
        live = live[np.searchsorted(live, start[low], side="right") :]
        room = max(0, max_depth - len(live))
        keep[low + room : high] = False
        added = end[low : min(high, low + room)]
        live = np.sort(np.concatenate([live, added]))
    return keep
