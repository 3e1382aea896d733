"""Pairs of reads, small, with everything in them that preprocessing removes."""

import numpy as np

import diffbio_eqx as dbx
from diffbio_eqx.data.kmer_counter import KmerCounter

LENGTH, K = 40, 9
ADAPTERS = ("AGATCGGAAGAGC", "CTGTCTCTTATA")
FIRST = np.array(["ACGT".index(c) for c in ADAPTERS[0]], np.uint8)


def fragments(seed=0, reads=20, genome_size=300):
    """Bases, mates (R, L) and Phred; inserts of 18 to 90 bases of one genome.

    Then errors of low quality, bad tails, N, a mate from elsewhere, and a copy of one
    pair with one mismatch. Rows end at different columns.
    """
    rng = np.random.default_rng(seed)
    genome = rng.integers(0, 4, genome_size).astype(np.uint8)
    bases, qualities = np.full((2, 2, reads, LENGTH), 7, np.uint8)
    bases, qualities = bases.copy(), np.zeros((2, reads, LENGTH), np.uint8)
    for r in range(reads):
        insert = 18 + 4 * (r % 5) if r % 2 else int(rng.integers(45, 90))
        at = rng.integers(0, genome_size - insert)
        piece = genome[at : at + insert]
        if r == 13:  # a repeat, so that mates overlap in several ways
            piece = np.resize(np.array([0, 1, 3], np.uint8), insert)
        size = LENGTH - r % 3
        for m, strand in enumerate((piece, 3 - piece[::-1])):
            text = np.concatenate([strand, FIRST, rng.integers(0, 4, LENGTH)])[:size]
            bases[m, r, :size] = text
            qualities[m, r, :size] = rng.integers(28, 41, size)
    for r in range(0, reads, 3):  # single errors
        column = 6 + r % 9
        bases[0, r, column] = (bases[0, r, column] + 1) % 4
        qualities[0, r, column] = 9
    qualities[0, ::4, 30:] = np.where(bases[0, ::4, 30:] < 7, 11, 0)
    qualities[1, 5::7, 26:] = np.where(bases[1, 5::7, 26:] < 7, 4, 0)
    bases[:, 2, 3:10:2] = 4
    qualities[0, 8, :30] = 5  # to be dropped
    real = bases[1, 11] < 7  # a mate from elsewhere
    bases[1, 11, real] = rng.integers(0, 4, real.sum())
    for m in (0, 1):
        bases[m, 7], qualities[m, 7] = bases[m, 4], qualities[m, 4]
    bases[0, 7, 20] = (bases[0, 7, 20] + 2) % 4
    qualities[0, 7, 20] = 17
    return genome, bases, qualities


def counted(genome, coverage=8):
    """Words of the genome itself, each `coverage` times."""
    counter = KmerCounter(K)
    for _ in range(coverage):
        counter.add(genome[None], np.full((1, genome.size), 40, np.uint8))
    return counter.finish()


def pairs(seed=0, **options):
    """The pairs as a prepared sample."""
    genome, bases, qualities = fragments(seed, **options)
    mate = dbx.Reads.from_arrays(bases[1], qualities[1])
    reads = dbx.Reads.from_arrays(bases[0], qualities[0], mate=mate)
    return dbx.prepare_reads(reads, spectrum=counted(genome), least_similarity=0.8)


def singles(seed=0, **options):
    """Their first reads, two of them with a tail of G."""
    genome, bases, qualities = fragments(seed, **options)
    bases = bases[0].copy()
    for row, begin in ((6, 22), (10, 30)):
        bases[row, begin:] = np.where(bases[row, begin:] < 7, 2, 7)
    reads = dbx.Reads.from_arrays(bases, qualities[0])
    return dbx.prepare_reads(reads, spectrum=counted(genome), least_similarity=0.8)


def make(**fields):
    """A pipeline for these reads."""
    usual = dict(
        adapter_sequence=ADAPTERS,
        adapter_sequence_2=ADAPTERS[0],
        least_overlap=15,
        poly_g_length=7.0,
        minimum_length=14.0,
        maximum_n=3.0,
        error_correction_window=K,
        duplicate_similarity_threshold=0.9,
    )
    return dbx.create_preprocessing_pipeline(**usual | fields)
