"""Samples with SNVs and indels for benchmarks, straight from the simulator."""

import numpy as np

from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.simulate.genomes import simulate_genome
from diffbio_eqx.simulate.read_options import ReadOptions
from diffbio_eqx.simulate.reads import SimulatedReads, simulate_reads


def simulated_samples(count: int, length: int, depth: float) -> list[AlignedReads]:
    """`count` samples of windows of `length` bases, indels more common than in life."""
    samples = []
    for seed in range(count):
        genome = simulate_genome(length, seed=seed, snv_rate=4e-3, indel_rate=4e-3)
        reads = simulate_reads(
            genome,
            ReadOptions(coverage=depth, insert_mean=300.0, insert_sd=30.0),
            seed=seed,
        )
        mapped = np.flatnonzero(
            ((reads.flag & 4) == 0) & (reads.start >= 0) & (reads.end <= length)
        )
        samples.append(
            AlignedReads.from_arrays(
                reads.bases[mapped],
                reads.start[mapped],
                reads.qualities[mapped],
                reference=genome.reference,
                cigar=cigar_texts(reads, mapped),
                mapping_quality=reads.mapping_quality[mapped],
                reverse=reads.reverse[mapped],
            )
        )
    return samples


def cigar_texts(reads: SimulatedReads, rows: np.ndarray) -> list[str]:
    texts = []
    for row in rows:
        span = slice(reads.cigar_begin[row], reads.cigar_begin[row + 1])
        pairs = zip(reads.cigar_length[span], reads.cigar_operation[span], strict=True)
        texts.append("".join(f"{size}{'MIDNSHP=X'[op]}" for size, op in pairs))
    return texts
