"""Priors of genotypes, and how they and corrections make posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx.operators.variants.genotype_likelihood import GENOTYPES
from diffbio_eqx.operators.variants.genotype_posterior import (
    best_alternative,
    is_reference,
    normalised_posterior,
    variant_log_odds,
    with_rescored,
)
from diffbio_eqx.operators.variants.genotype_prior import GenotypePrior
from diffbio_eqx.operators.variants.haplotype_rescoring import RescoredSites

RNG = np.random.default_rng(0)
LIKELIHOOD = -RNG.gamma(2.0, 8.0, (6, 10)).astype(np.float32)
REFERENCE = np.array([0, 1, 2, 3, 1, 2], np.int32)


def kinds(reference):
    """hom-ref, het with the reference, two alternatives, hom-alt."""
    alternatives = [len({a, b} - {reference}) for a, b in GENOTYPES]
    same = [a == b for a, b in GENOTYPES]
    table = {(0, True): 0, (1, False): 1, (2, False): 2, (1, True): 3}
    return np.array([table[key] for key in zip(alternatives, same, strict=True)])


@pytest.mark.parametrize("reference", range(4))
def test_diploid_prior_sums_to_one_in_the_stated_shares(reference):
    theta, ratio = 0.01, 1.5
    prior = np.exp(GenotypePrior(theta, ratio)(jnp.int32(reference)).astype(float))
    kind = kinds(reference)
    np.testing.assert_allclose(prior.sum(), 1.0, rtol=1e-6)
    share = [prior[kind == k].sum() for k in range(4)]
    expected = [theta, theta**2, theta / ratio]
    np.testing.assert_allclose(share[1:], expected, rtol=1e-5)
    for k in range(4):
        assert np.ptp(prior[kind == k]) < 1e-9


@pytest.mark.parametrize("second", [0.1, 0.5, 1.0])
def test_second_is_the_share_of_heterozygotes_with_two_alternatives(second):
    theta = 0.02
    model = GenotypePrior(theta, second=second)
    prior = np.exp(model(jnp.int32(0)).astype(float))
    kind = kinds(0)
    np.testing.assert_allclose(prior.sum(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(prior[kind == 2].sum(), theta * second, rtol=1e-5)
    np.testing.assert_allclose(prior[kind == 1].sum(), theta, rtol=1e-5)
    np.testing.assert_allclose(prior[kind == 3].sum(), theta / 2, rtol=1e-5)
    gradient = jax.grad(lambda m: m(jnp.int32(0))[kind == 2].sum())(model)
    assert np.isfinite(gradient.second.raw) and abs(gradient.second.raw) > 0


def test_haploid_prior_knows_four_alleles_only():
    prior = np.asarray(GenotypePrior(0.01, ploidy=1)(jnp.int32(2)))
    same = GENOTYPES[:, 0] == GENOTYPES[:, 1]
    assert (prior[~same] == -1e4).all()
    np.testing.assert_allclose(np.exp(prior[same]).sum(), 1.0, rtol=1e-6)
    expected = np.where(np.arange(4) == 2, 0.99, 0.01 / 3)
    np.testing.assert_allclose(np.exp(prior[same]), expected, rtol=1e-5)


@pytest.mark.parametrize(("ploidy", "count"), [(2, 10), (1, 4)])
def test_flat_prior_gives_every_possible_genotype_the_same(ploidy, count):
    prior = np.asarray(GenotypePrior(flat=True, ploidy=ploidy).table())
    possible = prior > -1e3
    assert (possible.sum(1) == count).all()
    np.testing.assert_allclose(np.exp(prior[possible]), 1 / count, rtol=1e-6)


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match="theta"):
        GenotypePrior(0.0)
    with pytest.raises(ValueError, match="second"):
        GenotypePrior(second=1.5)
    with pytest.raises(ValueError, match="ploidy"):
        GenotypePrior(ploidy=3)


def test_the_reference_genotype_is_found():
    expected = (GENOTYPES == REFERENCE[:, None, None]).all(-1)
    assert np.array_equal(is_reference(jnp.asarray(REFERENCE)), expected)


def test_a_correction_is_added_to_every_genotype_of_its_class():
    prior = np.asarray(GenotypePrior().table())[REFERENCE]
    correction = RNG.normal(size=(6, 2)).astype(np.float32)
    own = (GENOTYPES == REFERENCE[:, None, None]).all(-1)
    joint = LIKELIHOOD + prior + np.where(own, correction[:, :1], correction[:, 1:])
    expected = joint - np.log(np.exp(joint.astype(float)).sum(1, keepdims=True))
    got = normalised_posterior(
        *map(jnp.asarray, (LIKELIHOOD, prior, REFERENCE, correction))
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    plain = normalised_posterior(*map(jnp.asarray, (LIKELIHOOD, prior, REFERENCE)))
    np.testing.assert_allclose(np.exp(plain.astype(float)).sum(1), 1.0, rtol=1e-5)
    # Genotypes of one class keep their odds.
    shift = np.asarray(got - plain)
    for site in range(6):
        assert np.ptp(shift[site][~own[site]]) < 1e-4


def test_log_odds_compare_all_variants_with_the_reference():
    prior = np.asarray(GenotypePrior().table())[REFERENCE]
    joint = np.exp((LIKELIHOOD + prior).astype(float))
    own = (GENOTYPES == REFERENCE[:, None, None]).all(-1)
    expected = np.log((joint * ~own).sum(1) / (joint * own).sum(1))
    got = variant_log_odds(*map(jnp.asarray, (LIKELIHOOD, prior, REFERENCE)))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_the_best_alternative_is_never_the_reference():
    got = best_alternative(jnp.asarray(LIKELIHOOD), jnp.asarray(REFERENCE))
    joint = np.exp(LIKELIHOOD.astype(float))
    score = np.stack([joint[:, (GENOTYPES == b).any(1)].sum(1) for b in range(4)], 1)
    score[np.arange(6), REFERENCE] = -1
    assert np.array_equal(got, score.argmax(1))
    # Even where every read shows the reference.
    sure = jnp.where(is_reference(jnp.asarray(REFERENCE)), 0.0, -500.0)
    best = np.asarray(best_alternative(sure, jnp.asarray(REFERENCE)))
    assert not np.any(best == REFERENCE)


def test_rescored_sites_take_the_three_genotypes_of_the_haplotypes():
    three = np.array([[-30, -2, -9], [-1, -7, -60]], np.float32)
    reference, alternative = np.array([2, 0], np.int32), np.array([1, 3], np.uint8)
    rescored = RescoredSites(jnp.asarray(three), jnp.array([True, False]))
    out = np.asarray(
        with_rescored(
            jnp.asarray(LIKELIHOOD[:2]),
            rescored,
            jnp.asarray(reference),
            jnp.asarray(alternative),
        )
    )
    assert np.array_equal(out[1], LIKELIHOOD[1])
    # GG, CG, CC in VCF order over A C G T
    assert np.array_equal(out[0, [5, 4, 2]], three[0])
    others = np.delete(np.arange(10), [5, 4, 2])
    moved = LIKELIHOOD[0, others] - LIKELIHOOD[0, 5] + three[0, 0]
    np.testing.assert_allclose(out[0, others], np.minimum(moved, -30.0), rtol=1e-6)


def test_posteriors_work_in_float64_with_a_float32_prior():
    table = GenotypePrior().table()
    with jax.enable_x64(True):
        wide = jnp.asarray(LIKELIHOOD, jnp.float64)
        reference = jnp.asarray(REFERENCE)
        prior = table.astype(wide.dtype)[reference]
        out = normalised_posterior(wide, prior, reference)
        assert out.dtype == jnp.float64
        assert best_alternative(wide + prior, reference).dtype == jnp.uint8
        assert variant_log_odds(wide, prior, reference).dtype == jnp.float64
