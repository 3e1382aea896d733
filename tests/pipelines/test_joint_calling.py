"""Preprocessing and calling together: who weighs what, and what the loss teaches."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffbio_eqx as dbx
from diffbio_eqx.data.call_labels import CallLabels, LabelledReads
from diffbio_eqx.data.joint_sample import JointSample
from diffbio_eqx.losses import GenotypeLoss
from diffbio_eqx.pipelines.joint_calling import (
    compose,
    create_joint_calling_pipeline,
)

LENGTH, SIZE, K = 40, 120, 7
ADAPTER = "AGATCGGAAGAGC"
SNVS = np.array([31, 52, 77])
UNTRIMMED = dict(
    enable_poly_g=False, enable_adapter_removal=False, enable_quality_trimming=False
)
IGNORING = UNTRIMMED | dict(
    enable_filters=False,
    enable_duplicate_weighting=False,
    enable_error_correction=False,
)


def simulated(seed=0, reads=26):
    """A window with three SNVs under reads of both strands, and its true genotypes.

    Some inserts are short, and what follows is aligned as if it were genome; some ends
    are bad; two reads are copies of others.
    """
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 4, SIZE).astype(np.uint8)
    other = reference.copy()
    other[SNVS] = (other[SNVS] + 1) % 4
    haplotypes = (reference, other)
    adapter = np.array(["ACGT".index(c) for c in ADAPTER], np.uint8)
    bases, qualities = np.zeros((2, reads, LENGTH), np.uint8)
    positions = np.sort(rng.integers(0, SIZE - LENGTH, reads))
    reverse = np.arange(reads) % 2 == 1
    for r, at in enumerate(positions):
        insert = LENGTH - 7 - r % 5 if r % 4 == 0 else LENGTH
        piece = haplotypes[rng.integers(0, 2)][at : at + LENGTH]
        piece = 3 - piece[::-1] if reverse[r] else piece
        tail = np.concatenate([adapter, rng.integers(0, 4, LENGTH)])
        bases[r] = np.concatenate([piece[:insert], tail])[:LENGTH]
        qualities[r] = rng.integers(26, 40, LENGTH)
        if r % 5 == 2:
            qualities[r, 31:] = rng.integers(3, 17, LENGTH - 31)
            wrong = 31 + rng.integers(0, 9, 4)
            bases[r, wrong] = rng.integers(0, 4, 4)
    for copy, of in ((9, 6), (15, 13)):
        bases[copy], positions[copy] = bases[of], positions[of]
        reverse[copy] = reverse[of]
        bases[copy, 11] = (bases[copy, 11] + 1) % 4
    return reference, other, bases, qualities, positions, reverse


def joint_sample(seed=0, **options):
    reference, other, bases, qualities, positions, reverse = simulated(seed, **options)
    reads = dbx.prepare_reads(
        dbx.Reads.from_arrays(bases, qualities), least_similarity=0.8
    )
    sample = JointSample.from_alignments(
        reads, positions, reference=reference, reverse=reverse
    )
    sites, loci = sample.aligned.sites, sample.aligned.loci
    pair = np.sort(np.stack([reference, other]), axis=0).astype(int)
    genotype = (pair[1] * (pair[1] + 1) // 2 + pair[0]).astype(np.int32)
    labels = CallLabels(
        site_genotype=jnp.asarray(genotype[np.asarray(sites.position)]),
        site_mask=jnp.asarray(sites.mask),
        locus_genotype=jnp.zeros(loci.mask.shape, jnp.int32),
        locus_mask=jnp.zeros(loci.mask.shape, bool),
        genotype=jnp.asarray(genotype),
    )
    return LabelledReads(sample, labels)


def model(mode="hard", **fields):
    """Without a classifier."""
    usual = dict(
        adapter_sequence=ADAPTER,
        adapter_sequence_2=None,
        adapter_probability=0.2,
        enable_mate_overlap=False,
        error_correction_window=K,
        duplicate_similarity_threshold=0.9,
        duplicate_preference=0.02,
    )
    made = compose(
        dbx.create_preprocessing_pipeline(**usual | fields),
        dbx.VariantCallingPipeline(dbx.VariantCallingPipelineConfig(), key=None),
    )
    return dbx.set_mode(made, mode)


calls = eqx.filter_jit(lambda model, sample: model.calls(sample).substitutions)


def test_every_column_finds_its_base():
    """Also through insertions, deletions and clips, on both strands."""
    rng = np.random.default_rng(3)
    bases = rng.integers(0, 4, (4, 12)).astype(np.uint8)
    bases[3, 9:] = 7
    quality = rng.permutation(48).reshape(4, 12).astype(np.uint8)
    reads = dbx.Reads.from_arrays(bases, np.where(bases < 7, quality, 0))
    cigar = ["12M", "3S4M2I3M", "5M3D5M2S", "4M1D5M"]
    sample = JointSample.from_alignments(
        reads,
        [9, 3, 14, 0],
        reference=rng.integers(0, 4, 40),
        cigar=cigar,
        reverse=[False, True, True, True],
    )
    aligned, seen = sample.aligned, 0
    for row, (read, cycles) in enumerate(zip(sample.read, sample.cycle, strict=True)):
        base = np.asarray(aligned.bases[row])
        real = base < 4
        own = bases[read, cycles[real]]
        expected = 3 - own if aligned.reverse[row] else own
        np.testing.assert_array_equal(base[real], expected)
        np.testing.assert_array_equal(
            aligned.qualities[row][real], quality[read, cycles[real]]
        )
        seen += real.sum()
    assert seen == 12 + 7 + 10 + 9
    np.testing.assert_array_equal(sample.read, [3, 1, 0, 2])
    deleted = np.asarray(aligned.bases[3]) == 5
    assert deleted.sum() == 3 and set(np.asarray(sample.cycle[3])[deleted]) == {7}


def test_what_is_trimmed_or_dropped_is_as_if_it_were_not_there():
    batch, joint = joint_sample(), model()
    sample = batch.sample
    weighted = eqx.filter_jit(joint.aligned)(sample)
    gone = np.asarray(weighted.mass * weighted.read_weights[:, None]) == 0
    used = np.asarray(sample.aligned.bases) < 4
    assert (gone & used).sum() > 40 and (~gone & used).sum() > 600
    assert (np.asarray(weighted.read_weights) == 0).sum() == 2
    without = dataclasses.replace(
        sample.aligned, qualities=jnp.where(gone, 0, sample.aligned.qualities)
    )
    alone = model(**IGNORING)
    expected = calls(
        alone, eqx.tree_at(lambda s: s.aligned, sample, without)
    ).log_posterior
    np.testing.assert_allclose(calls(joint, sample).log_posterior, expected, atol=1e-4)
    untouched = calls(alone, sample)
    plain = eqx.filter_jit(lambda m, x: m.calls(x).substitutions)(
        alone.calling, sample.aligned
    )
    assert eqx.tree_equal(untouched, plain)
    assert np.abs(untouched.log_posterior - expected).max() > 1


def test_round_trip_through_a_file(tmp_path):
    made = create_joint_calling_pipeline(
        preprocessing=dict(quality_threshold=15.0, adapter_sequence=("ACGT", "TTGA")),
        calling=dict(classifier_hidden_dim=4),
    )
    dbx.save(tmp_path / "joint.eqx", made)
    assert eqx.tree_equal(dbx.load(tmp_path / "joint.eqx"), made)


KNOBS = {
    "quality threshold": lambda m: m.preprocessing.quality_trimming.back_cutoff.raw,
    "adapter threshold": lambda m: m.preprocessing.adapter_removal.cutoff.raw,
    "adapter": lambda m: m.preprocessing.adapter_removal.three_scores.rows.raw,
    "adapter share": lambda m: (
        m.preprocessing.adapter_removal.three_posterior.share.raw
    ),
    "copies": lambda m: m.preprocessing.duplicate_weighting.similarity_threshold.raw,
    "better copy": lambda m: m.preprocessing.duplicate_weighting.quality_preference.raw,
    "filter": lambda m: m.preprocessing.read_filter.unqualified_percent.raw,
    "error curve": lambda m: m.calling.error_curve.shift.raw,
}


@pytest.mark.slow
def test_the_genotype_loss_reaches_every_knob():
    with jax.enable_x64(True):
        wide = lambda x: x.astype(float) if eqx.is_inexact_array(x) else x
        joint = jax.tree.map(
            wide,
            model("soft", adapter_temperature=3.0, duplicate_similarity_threshold=0.97),
        )
        for stage in ("read_filter", "quality_trimming"):
            where = lambda m, stage=stage: getattr(m.preprocessing, stage)
            joint = eqx.tree_at(where, joint, dbx.set_temperature(where(joint), 8.0))
        # an adapter to be learned: rows that are sure have next to no slope
        joint = eqx.tree_at(KNOBS["adapter"], joint, KNOBS["adapter"](joint) / 4)
        batch = jax.tree.map(wide, joint_sample())
        loss = GenotypeLoss(base_weight=0.0)
        start = {name: of(joint) for name, of in KNOBS.items()}

        @eqx.filter_jit
        def value_and_gradient(knobs, joint, batch):
            def total(knobs):
                where = lambda m: [KNOBS[name](m) for name in knobs]
                moved = eqx.tree_at(where, joint, list(knobs.values()))
                return loss(moved, batch)[0]

            return jax.value_and_grad(total)(knobs)

        gradient = value_and_gradient(start, joint, batch)[1]
        for number, name in enumerate(KNOBS):
            way = jax.random.normal(jax.random.key(number), start[name].shape, float)
            ends = [
                value_and_gradient(start | {name: start[name] + h * way}, joint, batch)[
                    0
                ]
                for h in (1e-5, -1e-5)
            ]
            expected = (ends[0] - ends[1]) / 2e-5
            found = (gradient[name] * way).sum()
            assert abs(expected) > 1e-5, (name, expected)
            np.testing.assert_allclose(found, expected, rtol=1e-4, err_msg=name)
