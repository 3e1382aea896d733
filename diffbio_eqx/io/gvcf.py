"""Reference blocks of a gVCF: stretches that were looked at and hold no variant."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt8

from diffbio_eqx._checks import fail, require_shape
from diffbio_eqx.data.variant_records import VariantRecord

GQ_BANDS = (5, 20, 60)
_LETTERS = np.array(list("ACGTNNNN"))


@dataclasses.dataclass(frozen=True)
class ReferenceBlocks:
    """Reference blocks of one contig, sorted, columns of equal length.

    - `start`, `end`: 0-based half-open; `ref`: the base at `start`.
    - `depth`, `min_depth`: mean (rounded) and smallest depth.
    - `gq`: smallest genotype quality; `band`: its band, 0 for the lowest.
    - `pl`: per genotype the smallest Phred-scaled likelihood of the stretch, then
      shifted so that the smallest is 0; 0/0, 0/<*>, <*>/<*> (haploid: 0, <*>).
    """

    start: Int[np.ndarray, " blocks"]
    end: Int[np.ndarray, " blocks"]
    ref: np.ndarray
    depth: Int[np.ndarray, " blocks"]
    min_depth: Int[np.ndarray, " blocks"]
    gq: Int[np.ndarray, " blocks"]
    band: Int[np.ndarray, " blocks"]
    pl: Int[np.ndarray, "blocks genotypes"]

    def __len__(self) -> int:
        return len(self.start)


def record_spans(records: Iterable[VariantRecord]) -> Int[np.ndarray, "records 2"]:
    """The reference intervals that records occupy, deleted bases included."""
    spans = [(r.position, r.end) for r in records]
    return np.array(spans, np.int64).reshape(-1, 2)


def reference_blocks(
    start: int,
    depth: Integer[np.ndarray, " length"],
    gq: Integer[np.ndarray, " length"],
    pl: Integer[np.ndarray, "length genotypes"],
    callable_mask: Bool[np.ndarray, " length"],
    excluded: Integer[np.ndarray, "intervals 2"],
    *,
    reference: UInt8[np.ndarray, " length"],
    bands: Sequence[int] = GQ_BANDS,
) -> ReferenceBlocks:
    """Join neighbouring callable positions of the same GQ band into blocks.

    `start` is the contig position of entry 0, `excluded` (contig coordinates) the
    spans of variant records: every callable position outside them falls in exactly one
    block, and no other position in any. `bands` are the lower edges of the second and
    later bands: (5, 20, 60) makes GQ 0-4, 5-19, 20-59 and 60 or more. `reference` holds
    base codes. Cost: a few passes over the window.

    **Raises** `ValueError` for columns of different lengths and bands not increasing.
    """
    length = len(depth)
    for name, column in (("gq", gq), ("callable_mask", callable_mask)):
        require_shape(name, column.shape, (length,))
    require_shape("reference", reference.shape, (length,))
    require_shape("pl", pl.shape, (length, "genotypes"))
    edges = np.asarray(bands, np.int64)
    if np.any(np.diff(edges) <= 0):
        fail("bands", expected="increasing GQ edges", got=tuple(bands))
    steps = np.zeros(length + 1, np.int64)
    spans = np.clip(np.asarray(excluded, np.int64).reshape(-1, 2) - start, 0, length)
    np.add.at(steps, spans[:, 0], 1)
    np.add.at(steps, spans[:, 1], -1)
    free = callable_mask & (np.cumsum(steps[:-1]) == 0)
    band = np.where(free, np.searchsorted(edges, gq, side="right"), -1)
    # all runs of equal band are reduced; those that are not free are dropped after it
    runs = np.flatnonzero(np.diff(band, prepend=-2))
    used = band[runs] >= 0
    column = lambda f, x: f.reduceat(np.asarray(x, np.int64), runs)[used]
    first, last = runs[used], np.append(runs[1:], length)[: len(runs)][used]
    lowest = [column(np.minimum, pl[:, g]) for g in range(pl.shape[1])]
    phred = np.stack(lowest, axis=1)
    phred = phred - phred.min(axis=1, keepdims=True)
    total = column(np.add, depth)
    return ReferenceBlocks(
        start=first + start,
        end=last + start,
        ref=_LETTERS[np.minimum(reference[first], 4)],
        depth=np.rint(total / np.maximum(last - first, 1)).astype(np.int64),
        min_depth=column(np.minimum, depth),
        gq=column(np.minimum, gq),
        band=band[first],
        pl=phred,
    )
