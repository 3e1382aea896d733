"""The simplest sample: substitutions only, honest qualities, no CIGAR."""

import dataclasses

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from diffbio_eqx._checks import require_range


@dataclasses.dataclass(frozen=True)
class SimpleSample:
    """Reads as plain arrays, for `AlignedReads.from_arrays`.

    - `reads` (n, L) codes, `positions` (n,) 0-based starts, `quality` (n, L) Phred.
    - `reference` (G,) codes; `genotypes` (G, 2): the bases of the two haplotypes, so
      position g is heterozygous where they differ.
    """

    reads: UInt8[np.ndarray, "reads cycles"]
    positions: Int32[np.ndarray, " reads"]
    quality: Float32[np.ndarray, "reads cycles"]
    reference: UInt8[np.ndarray, " positions"]
    genotypes: UInt8[np.ndarray, "positions 2"]

    @property
    def copies(self) -> np.ndarray:
        """(G,) number of haplotypes that differ from the reference."""
        return (self.genotypes != self.reference[:, None]).sum(axis=1)


def simulate_simple(
    reference_length: int = 4000,
    coverage: float | int = 30.0,
    read_length: int = 100,
    rate: float = 0.01,
    *,
    seed: int,
    mean_quality: float | int = 30.0,
) -> SimpleSample:
    """Single reads of a diploid genome with SNVs, errors exactly as reported.

    Starts are uniform over all reads that fit. SNVs come at `rate` per base, two
    thirds of them heterozygous, in the part that has full depth (`read_length` away
    from either end). Qualities are normal around `mean_quality` (deviation 5, kept in
    2-41), and a base of quality q is wrong with probability 10 ** (-q / 10).

    **Raises** `ValueError` for arguments out of range.
    """
    require_range("read_length", read_length, 1.0)
    require_range("reference_length", reference_length, 2.0 * read_length + 1.0)
    require_range("coverage", coverage, 0.0, 1e5)
    require_range("rate", rate, 0.0, 1.0)
    require_range("mean_quality", mean_quality, 2.0, 41.0)
    rng = np.random.default_rng([seed, 4])
    reference = rng.integers(0, 4, reference_length, dtype=np.uint8)
    place = np.arange(reference_length)
    inner = (place >= read_length) & (place < reference_length - read_length)
    at = np.flatnonzero(inner & (rng.random(reference_length) < rate))
    other = (reference[at] + rng.integers(1, 4, len(at), dtype=np.uint8)) % 4
    genotypes = np.stack([reference, reference], axis=1)
    genotypes[at] = other[:, None]
    het = np.flatnonzero(rng.random(len(at)) < 2 / 3)
    genotypes[at[het], rng.integers(0, 2, len(het))] = reference[at[het]]

    count = round(coverage * reference_length / read_length)
    start = np.sort(rng.integers(0, reference_length - read_length + 1, count))
    haplotype = rng.integers(0, 2, count)
    columns = start[:, None] + np.arange(read_length)
    true = genotypes[columns, haplotype[:, None]]
    quality = rng.normal(mean_quality, 5.0, true.shape).round().clip(2, 41)
    wrong = rng.random(true.shape) < 10.0 ** (quality / -10.0)
    error = rng.integers(1, 4, true.shape, dtype=np.uint8)
    return SimpleSample(
        reads=np.where(wrong, (true + error) % 4, true).astype(np.uint8),
        positions=start.astype(np.int32),
        quality=quality.astype(np.float32),
        reference=reference,
        genotypes=genotypes,
    )
