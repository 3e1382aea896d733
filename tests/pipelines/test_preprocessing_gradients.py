"""A loss behind preprocessing: its gradient to every learnable number, in float64."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_direction
from preprocessing_reads import ADAPTERS, make, pairs, singles

import diffbio_eqx as dbx

_STEP = 1e-6


def _wide(tree):
    wide = lambda x: jnp.asarray(x, float) if eqx.is_inexact_array(x) else x
    return jax.tree.map(wide, tree)


def _loss(diff, rest, sample, weights):
    """What a caller would use: soft bases, qualities, masses, weights of reads."""
    result = eqx.combine(diff, rest)(sample)
    ends = [result] if result.mate is None else [result, result.mate]
    total = jnp.zeros(())
    for end, (per_base, per_quality, per_read) in zip(ends, weights, strict=True):
        used = end.read_weights[:, None]
        total = total + (end.reads * per_base * used[..., None]).sum()
        total = total + (end.quality * end.mask * per_quality * used).sum() / 30
        total = total + (end.read_weights * per_read).sum()
    return total


def _compare(model, sample):
    """Leaves by path: gradient and central difference along a random direction."""
    with jax.enable_x64(True):
        model = _wide(dbx.set_mode(model, "soft"))
        sample = jax.tree.map(jnp.asarray, sample)
        diff, rest = eqx.partition(model, dbx.trainable_spec(model))
        shape = sample.bases.shape
        keys = jax.random.split(jax.random.key(3), 6)
        draw = jax.random.normal
        shapes = [(*shape, 4), shape, shape[:1]] * 2
        drawn = [draw(k, s, float) for k, s in zip(keys, shapes, strict=True)]
        weights = [drawn[:3], drawn[3:]][: 1 if sample.mate is None else 2]
        both = eqx.filter_jit(jax.value_and_grad(_loss))
        gradient = both(diff, rest, sample, weights)[1]
        flat, structure = jax.tree_util.tree_flatten_with_path(diff)
        rows = {}
        for n, ((path, leaf), slope) in enumerate(
            zip(flat, jax.tree.leaves(gradient), strict=True)
        ):
            way = random_direction(leaf, jax.random.key(n))
            way = way / jnp.sqrt((way**2).sum())
            ends = []
            for h in (_STEP, -_STEP):
                leaves = [x for _, x in flat]
                leaves[n] = leaf + h * way
                moved = jax.tree.unflatten(structure, leaves)
                ends.append(both(moved, rest, sample, weights)[0])
            difference = (ends[0] - ends[1]) / (2 * _STEP)
            name = jax.tree_util.keystr(path)
            rows[name] = float((slope * way).sum()), float(difference)
            assert bool(jnp.isfinite(slope).all()), name
        return rows


def _check(rows):
    """Equal everywhere; returns the names of leaves that the loss does not hear."""
    gradient, difference = np.array(list(rows.values())).T
    names = np.array(list(rows))
    close = 1e-5 * np.abs(difference) + 2e-8
    bad = np.abs(gradient - difference) > close
    assert not bad.any(), {name: rows[name] for name in names[bad]}
    return names[np.abs(gradient) < 1e-9]


def _model(**fields):
    """Warm enough that no decision of these few reads is beyond doubt."""
    prior = dict(insert_mean=30.0, insert_spread=20.0)
    model = make(adapter_temperature=6.0, **prior, **fields)
    warm = dbx.set_temperature(model.read_filter, 8.0)
    return eqx.tree_at(lambda m: m.read_filter, model, warm)


@pytest.mark.slow
def test_of_pairs_to_every_learnable_number():
    model = _model(front_quality_threshold=5.0, adapter_sequence_2=ADAPTERS)
    silent = _check(_compare(model, pairs()))
    # Mates have no kinds of overlap: a share of 1 whatever the leaf.
    assert set(silent) == {".mate_overlap.posterior.kinds.raw"}


@pytest.mark.slow
def test_of_single_reads_with_every_other_stage():
    model = _model(
        quality_trimming="sliding_window",
        window_direction="right",
        poly_tail_base="any",
        adapter_sequence_5=("ACGTAC", "TTGCA"),
        mean_quality=22.0,
        maximum_errors=1.5,
        maximum_length=38.0,
        enable_mate_overlap=False,
        adapter_sequence_2=None,
    )
    assert not len(_check(_compare(model, singles())))
