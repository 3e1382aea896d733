"""Preprocessing of a block: hard limits stage by stage, identity, batches, files."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import tree_allclose
from preprocessing_reads import LENGTH, K, counted, fragments, make, pairs, singles

import diffbio_eqx as dbx
from diffbio_eqx.data.correction_evidence import CorrectionEvidence
from diffbio_eqx.operators.reads.adapter_blocks import AdapterBlocks
from diffbio_eqx.operators.reads.mate_blocks import MateBlocks

run = eqx.filter_jit(lambda pipeline, sample: pipeline(sample))


def mask_of(start, end, length=LENGTH):
    column = np.arange(length)
    return (column >= start[:, None]) & (column < end[:, None])


def trimmed(model, bases, qualities, start, end):
    """Spans after quality trimming, and who passes, by the forms of the file path."""
    start, end = model.quality_trimming.block_spans(bases, qualities, start, end)
    passes, _ = model.read_filter.block_passes(bases, qualities, start, end)
    return start, end, passes


def check_bases(model, result, spectrum, bases, qualities):
    """Corrections are those of the operator on reads that were cut on the host."""
    mask = np.asarray(result.mask)
    evidence = CorrectionEvidence.from_spectrum(spectrum, bases, qualities, mask)
    found = eqx.filter_jit(lambda o, x: jax.vmap(o)(x))(
        dbx.set_mode(model.error_correction, "hard"), evidence
    )
    np.testing.assert_array_equal(result.corrections, found.changed)
    probs = np.asarray(found.base_probs) * mask[..., None]
    np.testing.assert_array_equal(result.reads, probs)
    np.testing.assert_array_equal(result.quality, found.qualities)
    return np.asarray(found.changed)


def test_single_reads_are_what_the_stages_of_the_file_path_make_of_them():
    model, sample = make(), singles()
    result = run(model, sample)
    bases, qualities = sample.bases, sample.qualities
    start, end = np.zeros(len(bases), int), sample.lengths
    start, tail = model.poly_tail.block_spans(bases, qualities, start, end)
    found = AdapterBlocks(model.adapter_removal, batch=20)(
        bases, qualities, start, tail
    )
    start, after, passes = trimmed(model, bases, qualities, found.start, found.end)
    np.testing.assert_array_equal(result.mask, mask_of(start, after))
    np.testing.assert_array_equal(result.passed, passes)
    families = jax.tree.map(jnp.asarray, sample.families)
    weights = np.asarray(model.duplicate_weighting(families))
    np.testing.assert_array_equal(result.molecule_weights, weights)
    np.testing.assert_array_equal(result.read_weights, weights * passes)
    changed = check_bases(model, result, counted(fragments()[0]), bases, qualities)
    assert (tail < end).any() and found.cut.sum() >= 4 and (after < found.end).any()
    assert not passes.all() and (weights == 0).any() and changed.sum() >= 2
    np.testing.assert_allclose(
        result.cut_posterior.sum(1)[found.cut], found.probability[found.cut], rtol=1e-4
    )


def test_pairs_are_cut_by_their_overlap_or_else_by_the_adapter():
    model, sample = make(), pairs()
    result = run(model, sample)
    ends = [(one.bases, one.qualities) for one in (sample, sample.mate)]
    overlap = MateBlocks(model.mate_overlap, batch=20)(*ends[0], *ends[1])
    removals = (model.adapter_removal, model.mate_adapter_removal)
    both, alone_cut = np.ones(len(sample.bases), bool), 0
    for end, removal, by_mates, out in zip(
        ends,
        removals,
        (overlap.end, overlap.mate_end),
        (result, result.mate),
        strict=True,
    ):
        alone = AdapterBlocks(removal, batch=20)(*end)
        cut = np.where(overlap.cut, by_mates, alone.end)
        start, cut, passes = trimmed(model, *end, np.zeros(len(cut), int), cut)
        np.testing.assert_array_equal(out.mask, mask_of(start, cut))
        check_bases(model, out, counted(fragments()[0]), *end)
        both &= passes
        alone_cut += (alone.cut & ~overlap.cut).sum()
    assert overlap.cut.sum() >= 5 and alone_cut >= 1 and not both.all()
    np.testing.assert_array_equal(result.passed, both)
    np.testing.assert_array_equal(result.mate.read_weights, result.read_weights)
    best = np.argmax(np.asarray(result.insert), 1) + 1
    np.testing.assert_array_equal(best[overlap.cut], overlap.insert[overlap.cut])


def test_clean_reads_stay_as_they_are():
    """Overlapping mates without adapters, errors or copies; one program with pairs."""
    genome = fragments()[0]
    at = np.arange(20) * 12
    rows = genome[at[:, None] + np.arange(60)]
    quality = np.full((20, LENGTH), 35, np.uint8)
    mate = dbx.Reads.from_arrays(3 - rows[:, ::-1][:, :LENGTH], quality)
    sample = dbx.Reads.from_arrays(rows[:, :LENGTH], quality, mate=mate)
    sample = dbx.prepare_reads(sample, spectrum=counted(genome), least_similarity=0.8)
    result = run(make(), sample)
    for before, after in ((sample, result), (sample.mate, result.mate)):
        assert np.array_equal(after.mask, np.ones_like(quality))
        assert np.array_equal(after.reads, np.eye(4)[before.bases])
        assert np.array_equal(after.quality, quality)
        assert not after.corrections.any()
    assert np.array_equal(result.read_weights, np.ones(20))
    assert result.cut_posterior.sum(1).max() < 0.5


def test_stages_that_are_off_or_have_nothing_to_go_by_change_nothing():
    off = dict.fromkeys(
        "enable_poly_g enable_adapter_removal enable_quality_trimming enable_filters "
        "enable_duplicate_weighting enable_error_correction".split(),
        False,
    )
    model, sample = make(**off), singles()
    stages = [f.name for f in dataclasses.fields(model) if f.name != "config"]
    assert all(getattr(model, name) is None for name in stages)
    result = model(sample)
    assert eqx.tree_equal(result, run(model, sample))
    real = sample.bases != 7
    assert np.array_equal(result.mask, real)
    one_hot = np.eye(4)[np.minimum(sample.bases, 3)] * (sample.bases < 4)[..., None]
    assert np.array_equal(result.reads, one_hot)
    assert np.array_equal(result.read_weights, np.ones(20))
    assert not result.cut_posterior.any() and result.insert is None
    plain = dataclasses.replace(sample, families=None, support=None)
    some = {name: False for name in off if "duplicate" not in name}
    some.pop("enable_error_correction")
    again = make(**some)(plain)
    assert eqx.tree_equal(again, result)


def test_soft_bases_go_through():
    probs = np.full((2, LENGTH, 4), 0.1, np.float32)
    probs[..., 1] = 0.7
    sample = dbx.Reads.from_arrays(probs, np.full((2, LENGTH), 30.0))
    stages = "poly_g adapter_removal quality_trimming filters".split()
    off = {f"enable_{stage}": False for stage in stages}
    result = make(**off)(sample)
    assert np.array_equal(result.reads, probs)


def test_padding_is_never_seen():
    """Rubbish in padding, and in rows without a read, changes nothing at all."""
    sample = pairs()
    real = np.arange(20) < 17

    def clean(one, value):
        none = ~real[:, None] | (one.bases == 7)
        return dataclasses.replace(
            one,
            qualities=np.where(none, np.float32(value), one.qualities),
            bases=np.where(real[:, None], one.bases, 7 if value == 0 else 1).astype(
                np.uint8
            ),
            read_mask=real,
            support=np.where(none[..., None, None], -1, one.support).astype(np.float32)
            * np.where(none, np.float32(value or 1), 1)[..., None, None],
        )

    model, results = make(), []
    for value in (0.0, np.nan):
        one = dataclasses.replace(clean(sample, value), mate=clean(sample.mate, value))
        families = dataclasses.replace(
            one.families,
            read_mask=real,
            quality=np.where(real, one.families.quality, np.float32(value)),
        )
        one = dataclasses.replace(one, families=families)
        results.append(run(model, one))
    assert eqx.tree_equal(*results)
    assert not results[0].read_weights[17:].any()
    assert not results[0].mask[17:].any()


def test_round_trip_through_a_file(tmp_path):
    model = make(quality_trimming="sliding_window", window_direction="right")
    model = dbx.set_mode(model, "hard")
    dbx.save(tmp_path / "model.eqx", model)
    again = dbx.load(tmp_path / "model.eqx")
    assert eqx.tree_equal(again, model)
    assert again.config.adapter_sequence == model.config.adapter_sequence


@pytest.mark.slow
def test_a_batch_is_a_loop():
    model = dbx.set_mode(make(), "soft")
    samples = [pairs(1), pairs(2, reads=14)]
    both = eqx.filter_jit(lambda m, batch: jax.vmap(m)(batch))(
        model, dbx.stack(samples)
    )
    one = run(model, samples[0])
    assert tree_allclose(jax.tree.map(lambda x: x[0], both), one, rtol=1e-4, atol=1e-5)
    other = run(model, samples[1])
    cut = jax.tree.map(lambda x, y: x[1][tuple(map(slice, y.shape))], both, other)
    assert tree_allclose(cut, other, rtol=1e-4, atol=1e-5)
    assert not both.read_weights[1, 14:].any()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"read_length": 0}, "read_length"),
        ({"quality_trimming": "sliding_window", "nextseq": True}, "nextseq"),
        ({"error_correction_window": 12}, "odd"),
        ({"adapter_match_threshold": 1.5}, "match_threshold"),
        ({"duplicate_similarity_threshold": 1.0}, "threshold"),
        ({"adapter_sequence": "AGXT"}, "adapter sequence"),
    ],
)
def test_wrong_settings(fields, said):
    with pytest.raises(ValueError, match=said):
        make(**fields)


def test_wrong_samples():
    with pytest.raises(ValueError, match="config.read_length"):
        make(read_length=50)(singles())
    with pytest.raises(ValueError, match=f"words of {K}"):
        make(error_correction_window=11)(singles())
