"""The pileup against numpy.add.at, and the forms of its kernel against each other."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import tree_allclose
from read_cases import LENGTH, WIDTH, random_window, soft_window, weights

from diffbio_eqx.operators import window_add as kernel
from diffbio_eqx.operators.reads.pileup import Pileup
from diffbio_eqx.operators.window_add import window_add

pileup = eqx.filter_jit(Pileup())


def by_hand(window, weight):
    """Counts of one window, position by position."""
    w = jax.tree.map(np.asarray, window)
    out = {name: np.zeros((LENGTH, 4)) for name in ("forward", "reverse")}
    zeros = np.zeros(LENGTH)
    out |= {name: zeros.copy() for name in ("deletions", "insertions", "depth")}
    quality, mapping = zeros.copy(), zeros.copy()
    position = w.start[:, None] + np.arange(WIDTH)
    inside = (position >= 0) & (position < LENGTH) & w.read_mask[:, None]
    for strand, reverse in (("forward", False), ("reverse", True)):
        for base in range(4):
            here = inside & (w.bases == base) & (w.reverse == reverse)[:, None]
            np.add.at(out[strand][:, base], position[here], weight[here])
            np.add.at(quality, position[here], (weight * w.qualities)[here])
            by_read = weight * w.mapping_quality[:, None].astype(float)
            np.add.at(mapping, position[here], by_read[here])
    deleted = inside & (w.bases == 5)
    np.add.at(out["deletions"], position[deleted], weight[deleted])
    for event in np.flatnonzero(w.event_mask & (w.event_length > 0)):
        row, before = w.event_read[event], w.event_position[event] - 1
        column = before - w.start[row]
        shown = column >= 0 and w.bases[row, column] in (0, 1, 2, 3, 5)
        if shown and 0 <= before < LENGTH:
            out["insertions"][before] += weight[row, column]
    depth = (out["forward"] + out["reverse"]).sum(1)
    mean = lambda x: np.divide(x, depth, out=np.zeros(LENGTH), where=depth > 0)
    del out["depth"]
    return out | {
        "mean_quality": mean(quality),
        "mean_mapping_quality": mean(mapping),
    }


@pytest.mark.parametrize("seed", range(6))
def test_equals_sums_position_by_position(seed):
    window = random_window(seed)
    weight = weights(window, seed)
    counts = pileup((window, weight))
    expected = by_hand(window, np.asarray(weight, np.float64))
    for name, value in expected.items():
        np.testing.assert_allclose(
            getattr(counts, name), value, rtol=1e-5, atol=1e-6, err_msg=name
        )
    assert any(expected["deletions"]) and expected["forward"].any()


def test_insertions_at_either_end_of_a_row_are_told_apart():
    """One after the last column counts there; one before the first belongs to none."""
    window = random_window(0)
    bases = jnp.full_like(window.bases, 7).at[:, :4].set(1)
    start = jnp.full_like(window.start, 5)
    event = lambda x: jnp.array([x, 5, 0, 0, 0], jnp.int32)
    window = dataclasses.replace(
        window,
        bases=bases,
        start=start,
        event_position=event(9),
        event_length=event(2),
        event_read=jnp.zeros(5, jnp.int32),
        event_mask=jnp.arange(5) < 2,
    )
    counts = pileup((window, weights(window)))
    expected = np.zeros(LENGTH)
    expected[8] = weights(window)[0, 3]
    np.testing.assert_allclose(counts.insertions, expected, rtol=1e-6)


def test_soft_bases_share_their_weight():
    window = soft_window(1)
    weight = weights(window, 1)
    counts = pileup((window, weight))
    probs, bases = np.asarray(window.base_probs), np.asarray(window.bases)
    expected = np.zeros((LENGTH, 4))
    for row, column in zip(*np.nonzero(bases < 4), strict=True):
        position = int(window.start[row]) + column
        if 0 <= position < LENGTH and window.read_mask[row]:
            expected[position] += float(weight[row, column]) * probs[row, column]
    np.testing.assert_allclose(counts.counts, expected, rtol=1e-5, atol=1e-6)
    hard = dataclasses.replace(
        window, base_probs=jax.nn.one_hot(window.bases, 4, dtype=jnp.float32)
    )
    plain = dataclasses.replace(window, base_probs=None)
    assert tree_allclose(pileup((hard, weight)), pileup((plain, weight)))


def test_consensus_is_proportions_at_one_and_the_majority_towards_zero():
    counts = jnp.array([[6.0, 3.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    operator = Pileup(pseudo_count=1e-4)
    np.testing.assert_allclose(
        operator.consensus(counts), [[0.6, 0.3, 0.1, 0], [0.25] * 4], atol=1e-4
    )
    cold = eqx.tree_at(lambda p: p.temperature, operator, jnp.array(0.01))
    np.testing.assert_allclose(cold.consensus(counts)[0], [1, 0, 0, 0], atol=1e-6)
    hard = Pileup(mode="hard").consensus(counts)
    assert hard[0].tolist() == [1, 0, 0, 0]
    with pytest.raises(ValueError, match="pseudo_count"):
        Pileup(pseudo_count=0.0)


def kernel_input(seed=0, reads=11):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(reads, WIDTH)).astype(np.float32)
    channel = rng.integers(0, 7, (reads, WIDTH)).astype(np.uint8)
    # Some rows lie wholly outside, on either side.
    start = rng.integers(-3 * WIDTH, LENGTH + 2 * WIDTH, reads).astype(np.int32)
    return tuple(map(jnp.asarray, (values, channel, start)))


def plain_add(values, channel, start, channels):
    out = np.zeros((LENGTH, channels))
    position = np.asarray(start)[:, None] + np.arange(WIDTH)
    keep = (position >= 0) & (position < LENGTH) & (np.asarray(channel) < channels)
    index = (position[keep], np.asarray(channel)[keep])
    np.add.at(out, index, np.asarray(values, np.float64)[keep])
    return out


@pytest.mark.parametrize("form", ["_loop", "_scatter"])
def test_both_forms_of_the_kernel_add_the_same(form):
    add = jax.jit(getattr(kernel, form), static_argnames=("length", "channels"))
    for seed in range(4):
        x = kernel_input(seed)
        got = add(*x, length=LENGTH, channels=4)
        np.testing.assert_allclose(got, plain_add(*x, 4), rtol=1e-5, atol=1e-5)


def test_kernel_under_vmap_jvp_grad_and_second_order():
    xs = [kernel_input(seed) for seed in range(3)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *xs)
    add = lambda values, channel, start: window_add(values, channel, start, LENGTH, 4)
    got = jax.jit(jax.vmap(add))(*batch)
    expected = np.stack([plain_add(*x, 4) for x in xs])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    # One set of reads under many weights: only the values are batched.
    some = jax.vmap(add, (0, None, None))(batch[0], *xs[0][1:])
    expected = np.stack([plain_add(x[0], *xs[0][1:], 4) for x in xs])
    np.testing.assert_allclose(some, expected, rtol=1e-5, atol=1e-5)

    values, channel, start = xs[0]
    cotangent = np.random.default_rng(5).normal(size=(LENGTH, 4)).astype(np.float32)
    pull = lambda v: (add(v, channel, start) * cotangent).sum()
    position = np.asarray(start)[:, None] + np.arange(WIDTH)
    inside = (position >= 0) & (position < LENGTH) & (np.asarray(channel) < 4)
    at = np.clip(position, 0, LENGTH - 1), np.minimum(channel, 3)
    gather = np.where(inside, cotangent[at], 0)
    np.testing.assert_allclose(jax.grad(pull)(values), gather, rtol=1e-6)
    primal, tangent = jax.jvp(
        lambda v: add(v, channel, start), (values,), (2 * values,)
    )
    np.testing.assert_allclose(tangent, 2 * primal, rtol=1e-5, atol=1e-5)
    square = lambda v: (add(v, channel, start) ** 2).sum()
    hessian = jax.jvp(jax.grad(square), (values,), (values,))[1]
    np.testing.assert_allclose(hessian, jax.grad(square)(values), rtol=1e-4, atol=1e-4)
