"""A small diploid genome and reads of it with known errors."""

import numpy as np

K = 15


def genome(seed=0, size=3000, heterozygous=4):
    """Two haplotypes (2, size) and the columns where they differ."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 4, size)
    second = first.copy()
    sites = np.sort(rng.choice(np.arange(100, size - 100), heterozygous, replace=False))
    second[sites] = (first[sites] + rng.integers(1, 4, heterozygous)) % 4
    return np.stack([first, second]).astype(np.uint8), sites


def reads_of(haplotypes, seed=0, depth=40, length=80, error=0.005):
    """Bases, Phred and error-free bases (R, length) of both strands.

    Wrong bases have a quality of 8 to 25, true ones of 12 to 41.
    """
    rng = np.random.default_rng([seed, 1])
    size = haplotypes.shape[1]
    count = depth * size // length
    start = rng.integers(0, size - length + 1, count)
    rows = haplotypes[
        rng.integers(0, 2, count)[:, None], start[:, None] + np.arange(length)
    ]
    turn = rng.random(count) < 0.5
    truth = np.where(turn[:, None], 3 - rows[:, ::-1], rows).astype(np.uint8)
    wrong = rng.random(truth.shape) < error
    bases = np.where(wrong, (truth + rng.integers(1, 4, truth.shape)) % 4, truth)
    low, high = np.where(wrong, 8, 12), np.where(wrong, 26, 42)
    qualities = rng.integers(low, high)
    return bases.astype(np.uint8), qualities.astype(np.uint8), truth
