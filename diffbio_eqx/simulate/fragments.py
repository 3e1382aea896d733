"""Fragments of the two haplotypes: where they start, how long they are, copies."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64, UInt8

from diffbio_eqx._checks import require_range
from diffbio_eqx.simulate.genomes import DiploidGenome
from diffbio_eqx.simulate.read_options import ReadOptions

SHORTEST_INSERT = 40
_KNOT = 300


@dataclasses.dataclass(frozen=True)
class Fragments:
    """`F` sequenced fragments: haplotype, first base on it (0-based), insert size,
    whether mate 1 is the reverse strand, the fragment it is a copy of (-1: none),
    whether the copy is marked, and whether it was mapped to the wrong place."""

    haplotype: Int8[np.ndarray, " fragments"]
    start: Int64[np.ndarray, " fragments"]
    insert: Int64[np.ndarray, " fragments"]
    first_reverse: Bool[np.ndarray, " fragments"]
    copy_of: Int64[np.ndarray, " fragments"]
    marked: Bool[np.ndarray, " fragments"]
    mismapped: Bool[np.ndarray, " fragments"]


def depth_weight(
    rng: np.random.Generator,
    reference: UInt8[np.ndarray, " positions"],
    options: ReadOptions,
) -> Float64[np.ndarray, " positions"]:
    """Relative number of fragments that start at each reference position."""
    size = len(reference)
    knots = options.coverage_spread * rng.standard_normal(size // _KNOT + 2)
    weight = np.exp(np.interp(np.arange(size) / _KNOT, np.arange(len(knots)), knots))
    total = np.concatenate([[0], np.cumsum((reference == 1) | (reference == 2))])
    high = np.minimum(np.arange(size) + int(options.insert_mean), size)
    content = (total[high] - total[:-1]) / np.maximum(high - np.arange(size), 1)
    return weight * np.exp(-0.5 * options.gc_bias * ((content - 0.45) / 0.1) ** 2)


def draw_fragments(
    rng: np.random.Generator, genome: DiploidGenome, options: ReadOptions
) -> Fragments:
    """Fragments for the coverage asked for.

    **Raises** `ValueError` when the haplotypes are shorter than an insert.
    """
    length = options.read_length
    total = round(options.coverage * len(genome.reference) / (2 * length))
    copies = round(total * options.duplicates)
    count = total - copies
    insert = rng.normal(options.insert_mean, options.insert_sd, count)
    insert = np.maximum(insert.round().astype(np.int64), SHORTEST_INSERT)
    short = rng.random(count) < options.short_inserts
    insert[short] = rng.integers(SHORTEST_INSERT, length, int(short.sum()))
    longest = int(np.ceil(options.insert_mean + 6 * options.insert_sd))
    size = min(len(copy) for copy in genome.haplotypes)
    require_range(
        "haplotype length", size, float(longest + length), hint="use a longer reference"
    )
    insert = np.minimum(insert, longest)
    haplotype = rng.integers(0, 2, count, dtype=np.int8)
    start = np.zeros(count, np.int64)
    weight = depth_weight(rng, genome.reference, options)
    for h, copy in enumerate(genome.haplotypes):
        rows = np.flatnonzero(haplotype == h)
        place = np.minimum(copy.to_reference, len(weight) - 1)
        steps = np.concatenate([[0.0], np.cumsum(weight[place])])
        last = steps[len(copy) - insert[rows] + 1]
        drawn = np.searchsorted(steps, rng.random(len(rows)) * last, side="right") - 1
        start[rows] = np.minimum(drawn, len(copy) - insert[rows])
    source = rng.integers(0, max(count, 1), copies)
    rows = np.concatenate([np.arange(count), source])
    is_copy = np.arange(total) >= count
    return Fragments(
        haplotype=haplotype[rows],
        start=start[rows],
        insert=insert[rows],
        first_reverse=(rng.random(count) < 0.5)[rows],
        copy_of=np.where(is_copy, rows, -1),
        marked=is_copy & (rng.random(total) >= options.unmarked),
        mismapped=(rng.random(count) < options.mismapped)[rows],
    )
