"""Error correction of one read: the hard rule, its limits, and who gets gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from correction_cases import random_evidence
from correction_reads import K, genome, reads_of

from diffbio_eqx import set_mode, set_temperature
from diffbio_eqx.data.correction_evidence import CorrectionEvidence
from diffbio_eqx.data.kmer_counter import KmerCounter
from diffbio_eqx.operators.reads.error_correction import ErrorCorrection

LEAVE, STAY, THRESHOLD = 4.0, 0.9, 3.0
of_reads = eqx.filter_jit(lambda operator, batch: jax.vmap(operator)(batch))


@pytest.fixture(scope="module")
def sample():
    """Evidence of 30 reads over a small genome, and the true bases."""
    bases, qualities, truth = reads_of(genome()[0])
    counter = KmerCounter(K, certainty=0.5)
    counter.add(bases, qualities)
    spectrum = counter.finish()
    bases, qualities, truth = (x[:30].copy() for x in (bases, qualities, truth))
    bases[3, 40] = 4
    bases[4, 70:] = 7
    weight = np.ones(bases.shape, np.float32)
    weight[5, :20] = 0
    evidence = CorrectionEvidence.from_spectrum(spectrum, bases, qualities, weight)
    return jax.tree.map(jnp.asarray, evidence), truth


def make(**options):
    return ErrorCorrection(THRESHOLD, leave=LEAVE, stay=STAY, **options)


def classical(evidence):
    """The rule as a loop: the base with the best score, or the read's own."""
    out = np.array(evidence.bases)
    support = np.array(evidence.support)
    for place in np.argwhere((out <= 4) & (np.array(evidence.weight) > 0)):
        place = tuple(place)
        own, scores = out[place], []
        error = min(10 ** (-float(evidence.qualities[place]) / 10), 0.75)
        error = 1e-4 + 0.93 * error
        for b in range(4):
            there = support[place][b] >= 0
            lacking = (there & (support[place][b] + 0.5 < THRESHOLD)).sum()
            prior = 0.25 if own == 4 else 1 - error if b == own else error / 3
            scores.append(np.log(prior) - LEAVE * (lacking > 0) - STAY * lacking)
        if own == 4:
            words = there.sum()
            scores.append(np.log(0.25) - LEAVE * (words > 0) - STAY * words)
        out[place] = int(np.argmax(scores))
    return out


@pytest.mark.parametrize("mode", ["hard", "straight_through"])
def test_the_hard_form_is_the_classical_rule(sample, mode):
    evidence, truth = sample
    result = of_reads(make(mode=mode), evidence)
    expected = classical(evidence)
    assert np.array_equal(result.bases, expected)
    real = expected < 4
    probs = np.asarray(result.base_probs)
    assert np.array_equal(probs[real], np.eye(4)[expected[real]])
    assert not probs[~real].any()
    before = (np.asarray(evidence.bases) != truth)[real].sum()
    assert (expected != truth)[real].sum() < 0.25 * before


def test_bases_that_other_reads_have_are_not_touched(sample):
    evidence, _ = sample
    result = of_reads(make(), evidence)
    bases, support = np.asarray(evidence.bases), np.asarray(evidence.support)
    own = np.take_along_axis(
        support, np.minimum(bases, 3)[..., None, None].astype(int), 2
    )[:, :, 0]
    sure = ((own < 0) | (own >= THRESHOLD)).all(2) & (bases < 4)
    assert sure.mean() > 0.7
    assert np.array_equal(np.asarray(result.base_probs)[sure], np.eye(4)[bases[sure]])
    assert np.array_equal(result.qualities[sure], evidence.qualities[sure])
    assert not np.asarray(result.changed)[sure].any()


def test_trimmed_bases_and_padding_come_out_as_they_went_in(sample):
    evidence, _ = sample
    result = of_reads(make(), evidence)
    assert np.array_equal(result.bases[5, :20], evidence.bases[5, :20])
    assert np.array_equal(result.base_probs[5, :20].argmax(1), evidence.bases[5, :20])
    assert (np.asarray(result.bases[4, 70:]) == 7).all()
    assert not np.asarray(result.base_probs[4, 70:]).any()
    assert int((evidence.support[5, :20] >= 0).sum()) == 0


def test_n_becomes_the_base_that_the_words_name(sample):
    evidence, truth = sample
    assert int(of_reads(make(), evidence).bases[3, 40]) == truth[3, 40]
    nothing = eqx.tree_at(lambda e: e.support, evidence, evidence.support * 0)
    result = of_reads(make(), nothing)
    assert int(result.bases[3, 40]) in (0, 1, 2, 3, 4)
    absent = eqx.tree_at(lambda e: e.support, evidence, evidence.support * 0 - 1)
    result = of_reads(make(), absent)
    real = np.asarray(evidence.bases) < 4
    assert np.array_equal(result.bases[real], evidence.bases[real])


def test_a_changed_base_gets_the_new_quality(sample):
    evidence, _ = sample
    result = of_reads(make(new_quality=27.0), evidence)
    changed = np.asarray(result.changed) == 1
    assert changed.any() and ((np.asarray(result.changed) == 0) | changed).all()
    np.testing.assert_allclose(result.qualities[changed], 27.0, rtol=1e-6)


def test_soft_tends_to_hard(sample):
    evidence, _ = sample
    hard = of_reads(make(mode="hard"), evidence).base_probs
    soft = lambda t: of_reads(set_temperature(make(mode="soft"), t), evidence)
    errors = [
        float(jnp.abs(soft(t).base_probs - hard).mean()) for t in (1.0, 0.2, 0.02)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3


def test_gradients_reach_trust_costs_and_qualities():
    """Each learnable number against a central difference, in float64."""
    with jax.enable_x64(True):
        evidence = jax.tree.map(
            lambda x: x.astype(float) if eqx.is_inexact_array(x) else x,
            random_evidence(3),
        )
        operator = set_mode(make(), "soft")
        wide = lambda x: x.astype(float) if eqx.is_inexact_array(x) else x
        operator = jax.tree.map(wide, operator)
        target = jnp.eye(4)[jnp.arange(9) % 4]

        @eqx.filter_jit
        def loss(operator):
            result = operator(evidence)
            return (result.base_probs * target).sum() + result.qualities.sum() / 50

        slope = eqx.filter_jit(eqx.filter_grad(loss))(operator)
        shift = lambda m: m.error.shift.raw
        for place in (
            lambda m: m.trust_threshold.raw,
            lambda m: m.trust_sharpness.raw,
            lambda m: m.leave_cost.raw,
            lambda m: m.stay_cost.raw,
            lambda m: m.corrected_quality.raw,
            shift,
        ):
            here, by = place(operator), 1e-5
            step = jnp.zeros_like(here).at[20:24].set(by) if here.ndim else by
            ends = [
                loss(eqx.tree_at(place, operator, here + s * step)) for s in (1, -1)
            ]
            difference = (ends[0] - ends[1]) / (2 * by)
            found = place(slope)[20:24].sum() if here.ndim else place(slope)
            assert abs(float(found)) > 1e-8
            np.testing.assert_allclose(found, difference, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("name", ["threshold", "sharpness", "leave", "stay"])
def test_numbers_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=name):
        ErrorCorrection(**{name: -1.0})
