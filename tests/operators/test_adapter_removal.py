"""Adapter removal against plain NumPy, and the block form against the operator."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapter_cases import random_read

from diffbio_eqx import set_mode, set_temperature
from diffbio_eqx.operators.reads.adapter_blocks import AdapterBlocks
from diffbio_eqx.operators.reads.adapter_estimate import estimate_adapters
from diffbio_eqx.operators.reads.adapter_removal import TRUSEQ, AdapterRemoval
from diffbio_eqx.operators.reads.adapter_scores import AdapterScores

LETTERS = "ACGTN"
SHORT = "AGATCGGA"


def codes(text):
    return np.array([LETTERS.index(c) for c in text], np.uint8)


def padded(text, quality=35, width=32):
    """One read as the operators take it."""
    bases = np.full(width, 7, np.uint8)
    bases[: len(text)] = codes(text)
    return bases, np.full(width, float(quality), np.float32), np.ones(width, np.float32)


@eqx.filter_jit
def _call(operator, read):
    return operator(read)


def call(operator, read):
    """Call it on NumPy arrays, compiled."""
    return _call(operator, tuple(map(jnp.asarray, read)))


@eqx.filter_jit
def _spans(removal, reads):
    return jax.vmap(removal.span)(reads)


def span(removal, read):
    """`[start, end]` of the hard cut."""
    return [int(x) for x in removal.span(tuple(map(jnp.asarray, read)))]


def reference_odds(bases, qualities, adapter, *, share, mismatch=1e-3, sure=1e-5):
    """Log posterior odds of each cut, in a loop; flat prior and background."""
    size = int((bases != 7).sum())
    odds = np.zeros(size)
    top = 1 - 4 / 3 * mismatch
    for i in range(size):
        for j, letter in enumerate(adapter[: size - i]):
            b = bases[i + j]
            if b > 3 or letter == "N":
                continue
            u = top * (1 - 4 / 3 * min(0.75, 10 ** (-qualities[i + j] / 10)))
            # The row's log-odds at the best base, scaled to this base's quality.
            row = 1 - 3 * sure if LETTERS[b] == letter else sure
            best = np.log(1 - top + 4 * top * row)
            if best > 0:
                odds[i] += best * np.log(1 + 3 * u) / np.log(1 + 3 * top)
            else:
                odds[i] += best * np.log(1 - u) / np.log(1 - top)
        odds[i] += np.log(share / (1 - share)) - np.log(size)
    return odds


@pytest.fixture(scope="module")
def double():
    with jax.enable_x64(True):
        yield


def test_scores_are_the_sum_over_the_overlap(double):
    scores = AdapterScores(["AGATNGG", "CCA"])
    for seed in range(4):
        bases, qualities, _ = random_read(seed)
        qualities = qualities.astype(float)
        found = call(scores, (bases, qualities, np.ones(len(bases))))
        for a, adapter in enumerate(("AGATNGG", "CCA")):
            want = reference_odds(bases, qualities, adapter, share=0.5)
            want = want + np.log(len(want))
            np.testing.assert_allclose(found[a, : len(want)], want, atol=1e-10)


def test_a_sure_match_has_the_odds_of_the_error_model():
    scores = AdapterScores(["A"], mismatch_rate=1e-3)
    error = 10**-1.0
    bases, qualities = codes("AC"), np.full(2, 10.0, np.float32)
    match, differs = call(scores, (bases, qualities, np.ones(2, np.float32)))[0]
    assert match == pytest.approx(np.log(4 * (1 - error)), abs=5e-3)
    assert differs == pytest.approx(np.log(4 * error / 3), abs=2e-2)


def test_soft_weights_are_the_probability_of_a_later_cut(double):
    removal = set_mode(AdapterRemoval("AGATNGG", insert_spread=1e9), "soft")
    for seed in range(4):
        bases, qualities, _ = random_read(seed)
        qualities = qualities.astype(float)
        cuts = call(removal, (bases, qualities, np.ones(len(bases))))
        odds = reference_odds(bases, qualities, "AGATNGG", share=0.3)
        posterior = np.exp(odds) / (1 + np.exp(odds).sum())
        size = len(odds)
        np.testing.assert_allclose(cuts.three.posterior[:size], posterior, atol=1e-9)
        np.testing.assert_allclose(
            cuts.weight[:size], 1 - np.cumsum(posterior), atol=1e-9
        )
        assert not cuts.weight[size:].any()
        np.testing.assert_allclose(cuts.three.probability, posterior.sum(), atol=1e-9)


def test_temperature_to_zero_is_the_hard_cut():
    removal = AdapterRemoval(SHORT)
    read = padded("CCTTGACCAGATCGG")
    hard = call(set_mode(removal, "hard"), read).weight
    cold = call(set_temperature(set_mode(removal, "soft"), 1e-3), read).weight
    np.testing.assert_allclose(cold, hard, atol=1e-5)
    assert hard.sum() == 8
    assert span(removal, read) == [0, 8]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("CCTTGACCTTGACCTTGAGATCGGAAGAG", 17),
        ("CCTTGACCTTGACCTTGAGATC", 17),  # five bases at the end
        ("CCTTGACCTTGACCTTGCCAGA", 22),  # three bases: chance
        ("CCTTGACCTTGACCTTGCCACCTT", 24),
        ("AGATCGGA", 0),  # nothing but adapter
        ("NNNNNNNNNN", 10),
    ],
)
def test_the_prior_decides_about_short_matches(text, kept):
    weight = call(AdapterRemoval(TRUSEQ, probability=0.1), padded(text)).weight
    assert weight.sum() == kept
    assert weight[:kept].all()


def test_mismatches_of_low_quality_count_less():
    removal = AdapterRemoval("AGATCGGAAGAG")
    bases, qualities, ones = padded("CCTTGACCTTGACCTTGAGACCGTAA")
    at = [20, 23]  # the two wrong bases
    good = call(removal, (bases, qualities, ones)).three.probability
    qualities[at] = 3
    poor = call(removal, (bases, qualities, ones)).three.probability
    assert good < 0.5 < poor


def test_thresholds_0_and_1_cut_always_and_never():
    adapter, none = padded("CCTTGACC" + SHORT), padded("CCTTGACCTTGACCTT")
    always, never = (AdapterRemoval(SHORT, match_threshold=x) for x in (0, 1))
    assert call(always, none).weight.sum() < 16
    assert call(never, adapter).weight.sum() == 16
    empty = padded("")
    assert not call(always, empty).weight.any()
    assert call(AdapterRemoval(SHORT), empty).three.probability == 0


def test_five_prime_is_the_mirror_image():
    text = "CCTTGACCAGATCGGATTGACC"
    five = AdapterRemoval((), five_prime=SHORT)
    three = AdapterRemoval(SHORT[::-1])
    read, turned = padded(text), padded(text[::-1])
    cuts, mirror = call(five, read), call(three, turned)
    assert span(five, read) == [16, 22]
    np.testing.assert_allclose(cuts.weight[:22], mirror.weight[:22][::-1])
    np.testing.assert_allclose(cuts.five.posterior, mirror.three.posterior, rtol=1e-5)
    np.testing.assert_allclose(
        cuts.five.false_bases, mirror.three.false_bases, atol=1e-4
    )


def test_anchored_adapters_are_whole_and_at_the_end():
    three, five = (
        AdapterRemoval("GATCGGAT$"),
        AdapterRemoval((), five_prime="^GATCGGAT"),
    )
    end = padded("CCTTGACCGATCGGAT")
    inside = padded("CCTTGACCGATCGGATCC")
    part = padded("CCTTGACCGATCGGA")
    assert [call(three, x).weight.sum() for x in (end, inside, part)] == [8, 18, 15]
    front, later = padded("GATCGGATCCTTGACC"), padded("CGATCGGATCCTTGACC")
    assert [call(five, x).weight.sum() for x in (front, later)] == [8, 17]


def test_linked_adapters_are_cut_together_or_not_at_all():
    linked = AdapterRemoval(SHORT, five_prime="^TTGACCTG", linked=True)
    both, one = "TTGACCTGCATCATACAGATCGGA", "CATCATACGGCATTCCAGATCGGA"
    assert span(linked, padded(both)) == [8, 16]
    assert span(linked, padded(one)) == [0, 24]


def test_of_several_adapters_the_right_one_is_named():
    removal = AdapterRemoval([SHORT, "TGGAATTC"])
    kinds = call(removal, padded("CCTTGACCTGGAATTC")).three.kinds
    assert kinds[1] > 0.98 > 0.02 > kinds[0]


def test_bases_that_are_gone_are_no_evidence():
    bases, qualities, weight = padded("CCTTGACC" + SHORT)
    weight[8:] = 0
    cuts = call(AdapterRemoval(SHORT), (bases, qualities, weight))
    assert cuts.three.probability < 0.5
    np.testing.assert_array_equal(cuts.weight, weight)


def simulated(count, seed, share=0.4, length=60, width=64, adapter=TRUSEQ):
    """Reads with inserts of known length; qualities 2-40, errors at their rates."""
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 4, (count, length)).astype(np.uint8)
    insert = np.where(
        rng.random(count) < share, rng.integers(10, length, count), length
    )
    tail = codes(adapter)
    for row, i in zip(bases, insert, strict=True):
        row[i : i + len(tail)] = tail[: length - i]
    qualities = rng.choice(np.array([2, 12, 30, 40], np.uint8), (count, length))
    wrong = rng.random(bases.shape) < 10 ** (qualities / -10.0)
    bases = np.where(wrong, rng.integers(0, 4, bases.shape), bases).astype(np.uint8)
    fill = ((0, 0), (0, width - length))
    return np.pad(bases, fill, constant_values=7), np.pad(qualities, fill), insert


@pytest.mark.parametrize(
    "removal",
    [
        AdapterRemoval(TRUSEQ, match_threshold=0.05),
        AdapterRemoval([TRUSEQ, "TGGAATTCTC"], five_prime="GACCTGNA"),
        AdapterRemoval("AGATCGG$", five_prime="^GA", match_threshold=0.3),
    ],
)
def test_blocks_are_the_operator_read_by_read(removal):
    bases, qualities, _ = simulated(300, 1)
    bases[3, 20:] = 7
    start, end = np.zeros(300, int), np.full(300, 60)
    start[5:50], end[40:90] = 3, 41
    # A background that is not even: bounds must hold for it too.
    rng = np.random.default_rng(0)
    usual = jnp.asarray(np.log(rng.dirichlet(np.full(4, 9.0), (4, 4))), jnp.float32)
    if removal.three_scores.anchored == (False,):
        where = lambda m: m.three_scores.background.raw
        removal = eqx.tree_at(where, removal, usual)
    found = AdapterBlocks(removal, batch=64)(bases, qualities, start, end)
    place = np.arange(64)
    weight = (place >= start[:, None]) & (place < end[:, None])
    items = bases, qualities.astype(np.float32), weight.astype(np.float32)
    spans = _spans(removal, tuple(map(jnp.asarray, items)))
    some = np.asarray(spans[1] > spans[0])
    np.testing.assert_array_equal(found.start[some], np.asarray(spans[0])[some])
    np.testing.assert_array_equal((found.end - found.start), spans[1] - spans[0])
    assert found.cut.sum() > 20
    whole = np.minimum(end, (bases != 7).sum(1)) - start
    np.testing.assert_array_equal(found.cut, found.end - found.start < whole)


def test_expected_false_trims_are_calibrated():
    removal = AdapterRemoval(TRUSEQ, probability=0.4, match_threshold=0.2)
    bases, qualities, insert = simulated(6000, 2)
    found = AdapterBlocks(removal)(bases, qualities)
    wrong = (found.cut & (insert == 60)).sum()
    assert found.false_trim.sum() == pytest.approx(wrong, abs=4 * np.sqrt(wrong) + 5)
    assert found.end[insert < 50].tolist() == pytest.approx(insert[insert < 50], abs=9)


def test_the_prior_is_estimated_from_the_reads():
    removal = AdapterRemoval([TRUSEQ, "TGGAATTCTC"], probability=0.1)
    bases, qualities, insert = simulated(1500, 3)
    bases = np.where(bases == 3, np.where(insert[:, None] > 59, 0, 3), bases)
    found = estimate_adapters(removal, bases.astype(np.uint8), qualities)
    prior = found.three_posterior
    assert prior.probability == pytest.approx((insert < 60).mean(), abs=0.03)
    assert prior.kinds.value[0] > 0.98
    usual = found.three_scores.background.value
    assert float(usual.mean((0, 1))[3]) < 0.2


def test_gradients_of_every_number_are_central_differences(double):
    removal = set_mode(
        AdapterRemoval("AGATNGG", insert_mean=8.0, insert_spread=6.0), "soft"
    )
    reads = [random_read(seed) for seed in range(3)]
    reads = jax.tree.map(lambda *x: np.stack(x), *reads)
    reads = tuple(map(jnp.asarray, (reads[0], *(x.astype(float) for x in reads[1:]))))
    wanted = np.random.default_rng(0).random(reads[1].shape)
    wide = lambda x: x.astype(float) if eqx.is_inexact_array(x) else x
    removal = jax.tree.map(wide, removal)
    names = {
        "rows": lambda m: m.three_scores.rows.raw,
        "mismatch": lambda m: m.three_scores.mismatch.raw,
        "background": lambda m: m.three_scores.background.raw,
        "share": lambda m: m.three_posterior.share.raw,
        "mean": lambda m: m.three_posterior.mean.raw,
        "spread": lambda m: m.three_posterior.spread.raw,
        "cutoff": lambda m: m.cutoff.raw,
    }

    @eqx.filter_jit
    def loss(model):
        weight = jax.vmap(model)(reads).weight
        return ((weight - wanted) ** 2).sum()

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(removal)
    for name, where in names.items():
        leaf = where(removal)
        rng = np.random.default_rng(1)
        for k in rng.choice(leaf.size, min(leaf.size, 6), replace=False):
            step = 1e-5 * np.eye(leaf.size)[k].reshape(leaf.shape)
            ends = [loss(eqx.tree_at(where, removal, leaf + s * step)) for s in (1, -1)]
            slope = (ends[0] - ends[1]) / 2e-5
            got = np.ravel(where(gradient))[k]
            np.testing.assert_allclose(got, slope, rtol=2e-5, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(adapters=()), "one or more"),
        (dict(adapters="AGXT"), "A C G T N"),
        (dict(adapters=""), "A C G T N"),
        (dict(match_threshold=1.5), "match_threshold"),
        (dict(probability=0.0), "probability"),
        (dict(linked=True), "both sides"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdapterRemoval(**arguments)
