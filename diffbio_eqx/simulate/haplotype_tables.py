"""Both haplotypes in one flat table, so that one gather reads any base."""

import dataclasses

import numpy as np

from diffbio_eqx.simulate.genomes import DiploidGenome

_DIVERGENCE = 0.02  # of the diverged copy that mis-mapped reads come from
_HIGHEST_RUN_ERROR = 0.05


@dataclasses.dataclass(frozen=True)
class HaplotypeTables:
    """Flat tables over the bases of both haplotypes (haplotype `h` owns
    `[offset[h], offset[h + 1])`): bases, bases of the diverged copy, reference
    position, insertion flag, running count of bases where the alignment is not a
    plain match with the base before, length of the homopolymer that starts there (0:
    none starts), and running sum of the rate of sequencing indels."""

    offset: np.ndarray
    bases: np.ndarray
    diverged: np.ndarray
    to_reference: np.ndarray
    inserted: np.ndarray
    irregular: np.ndarray
    run: np.ndarray
    indel_rate: np.ndarray


def haplotype_tables(
    rng: np.random.Generator,
    genome: DiploidGenome,
    *,
    indel_error: float,
    run_growth: float,
) -> HaplotypeTables:
    """The tables of a genome. A homopolymer of `n` bases has a sequencing indel at
    its first base at the rate `indel_error * n * run_growth ** max(n - 4, 0)`, at
    most 5 %."""
    copies = genome.haplotypes
    bases = np.concatenate([copy.bases for copy in copies])
    place = np.concatenate([copy.to_reference for copy in copies])
    inserted = np.concatenate([copy.inserted for copy in copies])
    offset = np.cumsum([0, *(len(copy) for copy in copies)])
    first = np.zeros(len(bases), bool)
    first[offset[:-1]] = True

    step = np.zeros(len(bases), np.int64)
    step[1:] = place[1:] - place[:-1] - ~inserted[:-1]
    irregular = inserted | ((step > 0) & ~first)

    starts = first.copy()
    starts[1:] |= bases[1:] != bases[:-1]
    at = np.flatnonzero(starts)
    run = np.zeros(len(bases), np.int64)
    run[at] = np.diff(np.append(at, len(bases)))
    run[bases > 3] = 0
    growth = run_growth ** np.clip(run - 4, 0, 60).astype(float)
    rate = np.minimum(indel_error * run * growth, _HIGHEST_RUN_ERROR)

    # the same substitutions on both haplotypes: drawn by reference position
    size = len(genome.reference)
    change = rng.integers(1, 4, size, dtype=np.uint8)
    change[rng.random(size) >= _DIVERGENCE] = 0
    diverged = np.where(
        bases < 4, (bases + change[np.minimum(place, size - 1)]) % 4, bases
    )
    return HaplotypeTables(
        offset=offset,
        bases=bases,
        diverged=diverged.astype(np.uint8),
        to_reference=place,
        inserted=inserted,
        irregular=np.cumsum(irregular),
        run=run,
        indel_rate=np.concatenate([[0.0], np.cumsum(rate)]),
    )
