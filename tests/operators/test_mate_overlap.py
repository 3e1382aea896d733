"""Mate overlap against plain NumPy, and the block form against the operator."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapter_cases import random_pair

from diffbio_eqx import set_mode, set_temperature
from diffbio_eqx.operators.reads.mate_blocks import MateBlocks
from diffbio_eqx.operators.reads.mate_overlap import MateOverlap


def reference_odds(first, second, *, least, share=0.3, mismatch=1e-3):
    """Log posterior odds of each insert against no overlap, in a loop."""
    sizes = [int((read[0] != 7).sum()) for read in (first, second)]
    top = 1 - 4 / 3 * mismatch
    says = [top * (1 - 4 / 3 * 10 ** (-read[1] / 10)) for read in (first, second)]
    odds = {}
    for insert in range(1, sum(sizes)):
        low, high = max(0, insert - sizes[1]), min(sizes[0], insert)
        if high - low < least:
            continue
        score = 0.0
        for p in range(low, high):
            c = insert - 1 - p
            one, two = first[0][p], second[0][c]
            if one < 4 and two < 4:
                both = says[0][p] * says[1][c]
                score += np.log(1 + 3 * both if one == 3 - two else 1 - both)
        odds[insert] = score
    for insert in odds:
        odds[insert] += np.log(share / (1 - share)) - np.log(len(odds))
    return odds


def whole(read):
    bases, qualities, _ = read
    return (
        jnp.asarray(bases),
        jnp.asarray(qualities.astype(float)),
        jnp.ones(len(bases)),
    )


def test_the_posterior_is_that_of_a_loop():
    with jax.enable_x64(True):
        overlap = MateOverlap(
            least_overlap=4, most_mismatches=99, mismatch_share=1.0, insert_spread=1e9
        )
        overlap = set_mode(overlap, "soft")
        for seed in range(3):
            first, second = map(whole, random_pair(seed))
            cuts = overlap((first, second))
            odds = reference_odds(first, second, least=4)
            total = 1 + sum(np.exp(list(odds.values())))
            want = np.zeros(len(cuts.insert))
            for insert, value in odds.items():
                want[insert - 1] = np.exp(value) / total
            np.testing.assert_allclose(cuts.insert, want, atol=1e-9)
            size = 13
            short = np.cumsum(np.concatenate([[0], want]))[:size]
            np.testing.assert_allclose(cuts.weight[:size], 1 - short, atol=1e-9)
            np.testing.assert_allclose(cuts.mate_weight[:size], 1 - short, atol=1e-9)


def simulated(count, seed, length=70, width=96, share=0.5):
    """Pairs with known inserts; a mismatch here and there, qualities 2-40."""
    rng = np.random.default_rng(seed)
    insert = np.where(
        rng.random(count) < share,
        rng.integers(35, length, count),
        rng.integers(length, 3 * length, count),
    )
    pairs = rng.integers(0, 4, (2, count, length)).astype(np.uint8)
    for k, size in enumerate(insert):
        fragment = rng.integers(0, 4, size).astype(np.uint8)
        kept = min(size, length)
        pairs[0, k, :kept] = fragment[:kept]
        pairs[1, k, :kept] = 3 - fragment[::-1][:kept]
    qualities = rng.choice(np.array([17, 25, 37], np.uint8), pairs.shape)
    wrong = rng.random(pairs.shape) < 10 ** (qualities / -10.0)
    pairs = np.where(wrong, rng.integers(0, 4, pairs.shape), pairs).astype(np.uint8)
    fill = ((0, 0), (0, 0), (0, width - length))
    pairs = np.pad(pairs, fill, constant_values=7)
    return pairs, np.pad(qualities, fill), insert


def test_blocks_are_the_operator_and_find_the_insert():
    pairs, qualities, insert = simulated(120, 1)
    overlap = MateOverlap()
    found = MateBlocks(overlap, batch=32)(
        pairs[0], qualities[0], pairs[1], qualities[1]
    )
    np.testing.assert_array_equal(found.end, np.minimum(insert, 70))
    np.testing.assert_array_equal(found.mate_end, found.end)
    np.testing.assert_array_equal(found.insert, np.where(insert < 70, insert, 0))
    reads = [
        (jnp.asarray(b), jnp.asarray(q, jnp.float32), jnp.ones(b.shape, jnp.float32))
        for b, q in zip(pairs, qualities, strict=True)
    ]
    mapped = eqx.filter_jit(lambda model, x: jax.vmap(model.span)(x))
    spans = mapped(overlap, tuple(reads))
    np.testing.assert_array_equal(found.end, spans[0])
    np.testing.assert_array_equal(found.mate_end, spans[1])
    assert found.false_trim.sum() < 0.1


def test_reads_of_two_lengths_are_both_cut_at_the_insert():
    pairs, qualities, insert = simulated(60, 2, share=1.0)
    pairs[1, :, 50:] = 7
    found = MateBlocks(MateOverlap(), batch=64)(
        pairs[0], qualities[0], pairs[1], qualities[1]
    )
    np.testing.assert_array_equal(found.end, insert)
    np.testing.assert_array_equal(found.mate_end, np.minimum(insert, 50))


def test_temperature_to_zero_is_the_hard_cut():
    first, second = jax.tree.map(jnp.asarray, random_pair(5))
    overlap = MateOverlap(least_overlap=5)
    cold = set_temperature(set_mode(overlap, "soft"), 1e-3)((first, second))
    hard = set_mode(overlap, "hard")((first, second))
    np.testing.assert_allclose(cold.weight, hard.weight, atol=1e-4)
    assert (hard.weight > 0).sum() == 8


def test_adapters_behind_a_short_insert_are_evidence():
    rng = np.random.default_rng(0)
    fragment = rng.integers(0, 4, 8).astype(np.uint8)
    rest = [np.array(x, np.uint8) for x in ([0, 2, 0, 3, 1, 2], [1, 3, 2, 0, 0, 2])]
    full = lambda b: (jnp.asarray(b), jnp.full(14, 30.0), jnp.ones(14))
    pair = (
        full(np.concatenate([fragment, rest[0]])),
        full(np.concatenate([3 - fragment[::-1], rest[1]])),
    )
    plain = MateOverlap(least_overlap=6)(pair).probability
    known = MateOverlap(["AGATCG"], ["CTGAAG"], least_overlap=6)(pair).probability
    assert 1 - known < (1 - plain) / 100


@pytest.mark.parametrize(
    "arguments",
    [
        dict(least_overlap=0),
        dict(match_threshold=-0.1),
        dict(mismatch_rate=0.0),
        dict(adapters=["A", "C"]),
    ],
)
def test_settings_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="expected"):
        MateOverlap(**arguments)
