"""Correction of whole blocks: truth, the operator's decisions, what must not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from correction_reads import K, genome, reads_of

from diffbio_eqx.data.correction_evidence import CorrectionEvidence
from diffbio_eqx.data.kmer_counter import KmerCounter
from diffbio_eqx.data.reads import Reads
from diffbio_eqx.jobs.correct_reads import KmerCorrector
from diffbio_eqx.operators.reads.error_correction import ErrorCorrection


def gain(before, truth, after):
    """(true positives - false positives) / errors, and precision."""
    error, change = before != truth, after != before
    good = (error & (after == truth)).sum()
    bad = (change & (after != truth)).sum()
    return (good - bad) / error.sum(), good / max(good + bad, 1)


@pytest.fixture(scope="module")
def sample():
    haplotypes, sites = genome()
    bases, qualities, truth = reads_of(haplotypes)
    return Reads.from_arrays(bases, qualities), truth, haplotypes, sites


@pytest.fixture(scope="module")
def corrector(sample):
    return KmerCorrector.from_blocks([sample[0]], k=K)


def test_errors_go_and_true_bases_stay(sample, corrector):
    block, truth, _, _ = sample
    out = corrector.correct(block)
    got, precision = gain(block.bases, truth, out.bases)
    assert got > 0.97 and precision > 0.99
    assert np.array_equal(out.corrections, out.bases != block.bases)
    assert np.array_equal(
        out.qualities[~out.corrections], block.qualities[~out.corrections]
    )
    assert (out.qualities[out.corrections] == 30).all()
    assert out.bases.dtype == np.uint8 and out.qualities.dtype == np.uint8


def test_both_alleles_stay(sample, corrector):
    """Error-free reads of a heterozygous sample come out as they are."""
    block, truth, _, _ = sample
    out = corrector.correct(Reads.from_arrays(truth, block.qualities))
    assert out.corrections.mean() < 1e-4


def test_the_size_of_blocks_does_not_matter(sample, corrector):
    block, _, _, _ = sample
    whole = corrector.correct(block).bases
    part = lambda low: Reads.from_arrays(
        block.bases[low : low + 200], block.qualities[low : low + 200]
    )
    parts = [corrector.correct(part(low)).bases for low in range(0, len(whole), 200)]
    assert np.array_equal(np.concatenate(parts), whole)
    again = KmerCorrector.from_blocks([part(low) for low in range(0, 1600, 200)], k=K)
    assert np.array_equal(again.correct(block).bases, whole)


def test_a_lone_error_gets_the_decision_of_the_operator(sample):
    """Reads with one error, anywhere: path and single site agree base by base."""
    block, truth, _, _ = sample
    counter = KmerCounter(K, certainty=0.8)
    counter.add(block.bases, block.qualities)
    spectrum = counter.finish()
    operator = ErrorCorrection(spectrum.threshold, leave=7.0, mode="hard")
    corrector = KmerCorrector(spectrum, operator, margin=0.0)
    rng = np.random.default_rng(4)
    rows = rng.choice(len(truth), 240, replace=False)
    column = np.arange(240) % truth.shape[1]
    bases, qualities = truth[rows].copy(), block.qualities[rows].copy()
    at = np.arange(240), column
    bases[at] = (bases[at] + rng.integers(1, 4, 240)) % 4
    qualities[at] = rng.integers(2, 42, 240)
    reads = Reads.from_arrays(bases, qualities)
    paths = corrector.correct(reads).bases
    evidence = CorrectionEvidence.from_spectrum(spectrum, bases, qualities)
    sites = jax.jit(jax.vmap(operator))(jax.tree.map(jnp.asarray, evidence)).bases
    same = (paths == np.asarray(sites)).all(1)
    assert (paths != bases).any(1).mean() > 0.8
    assert same.mean() > 0.97
    # the rest: two places that explain the read as well as one another
    assert (paths[same] != truth[rows][same]).sum() < 20


def test_several_errors_and_the_ends_of_reads(sample, corrector):
    block, truth, _, _ = sample
    rng = np.random.default_rng(5)
    bases, qualities = truth[:300].copy(), np.full((300, 80), 35, np.uint8)
    for columns in ((30, 33, 41), (2,), (77,), (10, 60), (5, 9, 20, 70)):
        wrong = bases.copy()
        for column in columns:
            wrong[:, column] = (wrong[:, column] + rng.integers(1, 4, 300)) % 4
        phred = qualities.copy()
        phred[:, columns] = 10
        out = corrector.correct(Reads.from_arrays(wrong, phred))
        got, precision = gain(wrong, bases, out.bases)
        assert got > 0.9 and precision > 0.98, columns


def test_n_is_corrected_where_one_base_is_named(sample, corrector):
    block, truth, _, sites = sample
    bases = truth[:200].copy()
    bases[:, 40] = 4
    bases[:, 3] = 4
    bases[100:, 79] = 4
    out = corrector.correct(Reads.from_arrays(bases, np.full(bases.shape, 30)))
    known = out.bases != 4
    assert known[:, 40].mean() > 0.9 and known[100:, 79].mean() > 0.8
    assert (out.bases == truth[:200])[known].mean() > 0.999


def test_trimmed_bases_and_padding_are_left_alone(sample, corrector):
    block, truth, _, _ = sample
    bases = block.bases[:300].copy()
    weight = np.ones(bases.shape)
    weight[:, :12] = 0
    weight[::2, 60:] = 0
    bases[:, :12] = (bases[:, :12] + 1) % 4  # as an adapter: nothing like the genome
    lengths = np.where(np.arange(300) % 3, 80, 70)
    reads = Reads.from_arrays(bases, block.qualities[:300], lengths=lengths)
    out = corrector.correct(reads, weight)
    gone = (weight == 0) | (np.asarray(reads.bases) == 7)
    assert not out.corrections[gone].any()
    assert np.array_equal(out.bases[gone], np.asarray(reads.bases)[gone])
    inside = ~gone
    error = (bases != truth[:300]) & inside
    left = (out.bases != truth[:300]) & inside
    assert left.sum() < 0.15 * error.sum()


def test_reads_unlike_all_others_are_left_alone(sample, corrector):
    rng = np.random.default_rng(7)
    strange = rng.integers(0, 4, (50, 80)).astype(np.uint8)
    out = corrector.correct(Reads.from_arrays(strange, np.full((50, 80), 30)))
    assert not out.corrections.any()
    short = Reads.from_arrays(strange[:, : K - 1], np.full((50, K - 1), 30))
    assert not corrector.correct(short).corrections.any()


def test_an_inserted_base_does_not_rewrite_the_read(sample, corrector):
    """Substitutions cannot mend a gap: the rest of the read stays as it is."""
    _, truth, _, _ = sample
    bases = np.concatenate([truth[:200, :40], truth[:200, 41:]], 1)
    out = corrector.correct(Reads.from_arrays(bases, np.full(bases.shape, 37)))
    assert out.corrections.sum() < 20


def test_mates_are_counted_too(sample, corrector):
    block, _, _, _ = sample
    half = len(block.bases) // 2
    part = lambda rows, mate=None: Reads.from_arrays(
        block.bases[rows], block.qualities[rows], mate=mate
    )
    mate = part(slice(half, 2 * half))
    pairs = part(slice(0, half), mate)
    both = KmerCorrector.from_blocks([pairs], k=K)
    out = [both.correct(reads).bases for reads in (pairs, mate)]
    assert np.array_equal(np.concatenate(out), corrector.correct(block).bases)


def test_wrong_options_are_refused(sample):
    with pytest.raises(ValueError, match="k: expected an odd number"):
        KmerCorrector.from_blocks([sample[0]], k=10)
    block = sample[0]
    pairs = Reads.from_arrays(block.bases, block.qualities, mate=block)
    with pytest.raises(ValueError, match="blocks with weights: expected no mate"):
        KmerCorrector.from_blocks([pairs], k=K, weights=[np.ones(block.bases.shape)])
    counter = KmerCounter(K)
    with pytest.raises(ValueError, match="beam"):
        KmerCorrector(counter.finish(), beam=0)
