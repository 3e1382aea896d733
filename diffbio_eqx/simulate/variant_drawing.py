"""Where variants fall and what they are: SNVs, indels in and outside of repeats."""

import numpy as np

from diffbio_eqx.simulate.ragged import ragged_range
from diffbio_eqx.simulate.truth_variants import TruthVariants


def _lengths(rng: np.random.Generator, count: int, longest: int) -> np.ndarray:
    """Indel lengths as in people: most of 1, a long tail."""
    short = rng.geometric(0.6, count)
    return np.minimum(
        np.where(rng.random(count) < 0.75, short, rng.geometric(0.15, count)), longest
    )


def tandem_repeats(
    bases: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maximal repeats (start, length, unit): homopolymers of at least 4 bases and
    units of 2 to 4 bases with at least 2.5 copies."""
    found = []
    for unit in (1, 2, 3, 4):
        same = np.zeros(len(bases) + 1, np.int8)
        same[1:-unit] = (bases[unit:] == bases[:-unit]) & (bases[unit:] < 4)
        edge = np.diff(same)
        start = np.flatnonzero(edge == 1)
        length = np.flatnonzero(edge == -1) - start + unit
        for shorter in [part for part in (1, 2) if unit % part == 0 and part < unit]:
            offset = start[:, None] + np.arange(unit - shorter)
            mixed = (bases[offset] != bases[offset + shorter]).any(axis=1)
            start, length = start[mixed], length[mixed]
        long = length >= max(4, int(2.5 * unit))
        found.append((start[long], length[long], np.full(long.sum(), unit)))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _left_aligned(bases, first, length, insertion):
    """Shift events leftwards while the sequence stays the same; with the inserted
    bases as a padded matrix (rows, longest)."""
    while True:
        before = bases[np.maximum(first - 1, 0)]
        row = np.arange(len(first))
        deletion = insertion[:, 0] == 7
        last_deleted = bases[np.minimum(first + length - 1, len(bases) - 1)]
        last = np.where(deletion, last_deleted, insertion[row, length - 1])
        move = (before == last) & (first > 1)
        if not move.any():
            return first, insertion
        rows = np.flatnonzero(move & ~deletion)
        column = np.arange(insertion.shape[1])
        size = length[rows, None]
        turned = np.take_along_axis(
            insertion[rows], np.where(column < size, (column - 1) % size, column), 1
        )
        insertion[rows] = turned
        first = first - move


def _indels(rng, bases, count, repeat_share, longest):
    """(first base after the anchor, length, inserted bases; row of 7 = deletion)."""
    start, extent, unit = tandem_repeats(bases)
    inside = (start > 0) & (start + extent < len(bases))
    start, extent, unit = start[inside], extent[inside], unit[inside]
    in_repeat = rng.random(count) < (repeat_share if len(start) else 0.0)
    length = _lengths(rng, count, longest)
    first = rng.integers(1, max(2, len(bases) - longest - 1), count)
    if in_repeat.any():
        weight = (extent / unit) ** 2.0
        tract = rng.choice(len(start), in_repeat.sum(), p=weight / weight.sum())
        most = np.minimum((extent[tract] - 1) // unit[tract], longest // unit[tract])
        copies = np.minimum(rng.geometric(0.75, len(tract)), np.maximum(most, 1))
        first[in_repeat], length[in_repeat] = start[tract], copies * unit[tract]
    width = int(length.max(initial=1))
    insertion = rng.integers(0, 4, (count, width)).astype(np.uint8)
    # within repeats, and for half of the others, the insertion copies what follows
    copied = in_repeat | (rng.random(count) < 0.5)
    follow = np.minimum(first[:, None] + np.arange(width), len(bases) - 1)
    insertion = np.where(copied[:, None], bases[follow], insertion)
    insertion[rng.random(count) < 0.5, 0] = 7
    first, insertion = _left_aligned(bases, first, length, insertion)
    return first, length, insertion


def draw_variants(
    rng: np.random.Generator,
    bases: np.ndarray,
    *,
    snv_rate: float,
    indel_rate: float,
    transitions: float,
    repeat_share: float,
    longest: int,
    het_share: float,
    compound_share: float,
    gap: int,
) -> TruthVariants:
    """Sorted variants that keep `gap` unchanged bases between each other."""
    size = len(bases)
    snvs = rng.integers(0, size, rng.poisson(snv_rate * size))
    count = rng.poisson(indel_rate * size)
    first, length, insertion = _indels(rng, bases, count, repeat_share, longest)
    deletion = insertion[:, 0] == 7
    insertion = np.pad(insertion, ((0, 1), (0, 0)), constant_values=7)  # for SNVs

    # SNV: 1 base each. Indel: reference allele = anchor (+ deleted bases).
    kind = np.concatenate([np.zeros(len(snvs), int), 2 - deletion.astype(int)])
    start = np.concatenate([snvs, first - 1])
    length = np.concatenate([np.zeros(len(snvs), int), length])
    row = np.concatenate([np.full(len(snvs), -1), np.arange(count)])
    stop = start + 1 + np.where(kind == 1, length, 0)
    order = np.lexsort((rng.random(len(start)), start))
    kind, start, length, row, stop = (
        part[order] for part in (kind, start, length, row, stop)
    )
    unknown = np.concatenate([[0], np.cumsum(bases > 3)])
    latest = np.concatenate([[-gap], np.maximum.accumulate(stop)[:-1]])
    inside = (start >= gap) & (stop + gap <= size)
    clear = unknown[np.minimum(stop + 1, size)] == unknown[np.maximum(start, 0)]
    keep = inside & clear & (start >= latest + gap)
    kind, start, length, row = (part[keep] for part in (kind, start, length, row))
    return _spell(
        rng, bases, kind, start, length, insertion[row], transitions,
        het_share, compound_share,
    )  # fmt: skip


def _spell(
    rng, bases, kind, start, length, insertion, transitions, het_share, compound_share
):
    """Records from kinds (0 SNV, 1 deletion, 2 insertion): alleles and genotypes."""
    count = len(start)
    indel = kind > 0
    compound = indel & (rng.random(count) < compound_share)
    zero = np.zeros(count, int)
    # Allele lengths. A compound record's allele 2 repeats what is deleted or inserted.
    sizes = np.stack(
        [
            1 + np.where(kind == 1, length, zero),
            1 + np.where(kind == 2, length, zero),
            np.where(compound, 1 + 2 * length, zero),
        ],
        axis=1,
    )
    begin = (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape)
    flat = np.zeros(int(sizes.sum()), np.uint8)
    for allele in range(3):
        within = ragged_range(zero, sizes[:, allele])
        owner = np.repeat(np.arange(count), sizes[:, allele])
        event = (within - 1) % np.maximum(length[owner], 1)
        deleted = bases[np.minimum(start[owner] + 1 + event, len(bases) - 1)]
        inserted = insertion[owner, np.minimum(event, insertion.shape[1] - 1)]
        body = np.where(kind[owner] == 1, deleted, inserted)
        flat[begin[owner, allele] + within] = np.where(
            within == 0, bases[start[owner]], body
        )
    snv = ~indel
    change = np.where(
        rng.random(count) < transitions, 2, rng.choice(np.array([1, 3]), count)
    )
    flat[begin[snv, 1]] = bases[start[snv]] ^ change[snv].astype(np.uint8)
    het = rng.random(count) < het_share
    genotype = np.ones((count, 2), np.int8)
    genotype[het, rng.integers(0, 2, int(het.sum()))] = 0
    side = rng.integers(0, 2, count)
    genotype[compound, side[compound]] = 1
    genotype[compound, 1 - side[compound]] = 2
    return TruthVariants(start.astype(np.int64), begin, sizes, flat, genotype)
