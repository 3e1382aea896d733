"""Genotype likelihoods of a site against ten lines of NumPy in float64."""

import dataclasses

import contract
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from read_cases import random_column, seed_of

from diffbio_eqx.operators.variants.genotype_likelihood import (
    GENOTYPES,
    Column,
    GenotypeLikelihood,
)

OPERATOR = GenotypeLikelihood()
SITES = eqx.filter_jit(OPERATOR.sites)


def textbook(base, error, reverse, weight=None, decay=0.83, floor=0.03):
    """Sum over reads of the log mixture; errors of a kind count less and less."""
    base, error = np.asarray(base), np.asarray(error, np.float64)
    weight = np.ones(len(base)) if weight is None else np.asarray(weight, np.float64)
    factor, choice = np.zeros(len(base)), np.zeros(len(base))
    for kind in {(b, s) for b, s in zip(base, reverse, strict=True)}:
        own = np.flatnonzero((base == kind[0]) & (reverse == kind[1]))
        own = own[np.argsort(error[own], kind="stable")]
        factor[own] = (1 - floor) * decay ** np.arange(len(own)) + floor
    for shown in set(base):
        own = np.flatnonzero(base == shown)
        k = np.arange(len(own))
        order = own[np.argsort(error[own], kind="stable")]
        odds = np.log((len(base) - k) / (k + 1))
        choice[order] = (1 - factor[order]) * odds + np.log(3) * (k == 0)
    like = np.zeros(10)
    for index, (a, b) in enumerate(GENOTYPES):
        shows = (base == a) | (base == b)
        log = np.log1p(-error) if a == b else np.log((1 - error) / 2 + error / 6)
        like[index] = (
            weight * np.where(shows, log, factor * np.log(error) - choice)
        ).sum()
    return like


def draw(depth, seed, genotype=(0, 2)):
    """Bases of one site: a heterozygote with errors, qualities of two levels."""
    rng = np.random.default_rng([depth, seed])
    quality = rng.uniform(2, 41, depth)
    error = (10 ** (-quality / 10)).astype(np.float32)
    base = rng.choice(genotype, depth)
    base = np.where(rng.random(depth) < 0.05, rng.integers(0, 4, depth), base)
    return base, error, rng.random(depth) < 0.5


def column(base, error, reverse, size, site=None):
    pad = lambda x, dtype: jnp.asarray(np.pad(x, (0, size - len(x))).astype(dtype))
    weight = np.ones(len(base))
    return Column(
        probs=jnp.asarray(
            np.eye(4, dtype=np.float32)[np.pad(base, (0, size - len(base)))]
        ),
        error=pad(error, np.float32),
        weight=pad(weight, np.float32),
        reverse=pad(reverse, bool),
        site=pad(np.zeros(len(base)) if site is None else site, np.int32),
    )


@pytest.mark.parametrize("depth", [1, 10, 100, 1000])
def test_float32_is_as_good_as_float64(depth):
    for seed, genotype in enumerate(3 * [(0, 2), (1, 1), (3, 3), (1, 2)]):
        reads = draw(depth, seed, genotype)
        expected = textbook(*reads)
        got = np.asarray(SITES(column(*reads, 1000), 1)[0], np.float64)
        np.testing.assert_allclose(got, expected, rtol=1e-5)
        differences = lambda x: x[:, None] - x[None]
        assert np.abs(differences(got) - differences(expected)).max() < 0.05


def test_errors_depend_on_base_and_strand():
    error = np.full(6, 0.001, np.float32)
    base = np.array([0, 0, 0, 1, 1, 1])
    one_strand = textbook(base, error, np.zeros(6, bool))
    both = textbook(base, error, np.arange(6) % 2 > 0)
    assert (
        both[0] < one_strand[0] - 1.5
    )  # seen on both strands: a weaker case for error
    for reverse in (np.zeros(6, bool), np.arange(6) % 2 > 0):
        got = SITES(column(base, error, reverse, 1000), 1)[0]
        np.testing.assert_allclose(got, textbook(base, error, reverse), rtol=1e-5)


def test_decay_one_damps_nothing():
    reads = draw(40, 0)
    operator = GenotypeLikelihood(decay=0.99999, floor=0.5)
    expected = textbook(*reads, decay=1.0, floor=0.0)
    got = operator(column(*reads, 1000))
    np.testing.assert_allclose(got, expected, rtol=1e-3)


