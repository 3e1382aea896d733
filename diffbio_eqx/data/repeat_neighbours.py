"""Alleles that no alignment shows, one repeat unit away from one that does."""

import numpy as np

from diffbio_eqx.data.indel_alleles import IndelAlleles

_LONGEST_UNIT = 8


def with_repeat_neighbours(
    alleles: IndelAlleles, reference: np.ndarray, origin: int, max_length: int
) -> IndelAlleles:
    """`alleles` and, for those in tandem repeats, one unit more and one unit less.

    Repeats mutate by whole units, and an aligner often hides the second allele of a
    sample in clips and mismatches. An allele is in a repeat if what it inserts or
    deletes is copies of a unit of at most 8 bases, of which the reference holds two in
    a row (one beside an insertion). New alleles have support 0, and stay within the
    repeat and `max_length`. Work is a step per allele, not per read.
    """
    known = set(zip(alleles.position.tolist(), alleles.length.tolist(), strict=True))
    new: list[tuple[int, int, np.ndarray, int, int]] = []
    for row in range(len(alleles)):
        position, length = int(alleles.position[row]), int(alleles.length[row])
        span_end = int(alleles.span_end[row])
        at = position - origin
        if length < 0:
            sequence = reference[at : at - length]
        else:
            sequence = alleles.inserted[row, :length]
        unit = _unit(sequence)
        copies = (span_end - position) // unit if unit else 0
        if copies < (2 if length < 0 else 1):
            continue
        for other in (length - unit, length + unit):
            other += 0 if other else (unit if length < 0 else -unit)
            fits = -other // unit <= copies and abs(other) <= max_length
            if not fits or (position, other) in known:
                continue
            known.add((position, other))
            added = np.tile(reference[at : at + unit], max(other, 0) // unit)
            new.append((position, other, added, span_end, int(alleles.depth[row])))
    if not new:
        return alleles
    return _joined(alleles, new)


def _unit(sequence: np.ndarray) -> int:
    """Length of the unit that `sequence` is whole copies of; 0 if it is too long."""
    size = len(sequence)
    for unit in range(1, min(size, _LONGEST_UNIT) + 1):
        if size % unit == 0 and (sequence.reshape(-1, unit) == sequence[:unit]).all():
            return unit
    return 0


def _joined(alleles: IndelAlleles, new) -> IndelAlleles:
    position, length, added, span_end, depth = zip(*new, strict=True)
    width = max(alleles.inserted.shape[1], max(map(len, added)))
    inserted = np.full((len(alleles) + len(new), width), 7, np.uint8)
    inserted[: len(alleles), : alleles.inserted.shape[1]] = alleles.inserted
    for row, codes in enumerate(added, len(alleles)):
        inserted[row, : len(codes)] = codes
    join = lambda old, more: np.concatenate([old, np.array(more, old.dtype)])
    both = IndelAlleles(
        join(alleles.position, position),
        join(alleles.length, length),
        inserted,
        join(alleles.span_end, span_end),
        join(alleles.support, [0] * len(new)),
        join(alleles.depth, depth),
    )
    return both.take(np.lexsort((both.length, both.position)))
