"""Gradients of a call's log-odds to all that it is made of, in float64, mode soft."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from calling_cases import NEAR, SNV, mixed_sample
from jax.flatten_util import ravel_pytree

import diffbio_eqx as dbx
from diffbio_eqx.pipelines.variant_calling import create_variant_calling_pipeline

_STEP = 1e-4
_SOME = 30


def _float64(tree):
    wide = lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x
    return jax.tree.map(wide, tree)


def _pipeline():
    """Small, soft, with an error curve and a classifier that are not at their start."""
    made = create_variant_calling_pipeline(
        pileup_window_size=3, classifier_hidden_dim=4, quality_threshold=12.0
    )
    leaves, structure = jax.tree.flatten(made.classifier)
    keys = jax.random.split(jax.random.key(4), len(leaves))
    noise = [
        0.3 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)
    ]
    curve = 1.5 * jnp.sin(jnp.arange(96.0) / 4.0)
    where = lambda p: (p.classifier, p.error_curve.shift.value)
    made = eqx.tree_at(where, made, (jax.tree.unflatten(structure, noise), curve))
    return dbx.set_mode(made, "soft")


def _parts(pipeline, sample):
    """What the gradient is taken to, by name."""
    return {
        "threshold": pipeline.quality_filter.threshold,
        "qualities": sample.qualities,
        "extra_qualities": sample.extra_qualities,
        "curve": pipeline.error_curve.shift.value,
        "classifier": pipeline.classifier,
    }


def _with(pipeline, sample, parts):
    where = lambda p: (
        p.quality_filter.threshold,
        p.error_curve.shift.value,
        p.classifier,
    )
    new = (parts["threshold"], parts["curve"], parts["classifier"])
    used = dataclasses.replace(
        sample,
        qualities=parts["qualities"],
        extra_qualities=parts["extra_qualities"],
    )
    return eqx.tree_at(where, pipeline, new), used


def _log_odds(calls, index):
    posterior = calls.log_posterior[index]
    own = calls.reference[index] * (calls.reference[index] + 3) // 2
    others = jnp.arange(10, dtype=own.dtype) != own
    return jax.nn.logsumexp(jnp.where(others, posterior, -1e30)) - posterior[own]


@pytest.fixture(
    scope="module",
    params=[_SOME, pytest.param(10**6, marks=pytest.mark.exhaustive)],
    ids=["some", "all"],
)
def both_ways(request):
    """Value, leaves by name, and the gradient in both ways of three calls.

    Central differences are taken at the `request.param` numbers of each part that some
    call hears best, and at as many at random.
    """
    with jax.enable_x64(True):
        pipeline, sample = _float64((_pipeline(), mixed_sample()))
        parts = _parts(pipeline, sample)
        flat, unravel = ravel_pytree(parts)
        real = np.asarray(sample.read_mask)[:, None] & (np.asarray(sample.bases) < 4)
        extra = np.zeros(sample.extra_qualities.shape, bool)
        source = np.asarray(sample.loci.segment_source)
        extra[-2 - source[source < -1]] = True
        wanted = jax.tree.map(lambda x: jnp.ones(x.shape, bool), parts)
        wanted |= {
            "qualities": jnp.asarray(real),
            "extra_qualities": jnp.asarray(extra),
        }
        index = np.flatnonzero(ravel_pytree(wanted)[0])
        names = {
            name: jnp.full(ravel_pytree(part)[0].shape, k)
            for k, (name, part) in enumerate(sorted(parts.items()))
        }
        owner = np.asarray(ravel_pytree(names)[0])[index]

        snv, beside = (int(np.argmax(sample.sites.position == p)) for p in (SNV, NEAR))

        def odds(vector, pipeline, sample):
            model, used = _with(pipeline, sample, unravel(vector))
            features = model.window_features(used)
            found = model.calls(used, features)
            return jnp.stack(
                [
                    _log_odds(found.substitutions, snv),
                    _log_odds(found.substitutions, beside),
                    _log_odds(found.indels, 0),
                ]
            )

        @eqx.filter_jit
        def backward(vector, pipeline, sample):
            function = lambda v: odds(v, pipeline, sample)
            return function(vector), jax.jacrev(function)(vector)

        @eqx.filter_jit
        def differences(vector, index, pipeline, sample):
            function = lambda v: odds(v, pipeline, sample)
            ends = lambda k: jnp.stack(
                [function(vector.at[k].add(h)) for h in (_STEP, -_STEP)]
            )
            up, down = jnp.moveaxis(jax.lax.map(ends, index), 1, 0)
            return (up - down).T / (2 * _STEP)

        value, gradient = backward(flat, pipeline, sample)
        gradient = np.asarray(gradient)[:, index]
        heard = np.argsort(-np.abs(gradient).max(0), kind="stable")
        mixed = np.random.default_rng(0).permutation(index.size)
        looked = [
            order[owner[order] == k][: request.param]
            for order in (heard, mixed)
            for k in range(len(parts))
        ]
        looked = np.unique(np.concatenate(looked))
        found = differences(flat, jnp.asarray(index[looked]), pipeline, sample)
        assert np.isfinite(found).all()
        difference = np.full(gradient.shape, np.nan)
        difference[:, looked] = found
        order = sorted(parts)
        return (
            np.asarray(value),
            {name: owner == k for k, name in enumerate(order)},
            gradient,
            difference,
        )


PARTS = ["threshold", "qualities", "extra_qualities", "curve", "classifier"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("call", ["snv", "snv beside the indel", "indel"])
def test_equal_to_central_differences(both_ways, call, part):
    value, owner, gradient, difference = both_ways
    row = ["snv", "snv beside the indel", "indel"].index(call)
    assert np.isfinite(value).all()
    looked = owner[part] & np.isfinite(difference[row])
    got, expected = gradient[row, looked], difference[row, looked]
    scale = np.abs(gradient[row]).max()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-7 * scale)
    silent = (call, part) == ("snv", "extra_qualities")  # far from the indel
    assert np.any(got) != silent


def test_bases_over_no_candidate_are_heard_by_the_indel(both_ways):
    """The pair-HMM sees each base of a read over the indel, clipped ones included."""
    _, owner, gradient, _ = both_ways
    at = {name: np.abs(gradient[2, mine]) for name, mine in owner.items()}
    assert (at["qualities"] > 0).mean() > 0.4 and at["qualities"].max() > 1e-3
    assert (at["extra_qualities"] > 0).all() and at["extra_qualities"].max() > 1e-3
