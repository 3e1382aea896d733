"""The variant calling pipeline: right untrained, the same in every transform."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from calling_cases import (
    CAPACITY,
    DELETED,
    GENOTYPES,
    NEAR,
    REFERENCE,
    SNV,
    arrays,
    called_genotypes,
    mixed_sample,
    padded,
    poisoned,
    simple_capacity,
    simple_sample,
)
from helpers import tree_allclose

import diffbio_eqx as dbx
from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.pipelines.variant_calling import (
    VariantCallingPipelineConfig,
    create_variant_calling_pipeline,
)

call = eqx.filter_jit(lambda pipeline, sample: pipeline(sample))
PIPELINE = create_variant_calling_pipeline()


def trained(pipeline, seed=0):
    """A pipeline whose classifier corrects something."""
    last = pipeline.classifier.layers[-1]
    keys = jax.random.split(jax.random.key(seed), 2)
    new = [
        jax.random.normal(k, x.shape) for k, x in zip(keys, (last.weight, last.bias))
    ]
    where = lambda p: [p.classifier.layers[-1].weight, p.classifier.layers[-1].bias]
    return eqx.tree_at(where, pipeline, new)


@pytest.fixture(scope="module")
def result():
    return call(PIPELINE, mixed_sample(whole=True))


@pytest.mark.parametrize("seed", range(5))
def test_untrained_it_finds_every_substitution_of_the_simple_form(seed):
    capacity = simple_capacity(1200, sites=256, entries=8192)
    truth, sample = simple_sample(seed, capacity)
    pipeline = create_variant_calling_pipeline(reference_length=4000)
    calls = call(pipeline, sample).calls.substitutions
    expected = {
        (int(at), *sorted(map(int, truth.genotypes[at])))
        for at in np.flatnonzero(truth.copies)
    }
    assert len(expected) > 20 and {1, 2} <= set(truth.copies)
    assert called_genotypes(calls) == expected


def test_it_calls_substitutions_indels_and_substitutions_beside_them(result):
    base = lambda at: sorted([int(REFERENCE[at]), (int(REFERENCE[at]) + 1) % 4])
    expected = {(SNV, *base(SNV)), (NEAR, *base(NEAR))}
    assert called_genotypes(result.calls.substitutions) == expected
    indels = result.calls.indels
    assert indels.genotype[0] == 1 and indels.position[0] == DELETED - 1
    assert indels.mask.tolist() == [True, False]
    assert 4 <= indels.allele_depth[0, 1] <= 10


def test_logits_and_probabilities_say_the_class_of_every_position(result):
    length = len(REFERENCE)
    assert result.logits.shape == result.probabilities.shape == (length, 3)
    np.testing.assert_allclose(result.probabilities.sum(1), 1.0, rtol=1e-5)
    kind = np.asarray(result.probabilities).argmax(1)
    assert kind[[SNV, NEAR, DELETED - 1]].tolist() == [1, 1, 2]
    others = np.delete(kind, [SNV, NEAR, DELETED - 1])
    assert not others.any()
    assert not np.any(result.logits[:, 0])


def test_pileup_counts_and_dense_likelihoods(result):
    covered = np.asarray(result.counts.coverage) > 0.5
    assert covered.sum() > 120
    best = np.asarray(result.pileup).argmax(1)
    assert (best == REFERENCE)[covered].mean() > 0.97
    np.testing.assert_allclose(result.pileup.sum(1), 1.0, rtol=1e-5)
    dense = np.asarray(result.log_likelihoods)
    own = REFERENCE.astype(int) * (REFERENCE.astype(int) + 3) // 2
    plain = covered & ~np.isin(np.arange(200), [SNV, NEAR])
    plain[DELETED : DELETED + 8] = False
    assert (dense.argmax(1) == own)[plain].all()
    assert result.counts.deletions[DELETED : DELETED + 3].min() > 3


def test_forms_of_input_agree(result):
    """Codes, one-hot and soft bases; without CIGAR; without a reference."""
    reads, positions, quality, cigar = arrays()
    build = lambda reads, **more: AlignedReads.from_arrays(
        reads, positions, quality.astype(np.uint8), **more
    )
    reverse = np.arange(24) % 3 == 0
    common = dict(reference=REFERENCE, cigar=cigar, reverse=reverse)
    codes = build(reads, **common)
    assert tree_allclose(padded(codes, CAPACITY), mixed_sample(whole=True))
    onehot = build(np.eye(4)[reads], **common)
    assert onehot.base_probs is None and tree_allclose(codes, onehot)
    soft = build(0.99999 * np.eye(4)[reads] + 0.0000025, **common)
    assert soft.base_probs.shape == (24, codes.bases.shape[1], 4)
    expected = called_genotypes(result.calls.substitutions)
    assert called_genotypes(call(PIPELINE, soft).calls.substitutions) == expected


def test_gradients_reach_soft_bases():
    truth, plain = simple_sample(0, reference_length=300, read_length=50, coverage=20.0)
    probs = np.eye(4, dtype=np.float32)[truth.reads] * 0.9 + 0.025
    sample = AlignedReads.from_arrays(
        probs, truth.positions, truth.quality, reference=truth.reference
    )
    site = int(np.flatnonzero(np.asarray(sample.sites.mask))[0])

    def odds(probs):
        used = dataclasses.replace(sample, base_probs=probs)
        return PIPELINE(used).calls.substitutions.log_posterior[site, 0]

    gradient = eqx.filter_jit(jax.grad(odds))(sample.base_probs)
    position = np.asarray(sample.start)[:, None] + np.arange(gradient.shape[1])
    over = position == int(sample.sites.position[site])
    assert np.any(gradient[over]) and np.isfinite(gradient).all()
    assert not np.any(gradient[~over])


def test_without_a_reference_the_majority_stands_in():
    truth, _ = simple_sample(1, reference_length=600, read_length=50, rate=0.02)
    sample = AlignedReads.from_arrays(
        truth.reads, truth.positions, truth.quality, reference_length=600
    )
    assert sample.reference.shape == (600,)
    found = {
        at for at, *_ in called_genotypes(call(PIPELINE, sample).calls.substitutions)
    }
    heterozygous = set(np.flatnonzero(truth.genotypes[:, 0] != truth.genotypes[:, 1]))
    assert found == heterozygous and (truth.copies == 2).any()


def test_untrained_output_does_not_depend_on_the_key():
    sample = mixed_sample()
    results = [
        call(create_variant_calling_pipeline(key=jax.random.key(k)), sample)
        for k in (0, 5)
    ]
    assert eqx.tree_equal(*results)
    assert eqx.tree_equal(call(PIPELINE, sample), results[0])


@pytest.mark.slow
def test_jit_equals_eager_and_modes_agree_on_whole_qualities(result):
    sample = mixed_sample(whole=True)
    assert tree_allclose(PIPELINE(sample), result, rtol=1e-4, atol=1e-4)
    hard = call(dbx.set_mode(PIPELINE, "hard"), sample)
    # The consensus of the pileup is what hard mode sharpens; calls are the same.
    assert tree_allclose(hard.calls, result.calls, rtol=1e-4, atol=1e-4)
    assert set(np.unique(hard.pileup)) == {0.0, 1.0}
    cold = dbx.set_temperature(dbx.set_mode(PIPELINE, "soft"), 1e-3)
    assert tree_allclose(call(cold, sample).calls, result.calls, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_vmap_over_stacked_samples_is_the_loop():
    """Samples of several sizes, padded by `stack`, against each alone."""
    pipeline = trained(PIPELINE)
    batch = dbx.stack([mixed_sample(seed, pad=False) for seed in (0, 1, 2)])
    mapped = eqx.filter_jit(eqx.filter_vmap(lambda p, s: p(s), in_axes=(None, 0)))
    together = mapped(pipeline, batch)
    close = dict(rtol=1e-3, atol=1e-3)
    for k in range(3):
        mine = jax.tree.map(lambda x: x[k], together)
        alone = call(pipeline, mixed_sample(k))
        for name in ("pileup", "counts", "logits", "probabilities", "log_likelihoods"):
            assert tree_allclose(getattr(mine, name), getattr(alone, name), **close)
        for name in ("substitutions", "indels"):
            own, other = (getattr(r.calls, name) for r in (mine, alone))
            real, real_other = np.asarray(own.mask), np.asarray(other.mask)
            assert real.sum() == real_other.sum() > 0
            for field in ("log_likelihood", "log_posterior", "allele_depth"):
                values = (getattr(own, field)[real], getattr(other, field)[real_other])
                assert tree_allclose(*values, **close)


def test_samples_of_other_lengths_are_refused_by_name():
    pipeline = create_variant_calling_pipeline(reference_length=100)
    with pytest.raises(ValueError, match=r"100 bases .* got 200 bases"):
        pipeline(mixed_sample())
    short = AlignedReads.from_arrays(
        np.zeros((1, 5), int),
        np.zeros(1, int),
        np.full((1, 5), 9.5),
        reference=[0] * 99,
    )
    with pytest.raises(ValueError, match="reference"):
        dbx.stack([mixed_sample(pad=False), short])


@pytest.mark.slow
def test_nan_in_padding_is_seen_by_neither_value_nor_gradient():
    pipeline = trained(dbx.set_mode(PIPELINE, "soft"))
    spec = dbx.trainable_spec(pipeline)
    sample = mixed_sample()
    sample = eqx.tree_at(
        lambda s: s.mapping_quality,
        sample,
        jnp.where(sample.read_mask, 60.0, jnp.nan),
    )

    @eqx.filter_jit
    def both(sample):
        diff, rest = eqx.partition(pipeline, spec)
        real = sample.sites.mask[:, None], sample.loci.mask[:, None]

        def loss(diff):
            out = eqx.combine(diff, rest)(sample)
            parts = (out.calls.substitutions, out.calls.indels)
            total = (
                out.logits.sum() + out.log_likelihoods.sum() + out.pileup[:, 0].sum()
            )
            for calls, mask in zip(parts, real, strict=True):
                total += jnp.where(mask, calls.log_posterior, 0).sum() * 1e-3
            return total, (out.logits, out.log_likelihoods, out.counts)

        return jax.value_and_grad(loss, has_aux=True)(diff)

    clean = both(dataclasses.replace(sample, mapping_quality=jnp.full(28, 60.0)))
    dirty = both(poisoned(sample))
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(clean))
    assert tree_allclose(clean, dirty, rtol=1e-6, atol=1e-6)


def test_a_class_correction_is_added_to_each_of_its_genotypes(result):
    bias = jnp.array([0.5, -2.0, 3.0])
    pipeline = eqx.tree_at(lambda p: p.classifier.layers[-1].bias, PIPELINE, bias)
    moved = call(pipeline, mixed_sample(whole=True))
    np.testing.assert_allclose(moved.logits, result.logits + bias, rtol=1e-5, atol=1e-5)
    for name, shift in (("substitutions", -2.5), ("indels", 2.5)):
        before, after = (getattr(r.calls, name) for r in (result, moved))
        real = np.asarray(before.mask)
        reference = np.asarray(before.reference)[real]
        own = (GENOTYPES == reference[:, None, None]).all(-1)
        change = np.asarray(after.log_posterior - before.log_posterior)[real]
        likely = np.asarray(before.log_posterior)[real] > -1e3
        to_reference = (change * own).sum(1, keepdims=True)
        expected = np.where(own, 0.0, shift)
        np.testing.assert_allclose(
            (change - to_reference)[likely], expected[likely], atol=2e-3
        )
        assert tree_allclose(before.log_likelihood, after.log_likelihood)


@pytest.mark.slow
def test_two_classes_join_all_variants(result):
    two = call(create_variant_calling_pipeline(num_classes=2), mixed_sample(whole=True))
    assert two.logits.shape == (200, 2)
    joined = np.logaddexp(result.logits[:, 1], result.logits[:, 2])
    np.testing.assert_allclose(two.logits[:, 1], joined, rtol=1e-5, atol=1e-4)
    assert tree_allclose(two.calls, result.calls)


def test_haploid_genotypes_only():
    haploid = call(create_variant_calling_pipeline(ploidy=1), mixed_sample(whole=True))
    for calls in (haploid.calls.substitutions, haploid.calls.indels):
        genotype = GENOTYPES[np.asarray(calls.genotype)[np.asarray(calls.mask)]]
        assert len(genotype) and (genotype[:, 0] == genotype[:, 1]).all()


@pytest.mark.slow
def test_a_flat_prior_calls_the_best_likelihood():
    pipeline = create_variant_calling_pipeline(theta=None, indel_theta=None)
    for calls in jax.tree.leaves(
        call(pipeline, mixed_sample()).calls, is_leaf=lambda x: hasattr(x, "genotype")
    ):
        if hasattr(calls, "log_likelihood"):
            assert np.array_equal(calls.genotype, calls.log_likelihood.argmax(-1))


def test_surgery_by_the_documented_names(result):
    sample = mixed_sample(whole=True)
    strict = eqx.tree_at(
        lambda p: p.quality_filter.threshold, PIPELINE, jnp.array(30.0)
    )
    counted = np.asarray(sample.bases < 4) & np.asarray(sample.read_mask)[:, None]
    expected = (counted & (np.asarray(sample.qualities) >= 30)).sum()
    weights = strict._weights(sample)
    assert float(jnp.where(sample.bases < 4, weights, 0).sum()) == expected
    fewer = call(strict, sample)
    assert fewer.counts.counts.sum() < 0.5 * result.counts.counts.sum()
    sharp = eqx.tree_at(lambda p: p.pileup.temperature, PIPELINE, jnp.array(0.01))
    peak = np.asarray(call(sharp, sample).pileup)[SNV + 5]
    assert peak.max() > 0.999 > np.asarray(result.pileup)[NEAR].max()
    bare = eqx.tree_at(lambda p: p.classifier, PIPELINE, None)
    assert not jax.tree.leaves(bare.classifier) and bare.config == PIPELINE.config


@pytest.mark.slow
def test_quality_weights_can_be_left_out():
    sample = mixed_sample(whole=True)
    plain = call(create_variant_calling_pipeline(use_quality_weights=False), sample)
    counts = np.asarray(plain.counts.counts)
    assert np.array_equal(counts, counts.round()) and counts.max() > 8


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_classes": 4}, "num_classes"),
        ({"reference_length": 0}, "reference_length"),
        ({"classifier_hidden_dim": 0}, "classifier_hidden_dim"),
        ({"pileup_window_size": 10}, "window_size must be odd"),
        ({"ploidy": 3}, "ploidy"),
        ({"theta": -1.0}, "theta"),
        ({"quality_threshold": -3.0}, "threshold"),
    ],
)
def test_wrong_settings_are_named(fields, words):
    with pytest.raises(ValueError, match=words):
        create_variant_calling_pipeline(**fields)


def test_config_is_hashable_and_has_the_documented_fields():
    config = VariantCallingPipelineConfig(reference_length=1000, quality_threshold=20.0)
    assert hash(config) == hash(dataclasses.replace(config))
    assert (config.num_classes, config.pileup_window_size) == (3, 11)
    assert (config.classifier_hidden_dim, config.use_quality_weights) == (64, True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.num_classes = 2
    assert PIPELINE.config == VariantCallingPipelineConfig()


def test_save_and_load_give_the_same_calls(tmp_path):
    pipeline = trained(create_variant_calling_pipeline(pileup_window_size=5))
    pipeline = dbx.set_mode(pipeline, "soft")
    dbx.save(tmp_path / "caller.eqx", pipeline)
    loaded = dbx.load(tmp_path / "caller.eqx")
    assert eqx.tree_equal(pipeline, loaded) and loaded.config == pipeline.config
    with pytest.raises(ValueError):
        dbx.save(
            tmp_path / "other.eqx", eqx.tree_at(lambda p: p.classifier, pipeline, None)
        )


def test_input_that_cannot_be_is_named():
    reads, positions, quality = (
        np.zeros((2, 5), int),
        np.array([0, 3]),
        np.full((2, 5), 9),
    )
    build = AlignedReads.from_arrays
    with pytest.raises(ValueError, match="inside the reference"):
        build(reads, np.array([0, 90]), quality, reference=np.zeros(50, int))
    with pytest.raises(ValueError, match="positions"):
        build(reads, np.zeros(3, int), quality)
    with pytest.raises(ValueError, match="quality must be Phred"):
        build(reads, positions, np.full((2, 5), np.nan))
    with pytest.raises(ValueError, match="probabilities"):
        build(np.zeros((2, 5, 3)), positions, quality)
    with pytest.raises(ValueError, match="cigar"):
        build(reads, positions, quality, cigar=["5M"])
    with pytest.raises(ValueError, match="reference_length"):
        build(reads, positions, quality, reference=[0] * 20, reference_length=30)
    with pytest.raises(ValueError):
        build(reads, positions, quality, cigar=["5M", "4M"], reference=[0] * 20)
    bad = build(reads, positions, np.full((2, 5), 9.5), reference=[0] * 20)
    bad = dataclasses.replace(bad, qualities=bad.qualities.at[0, 0].set(jnp.nan))
    with pytest.raises(RuntimeError, match="must be finite"):
        bad.checked()
