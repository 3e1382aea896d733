"""The simple form: substitutions only, and a textbook caller finds them all."""

import numpy as np
import pytest

from diffbio_eqx.simulate.columns import simulate_simple


def test_likelihood_of_counted_bases_finds_every_genotype():
    sample = simulate_simple(seed=3)
    size = len(sample.reference)
    error = 10.0 ** (sample.quality.astype(float) / -10.0)
    columns = (sample.positions[:, None] + np.arange(100)).ravel()
    score = np.zeros((size, 3))  # copies of the other allele: 0, 1, 2
    other = np.where(
        sample.genotypes[:, 0] != sample.reference,
        sample.genotypes[:, 0],
        (sample.genotypes[:, 1] + (sample.copies == 0)) % 4,
    )
    bases, error = sample.reads.ravel(), error.ravel()
    like = [
        np.where(bases == allele[columns], 1 - error, error / 3)
        for allele in (sample.reference, other)
    ]
    for copies in range(3):
        chance = (like[0] * (2 - copies) + like[1] * copies) / 2
        np.add.at(score[:, copies], columns, np.log(chance))
    inner = slice(100, size - 100)
    score += np.log([0.998, 0.001, 0.001])
    wrong = (score.argmax(axis=1) != sample.copies)[inner]
    assert wrong.sum() == 0
    assert set(np.unique(sample.copies)) == {0, 1, 2}


def test_error_rate_depth_and_rate_are_as_asked():
    sample = simulate_simple(20_000, 20.0, 50, 0.02, seed=1)
    columns = sample.positions[:, None] + np.arange(50)
    hom = (sample.genotypes[:, 0] == sample.genotypes[:, 1])[columns]
    wrong = sample.reads != sample.genotypes[columns, 0]
    expected = 10.0 ** (sample.quality[hom].astype(float) / -10.0)
    z = (wrong[hom].sum() - expected.sum()) / np.sqrt(expected.sum())
    assert abs(z) < 4
    assert sample.reads.shape == (8000, 50)
    assert abs((sample.copies > 0).mean() - 0.02) < 0.005


def test_wrong_lengths_are_named():
    with pytest.raises(ValueError, match="reference_length"):
        simulate_simple(150, 30.0, 100, seed=0)
