"""Genotype likelihoods of indels against plain sums, and their gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import finite_difference, random_direction, tree_allclose
from indel_cases import (
    evidence,
    make_rows,
    plain,
    propose,
    random_reference,
    unmodelled_fit,
    with_deletion,
    with_insertion,
)

from diffbio_eqx.data.indel_padding import empty_loci, pad_loci
from diffbio_eqx.operators.variants.indel_likelihood import (
    ABSENT,
    GENOTYPE_ALLELES,
    IndelLikelihood,
    expected_column,
)
from diffbio_eqx.operators.variants.pair_hmm import PairHMM

REFERENCE = random_reference()
CAPACITY = {"loci": 3, "segments": 12, "pairs": 40, "near": 4, "near_pairs": 16}


@eqx.filter_jit
def evaluate(x):
    return operator()(x)


def operator(unmodelled=80.0):
    return IndelLikelihood(PairHMM(band=16, block=8), unmodelled=unmodelled)


def case(kind="het", dtype=np.float32, mapping_quality=60):
    reads = [plain(REFERENCE, 70 + 2 * k, 50) for k in range(4 if kind == "het" else 0)]
    reads += [with_deletion(REFERENCE, 100, 3, 71 + 3 * k, 50) for k in range(4)]
    if kind == "compound":
        reads += [
            with_insertion(REFERENCE, 100, [int(REFERENCE[98])], 72 + 3 * k, 50)
            for k in range(4)
        ]
    rows = make_rows(reads, mapping_quality=mapping_quality)
    loci, extra, quality, _ = propose(rows, REFERENCE)
    return evidence(rows, pad_loci(loci, CAPACITY), extra, quality, dtype)


@pytest.mark.parametrize(
    ("kind", "expected"), [("het", (0, 1)), ("hom", (1, 1)), ("compound", (1, 2))]
)
def test_the_best_genotype_is_the_simulated_one(kind, expected):
    scores = evaluate(case(kind))
    best = int(scores.diploid[0].argmax())
    assert tuple(GENOTYPE_ALLELES[best]) == expected
    second = np.sort(np.asarray(scores.diploid[0]))[-2]
    assert scores.diploid[0, best] - second > 2.0


def test_equals_plain_sums_over_reads():
    x = case("compound")
    size = x.weight.shape[0]
    quality = np.resize([90, 3, 20, 0, 60, 50, 9, 30], size)
    weight = jnp.linspace(0.2, 1.0, size)
    x = eqx.tree_at(
        lambda x: (x.weight, x.mapping_quality),
        x,
        (weight, jnp.asarray(quality, jnp.float32)),
    )
    scores = evaluate(x)
    raw = np.asarray(scores.segment_allele, np.float64)
    lowest = unmodelled_fit(x, band=16, unmodelled=80.0)
    diploid, haploid = np.zeros(10), np.zeros(4)
    for segment in np.flatnonzero(np.asarray(x.loci.segment_mask)):
        score = np.logaddexp(raw[segment, :3], lowest[segment])
        lost = 10 ** (-min(60, int(quality[segment])) / 10)
        score = np.log((1 - lost) * np.exp(score - score.max()) + lost)
        haploid[:3] += float(weight[segment]) * score
        for k, (a, b) in enumerate(GENOTYPE_ALLELES):
            if b < 3:
                mean = np.log((np.exp(score[a]) + np.exp(score[b])) / 2)
                diploid[k] += float(weight[segment]) * mean
    np.testing.assert_allclose(scores.diploid[0, :6], diploid[:6], rtol=1e-4)
    np.testing.assert_allclose(scores.haploid[0, :3], haploid[:3], rtol=1e-4)
    assert (np.asarray(scores.diploid[0, 6:]) == ABSENT).all()
    assert scores.haploid[0, 3] == ABSENT
    total = np.where(x.loci.segment_mask, weight, 0).sum()
    np.testing.assert_allclose(scores.depth[0], total, rtol=1e-6)


def test_support_counts_informative_reads():
    scores = evaluate(case("het"))
    np.testing.assert_allclose(scores.support[0], [4, 4, 0, 0], atol=0.01)
    lost = evaluate(case("het", mapping_quality=0))
    assert (np.asarray(lost.support[0]) < 1e-6).all()
    np.testing.assert_allclose(lost.diploid[0, :3], 0.0, atol=1e-4)


def foreign_case(dtype=np.float32):
    """Three reads of a deletion, and one that shares no haplotype (the last)."""
    reads = [with_deletion(REFERENCE, 100, 3, 71 + 3 * k, 50) for k in range(3)]
    start, cigar, bases = plain(REFERENCE, 80, 50)
    wrong = [(int(b) + 2 * (k % 5 in (1, 2))) % 4 for k, b in enumerate(bases)]
    rows = make_rows([*reads, (start, cigar, wrong)])
    loci, extra, quality, _ = propose(rows, REFERENCE)
    x = evidence(rows, pad_loci(loci, CAPACITY), extra, quality, dtype)
    return x, loci.segment_read.tolist().index(3)


def told(model, x, scores):
    """(P,): how much each segment tells the reference from the deletion, nats."""
    relative = model.with_mapping(
        scores.segment_allele,
        x.loci.allele_mask[x.loci.segment_locus] & x.loci.segment_mask[:, None],
        x.mapping_quality,
        model.lowest_fit(x),
    )
    return np.abs(np.asarray(relative[:, 0] - relative[:, 1]))


def test_a_read_that_fits_no_haplotype_says_nearly_nothing():
    x, foreign = foreign_case()
    scores = evaluate(x)
    raw = np.asarray(scores.segment_allele)
    lowest = np.asarray(operator().lowest_fit(x))
    np.testing.assert_allclose(lowest, unmodelled_fit(x, 16, 80.0), rtol=1e-5)
    # It is far below what qualities promise on both, and still prefers one of them.
    assert raw[foreign, :2].max() < lowest[foreign] - 50
    assert abs(raw[foreign, 0] - raw[foreign, 1]) > 1.0
    speaks = told(operator(), x, scores)
    assert speaks[foreign] < 1e-3
    real = np.flatnonzero(np.asarray(x.loci.segment_mask))
    assert (speaks[real[real != foreign]] > 2.0).all()
    # Where the penalty is out of reach it counts like any other read.
    assert told(operator(1000.0), x, scores)[foreign] > 1.0
    # It is in the depth, and in no allele's support.
    np.testing.assert_allclose(scores.support[0, :2], [0, 3], atol=0.01)
    assert scores.depth[0] == 4


def test_reads_say_more_the_larger_the_penalty():
    x, foreign = foreign_case()
    scores = evaluate(x)
    speaks = [told(operator(p), x, scores) for p in (1.0, 20.0, 80.0, 1000.0)]
    others = np.asarray(x.loci.segment_mask)
    assert (np.diff(np.array(speaks)[:, others], axis=0) > -1e-5).all()
    assert np.ptp(np.array(speaks)[:, foreign]) > 0.1


def test_padding_and_windows_without_loci():
    x = case("het")
    exact = evaluate(x)
    assert (np.asarray(exact.haploid[1:]) == ABSENT).all()
    assert (np.asarray(exact.support[1:]) == 0).all()
    beyond = (x.loci.segment_source == -1) | ~x.loci.segment_mask[:, None]
    poisoned = eqx.tree_at(lambda x: x.errors, x, jnp.where(beyond, jnp.nan, x.errors))
    assert tree_allclose(evaluate(poisoned), exact)
    gradient = jax.grad(
        lambda e: evaluate(eqx.tree_at(lambda x: x.errors, poisoned, e)).diploid[0, 1]
    )(poisoned.errors)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    rows = make_rows([plain(REFERENCE, 20, 50)])
    none = pad_loci(empty_loci(80, 56), CAPACITY)
    empty = evidence(rows, none, np.zeros(0, np.uint8), np.zeros(0, np.uint8))
    scores = evaluate(empty)
    assert (np.asarray(scores.diploid) == ABSENT).all()


def test_a_long_insertion_is_told_by_soft_clips_on_either_side():
    added = np.random.default_rng(5).integers(0, 4, 20).tolist()
    whole = [*REFERENCE[:100], *added, *REFERENCE[100:]]
    shown = [with_insertion(REFERENCE, 100, added, s, 60) for s in (80, 81)]
    left = (60, "40M20S", whole[60:120])
    right = (100, "20S40M", whole[100:160])
    rows = make_rows([left, right, *shown])
    loci, extra, quality, _ = propose(rows, REFERENCE)
    scores = IndelLikelihood(PairHMM(32, 8))(evidence(rows, loci, extra, quality))
    raw = np.asarray(scores.segment_allele)
    assert (raw[:, 1] - raw[:, 0] > 20).all()
    # All bases but the first few fit, whichever side a read is anchored on.
    assert (raw[:, 1] > -12).all()
    column = expected_column(
        jax.tree.map(jnp.asarray, loci),
        jnp.arange(4, dtype=jnp.int32),
        jnp.ones(4, jnp.int32),
        32,
    )
    start = np.asarray(loci.segment_start - loci.window_start[0])
    np.testing.assert_array_equal(column - start, [10, 10, 10, 10])


@pytest.mark.parametrize("kind", ["het", "compound"])
def test_gradients_are_central_differences_in_float64(kind):
    with jax.enable_x64(True):
        x = case(kind, np.float64, mapping_quality=40)
        model = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), operator())
        parts = lambda x: (x.errors, x.weight, x.mapping_quality)
        arrays, static = eqx.partition(model, eqx.is_array)

        def value(at):
            leaves, arrays = at
            scores = eqx.combine(arrays, static)(eqx.tree_at(parts, x, leaves))
            return (
                scores.diploid[0, 1]
                - 0.3 * scores.diploid[0, 2]
                + 0.1 * scores.haploid[0, 0]
                + scores.support[0, 1]
            )

        value = jax.jit(value)
        at = (parts(x), arrays)
        gradient = jax.grad(value)(at)
        for seed in range(3):
            direction = random_direction(at, jax.random.key(seed))
            errors = at[0][0]
            direction = eqx.tree_at(
                lambda d: d[0][0], direction, direction[0][0] * errors * 0.1
            )
            expected = finite_difference(value, at, direction, 1e-5)
            products = jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)
            got = sum(jax.tree.leaves(products))
            np.testing.assert_allclose(got, expected, rtol=1e-5)
            _, forward = jax.jvp(value, (at,), (direction,))
            np.testing.assert_allclose(forward, got, rtol=1e-8)
        assert float(jnp.abs(gradient[1].mapping_cap.raw)) == 0.0
        assert float(jnp.abs(gradient[1].unmodelled.raw)) > 0
        assert float(jnp.abs(gradient[1].gaps.extension.raw)) > 0


@pytest.mark.slow
def test_vmap_over_samples_equals_calls():
    samples = [case("het"), case("hom")]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *samples)
    model = operator()
    together = jax.vmap(model)(batch)
    for k, x in enumerate(samples):
        one = jax.tree.map(lambda leaf: leaf[k], together)
        assert tree_allclose(one, model(x), rtol=1e-4, atol=1e-4)


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match="mapping_cap"):
        IndelLikelihood(mapping_cap=-1.0)
    with pytest.raises(ValueError, match="unmodelled"):
        IndelLikelihood(unmodelled=0.0)