@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_a_deep_heterozygote_is_not_taken_for_errors(depth):
    base, error = np.arange(depth) % 2, np.full(depth, 1e-3, np.float32)
    for reverse in (np.zeros(depth, bool), np.arange(depth) % 4 > 1):
        like = np.asarray(SITES(column(base, error, reverse, 1000), 1)[0])
        assert like.argmax() == 1 and like[1] - max(like[0], like[2]) > 15
    # One read in twenty is an error all the same.
    base = (np.arange(depth) % 20 == 0).astype(int)
    like = np.asarray(SITES(column(base, error, reverse, 1000), 1)[0])
    assert like.argmax() == 0


def test_errors_in_the_order_of_reads_are_the_binomial_of_counts():
    """Undamped, X is what the binomial over K errors of n gives each order."""
    n, wrong, error = 30, 4, 0.01
    base = (np.arange(n) < wrong).astype(int)
    operator = GenotypeLikelihood(decay=1 - 1e-6, floor=0.5)
    got = operator(column(base, np.full(n, error, np.float32), np.zeros(n, bool), 30))
    expected = wrong * np.log(error) + (n - wrong) * np.log1p(-error) - np.log(3)
    np.testing.assert_allclose(got[0], expected, rtol=1e-4)


def test_weights_multiply_terms_and_do_not_change_ranks():
    base, error, reverse = draw(30, 1)
    weight = np.random.default_rng(0).uniform(0.1, 1, 30)
    x = column(base, error, reverse, 1000)
    padded = jnp.asarray(np.pad(weight, (0, 970)).astype(np.float32))
    got = SITES(dataclasses.replace(x, weight=padded), 1)[0]
    np.testing.assert_allclose(got, textbook(base, error, reverse, weight), rtol=1e-5)


def test_many_sites_at_once_are_each_alone():
    depths = [3, 0, 11, 1]
    reads = [draw(n, 7) for n in depths]
    site = np.repeat(np.arange(4), depths)
    joined = [np.concatenate(parts) for parts in zip(*reads, strict=True)]
    together = SITES(column(*joined, 1000, site), 4)
    expected = [textbook(*r) if len(r[0]) else np.zeros(10) for r in reads]
    np.testing.assert_allclose(together, np.stack(expected), rtol=1e-5, atol=1e-6)
    depth = column(*joined, 1000, site).depth(4)
    counts = [np.bincount(r[0], minlength=4) for r in reads]
    np.testing.assert_array_equal(depth, np.stack(counts))


def test_soft_bases_mix_the_terms():
    """A base of equal chances A and C, error as if it were either."""
    x = column(np.array([0]), np.array([0.01]), np.array([False]), 1)
    soft = dataclasses.replace(x, probs=jnp.array([[0.5, 0.5, 0.0, 0.0]]))
    a = OPERATOR(x)
    c = OPERATOR(dataclasses.replace(x, probs=jnp.array([[0.0, 1.0, 0.0, 0.0]])))
    np.testing.assert_allclose(OPERATOR(soft), 0.5 * (a + c), rtol=1e-6)


def test_padding_is_never_seen():
    def poison(x):
        padded = x.weight == 0
        return dataclasses.replace(
            x,
            probs=jnp.where(padded[:, None], jnp.nan, x.probs),
            error=jnp.where(padded, jnp.nan, x.error),
            site=jnp.where(padded, 7, x.site),
        )

    make = lambda key: random_column(seed_of(key))
    contract.check_poison(contract.Case(GenotypeLikelihood, make, poison))


def test_no_reads_say_nothing():
    empty = column(np.zeros(0, int), np.zeros(0), np.zeros(0, bool), 4)
    assert not np.any(OPERATOR(empty))


def test_gradient_of_every_error_is_the_central_difference():
    with jax.enable_x64(True):
        base, error, reverse = draw(12, 3)
        error = np.clip(error.astype(float), 0.01, 0.6) + np.arange(12) * 1e-4
        x = column(base, error, reverse, 12)
        x = jax.tree.map(lambda v: v.astype(float) if eqx.is_inexact_array(v) else v, x)
        odds = eqx.filter_jit(lambda e: SITES(dataclasses.replace(x, error=e), 1)[0, 3])
        at = jnp.asarray(error)
        difference = [
            (odds(at.at[k].add(1e-6)) - odds(at.at[k].add(-1e-6))) / 2e-6
            for k in range(12)
        ]
        np.testing.assert_allclose(jax.grad(odds)(at), difference, rtol=1e-6)
