"""Words of k bases: codes, counts, look-up, spectrum; each against plain Python."""

import itertools
from collections import Counter

import numpy as np
import pytest

from diffbio_eqx.data import kmer_counter
from diffbio_eqx.data.kmer_codes import kmer_codes
from diffbio_eqx.data.kmer_counter import KmerCounter
from diffbio_eqx.data.kmer_spectrum import KmerSpectrum, fit_spectrum
from diffbio_eqx.data.kmer_table import KmerTable


def number(word):
    return int("".join(map(str, word)), 4)


def canonical(word):
    return min(number(word), number([3 - b for b in word[::-1]]))


def block(seed=0, rows=40, length=30):
    rng = np.random.default_rng(seed)
    bases = rng.choice(5, (rows, length), p=[0.3, 0.2, 0.2, 0.28, 0.02])
    bases[rng.random(rows) < 0.3, 20:] = 7
    return bases.astype(np.uint8), rng.integers(2, 41, (rows, length)).astype(np.uint8)


def words_of(bases, k):
    for row, start in itertools.product(
        range(len(bases)), range(bases.shape[1] - k + 1)
    ):
        yield row, start, bases[row, start : start + k].tolist()


@pytest.mark.parametrize("k", [3, 5, 9, 15, 23, 31])
def test_codes_of_both_strands(k):
    bases, _ = block(length=max(30, k))
    forward, reverse, good = kmer_codes(bases, k)
    for row, start, word in words_of(bases, k):
        assert good[row, start] == (max(word) < 4)
        if good[row, start]:
            assert forward[row, start] == number(word)
            assert reverse[row, start] == number([3 - b for b in word[::-1]])


def test_reads_shorter_than_a_word_have_none():
    bases, qualities = block(length=4)
    assert kmer_codes(bases, 5)[0].shape == (40, 0)
    counter = KmerCounter(5)
    counter.add(bases, qualities)
    assert len(counter.finish()) == 0


@pytest.mark.parametrize("k", [0, 4, 33])
def test_k_is_odd_and_fits(k):
    with pytest.raises(ValueError, match="k: expected an odd number"):
        KmerCounter(k)


@pytest.mark.parametrize("buffer", [50, 1 << 22])
@pytest.mark.parametrize("certainty", [0.0, 0.7])
def test_counts_are_those_of_a_dictionary(buffer, certainty, monkeypatch):
    monkeypatch.setattr(kmer_counter, "_BUFFER", buffer)
    counter, expected = KmerCounter(5, certainty=certainty), Counter()
    for seed in range(3):
        bases, qualities = block(seed)
        counter.add(bases, qualities)
        for row, start, word in words_of(bases, 5):
            phred = qualities[row, start : start + 5] / 10.0
            sure = np.prod(1 - np.minimum(10.0**-phred, 0.75)) >= certainty
            if max(word) < 4 and sure:
                expected[canonical(word)] += 1
    spectrum = counter.finish()
    assert np.array_equal(spectrum.words, np.sort(spectrum.words))
    found = dict(zip(spectrum.words.tolist(), spectrum.counts.tolist(), strict=True))
    assert found == expected and spectrum.undercount == 0
    histogram = Counter(expected.values())
    assert spectrum.histogram[1:6].tolist() == [histogram[c] for c in range(1, 6)]


def test_memory_is_bounded_and_the_loss_is_stated(monkeypatch):
    monkeypatch.setattr(kmer_counter, "_BUFFER", 4000)
    rng = np.random.default_rng(0)
    often = rng.integers(0, 4, (1, 200)).astype(np.uint8)
    counter = KmerCounter(15, most_words=1024)
    for _ in range(30):
        rare = rng.integers(0, 4, (20, 200)).astype(np.uint8)
        both = np.concatenate([often, rare])
        counter.add(both, np.full(both.shape, 40, np.uint8))
    spectrum = counter.finish()
    assert len(spectrum) <= 1024 and spectrum.undercount > 0
    forward, reverse, _ = kmer_codes(often, 15)
    seen = spectrum.table().look_up(np.minimum(forward, reverse)).astype(int)
    assert (seen <= 30).all() and (seen >= 30 - spectrum.undercount).all()


def test_the_table_knows_what_is_in_it():
    rng = np.random.default_rng(0)
    words = rng.choice(2**40, 5000, replace=False).astype(np.uint64)
    table = KmerTable(words, np.arange(5000) * 20)
    assert np.array_equal(table.look_up(words), np.minimum(np.arange(5000) * 20, 65535))
    others = np.setdiff1d(rng.integers(0, 2**40, 5000).astype(np.uint64), words)
    assert not table.look_up(others).any() and not table.contains(others).any()
    assert table.contains(words).all()
    assert table.look_up(words[:6].reshape(2, 3)).shape == (2, 3)
    assert 25 * 5000 <= table.bytes <= 50 * 5000
    empty = KmerTable(np.zeros(0, np.uint64), np.zeros(0, int))
    assert empty.look_up(words[:4]).tolist() == [0] * 4


@pytest.mark.parametrize("sure", [None, 3])
def test_support_is_the_count_of_each_substituted_word(sure):
    bases, qualities = block(1, rows=12, length=16)
    bases[bases == 4] = np.random.default_rng(0).integers(0, 4, (bases == 4).sum())
    bases[0, 7] = 4  # N alone gets evidence, its neighbours have fewer words
    bases[1, 12:] = 7
    bases[6:9] = bases[5]
    counter = KmerCounter(5, certainty=0.0)
    counter.add(bases, qualities)
    spectrum = counter.finish()
    counts = dict(zip(spectrum.words.tolist(), spectrum.counts.tolist(), strict=True))
    support = spectrum.support(bases, sure=sure)
    assert support.shape == (12, 16, 4, 5)
    for row, i in itertools.product(range(12), range(16)):
        expected = np.full((4, 5), -1)
        for b, j in itertools.product(range(4), range(5)):
            word = bases[row, i - j : i - j + 5].tolist() if i >= j else []
            if len(word) == 5 and bases[row, i] <= 4:
                word[j] = b
                if max(word) < 4:
                    expected[b, j] = counts.get(canonical(word), 0)
        own = bases[row, i]
        if sure and own < 4 and (expected[own] != -1).any():
            there = expected[own] >= 0
            if (expected[own][there] >= sure).all():
                expected[np.arange(4) != own] = np.where(there, 0, -1)
        assert np.array_equal(support[row, i], expected), (row, i)


def simulated_histogram(depth, heterozygous, errors, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.poisson(depth, 50_000)
    half = rng.poisson(depth / 2, int(50_000 * heterozygous))
    wrong = rng.geometric(0.97, errors)
    counts = np.concatenate([true, half, wrong])
    return np.bincount(counts, minlength=1001)


@pytest.mark.parametrize("depth", [8, 20, 60])
@pytest.mark.parametrize("heterozygous", [0.0, 0.05, 0.3])
def test_coverage_and_threshold_from_the_spectrum(depth, heterozygous):
    histogram = simulated_histogram(depth, heterozygous, 60_000)
    coverage, threshold = fit_spectrum(histogram)
    assert abs(coverage / depth - 1) < 0.1
    assert 2 <= threshold <= max(2, depth / 4)


def test_a_spectrum_without_a_peak_asks_for_two():
    words = np.arange(100, dtype=np.uint64)
    alone = KmerSpectrum(5, words, np.ones(100, np.uint32))
    assert (alone.coverage, alone.threshold) == (0.0, 2)
    none = KmerSpectrum(5, words[:0], np.zeros(0, np.uint32))
    assert (none.coverage, none.threshold) == (0.0, 2)
