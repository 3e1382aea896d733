"""Quality trimming: the hard limit on blocks, on single reads, and as the tools cut."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx.operators.reads.quality_trimming import QualityTrimming
from diffbio_eqx.operators.reads.sliding_window import SlidingWindowTrimming


def random_block(count=60, width=32, seed=0, poly=False):
    """Bases, qualities and lengths; ends are worse than middles."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, width + 1, count)
    column = np.arange(width)
    bases = rng.choice(5, (count, width), p=[0.22] * 4 + [0.12]).astype(np.uint8)
    if poly:
        tail = column >= (lengths - rng.integers(0, width, count))[:, None]
        bases[tail & (rng.random((count, width)) < 0.92)] = 2
    centre = rng.choice([8, 20, 30], (count, 1)) + 8 * (abs(column - 14) < 7)
    qualities = rng.normal(centre, 7).round().clip(0, 41).astype(np.uint8)
    real = column < lengths[:, None]
    return np.where(real, bases, 7).astype(np.uint8), qualities * real, lengths


def plain_bwa(gains):
    """How many from the left; the rule as a loop."""
    total = best = cut = 0
    for k, gain in enumerate(gains, 1):
        total += gain
        if total < 0:
            break
        if total > best:
            best, cut = total, k
    return cut


def same_as_block(operator, poly=False):
    """`span` and `weight` of single reads are those of `block_spans`."""
    bases, qualities, lengths = random_block(poly=poly)
    zero = np.zeros_like(lengths)
    start, end = operator.block_spans(bases, qualities, zero, lengths)
    weight = (bases != 7).astype(np.float32)

    @jax.jit
    @jax.vmap
    def one(*x):
        return operator.span(x), operator(x).weight

    (first, last), masses = one(bases, qualities.astype(np.float32), weight)
    left = end > start
    assert 0 < left.sum() < len(left) or poly
    np.testing.assert_array_equal((last - first)[~left], 0)
    np.testing.assert_array_equal(first[left], start[left])
    np.testing.assert_array_equal(last[left], end[left])
    column = np.arange(bases.shape[1])
    kept = (column >= start[:, None]) & (column < end[:, None])
    np.testing.assert_array_equal(masses, kept)  # exactly 0 and 1
    return start, end


@pytest.mark.parametrize("nextseq", [False, True])
def test_bwa_is_the_plain_loop(nextseq):
    operator = QualityTrimming(20.0, 12.0, nextseq=nextseq)
    start, end = same_as_block(operator)
    bases, qualities, lengths = random_block()
    for r, n in enumerate(lengths):
        q = qualities[r, :n].astype(int)
        gains = 20 - q
        if nextseq:
            gains[bases[r, :n] == 2] = 1
        first, last = plain_bwa(12 - q), n - plain_bwa(gains[::-1])
        wanted = (first, last) if first < last else (0, 0)
        assert (start[r], end[r]) == wanted


@pytest.mark.parametrize("direction", ["front", "tail", "right"])
def test_windows_of_one_read_are_those_of_a_block(direction):
    same_as_block(SlidingWindowTrimming(20.0, direction, size=4))


def test_soft_tends_to_hard():
    bases, qualities, lengths = random_block(40, 16, seed=3)
    item = bases, qualities.astype(np.float32), (bases != 7).astype(np.float32)
    soft = QualityTrimming(20.0, temperature=1e-3, mode="soft")
    hard = QualityTrimming(20.0, mode="hard")
    both = [jax.jit(jax.vmap(lambda *x, o=o: o(x).weight))(*item) for o in (soft, hard)]
    np.testing.assert_allclose(*both, atol=1e-4)


def test_weights_of_earlier_cuts_are_respected():
    """Trimming what is left equals trimming the shorter read."""
    operator = QualityTrimming(20.0, 15.0, mode="hard")
    bases, qualities, lengths = random_block(seed=5)
    start, end = np.minimum(3, lengths), np.maximum(lengths - 4, np.minimum(3, lengths))
    first, last = operator.block_spans(bases, qualities, start, end)
    column = np.arange(bases.shape[1])
    weight = (column >= start[:, None]) & (column < end[:, None])
    item = bases, qualities.astype(np.float32), weight.astype(np.float32)
    got = jax.jit(jax.vmap(lambda *x: operator(x).weight))(*item)
    kept = (column >= first[:, None]) & (column < last[:, None])
    np.testing.assert_array_equal(got, kept)


def test_gradient_of_the_straight_through_form():
    x = jnp.zeros(4, jnp.uint8), jnp.array([30.0, 28.0, 19.0, 18.0]), jnp.ones(4)
    total = eqx.filter_grad(lambda o: o(x).weight.sum())
    assert total(QualityTrimming(20.0)).back_cutoff.value < 0


@pytest.mark.parametrize("value", [-1.0, 94.0, np.nan])
def test_bad_thresholds(value):
    with pytest.raises(ValueError, match="threshold: expected finite numbers"):
        QualityTrimming(value)
    with pytest.raises(ValueError, match="threshold: expected finite numbers"):
        SlidingWindowTrimming(value)


def test_bad_direction_and_size():
    with pytest.raises(ValueError, match="direction: expected one of 'front'"):
        SlidingWindowTrimming(20.0, "back")
    with pytest.raises(ValueError, match="size of the window"):
        SlidingWindowTrimming(20.0, size=0)
