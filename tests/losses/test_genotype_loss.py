"""The loss of a caller: its value, what its gradient reaches, what it calibrates."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from indel_cases import random_reference

from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.call_labels import CallLabels, LabelledReads
from diffbio_eqx.losses.genotype_loss import GenotypeLoss
from diffbio_eqx.operators.reads.error_curve import KNOTS, ErrorCurve
from diffbio_eqx.pipelines.variant_calling import create_variant_calling_pipeline

REFERENCE = random_reference(length=160, seed=8)
SNV, DELETED = 40, 100  # a heterozygous site, and two bases deleted on one copy


def window():
    """16 reads of two haplotypes; two reads share one wrong base beside the site."""
    other = REFERENCE.copy()
    other[SNV] = (other[SNV] + 1) % 4
    short = np.concatenate([other[:DELETED], other[DELETED + 2 :]])
    reads, cigar, start = [], [], []
    for k in range(16):
        at = 20 + 2 * k
        source, text = (short, f"{DELETED - at}M2D{at - 20}M") if k % 2 else (0, "80M")
        bases = (source if k % 2 else REFERENCE)[at : at + 80].copy()
        if k in (2, 4):
            bases[60 - at] = (bases[60 - at] + 2) % 4
        reads.append(bases)
        cigar.append(text if at > 20 and k % 2 else "80M")
        start.append(at)
    quality = np.random.default_rng(1).integers(12, 38, (16, 80)).astype(np.uint8)
    return AlignedReads.from_arrays(
        np.stack(reads),
        np.array(start),
        quality,
        reference=REFERENCE,
        cigar=cigar,
        mapping_quality=np.resize([60, 25, 40], 16),
    )


def labelled(sample):
    """Labels as the reads were made: heterozygous, everything else reference."""
    sites, loci = sample.sites, sample.loci
    own = np.asarray(sample.reference).astype(int)
    position = np.asarray(sites.position)
    genotype = own * (own + 3) // 2
    low, high = sorted((own[SNV], (own[SNV] + 1) % 4))
    genotype[SNV] = high * (high + 1) // 2 + low
    return CallLabels(
        jnp.asarray(genotype[position], jnp.int32),
        sites.mask,
        jnp.where(loci.mask, 1, 0).astype(jnp.int32),
        loci.mask,
        jnp.asarray(np.where(np.abs(np.arange(160) - DELETED) < 8, -1, genotype)),
    )


@pytest.fixture(scope="module")
def batch():
    sample = window()
    assert int(sample.loci.mask.sum()) == 1 and SNV in sample.sites.position
    return LabelledReads(sample, labelled(sample))


def pipeline(threshold=20.0):
    """In soft mode, so that the threshold has a gradient; a classifier that acts."""
    model = create_variant_calling_pipeline(
        quality_threshold=threshold, classifier_hidden_dim=8, pileup_window_size=3
    )
    last = lambda m: m.classifier.layers[-1].weight
    noise = 0.05 * jax.random.normal(jax.random.key(3), last(model).shape)
    return eqx.tree_at(last, model, noise)


evaluate = eqx.filter_jit(lambda model, batch, loss: loss(model, batch))
gradient_of = eqx.filter_jit(
    lambda model, batch, loss: eqx.filter_grad(lambda m: loss(m, batch)[0])(model)
)


@pytest.fixture(scope="module")
def calls(batch):
    run = eqx.filter_jit(lambda m, s: m.calls(s, m.window_features(s)))
    return run(pipeline(), batch.sample)


@pytest.mark.parametrize("base_weight", [0.0, 0.3])
def test_the_value_is_the_surprise_at_the_true_genotypes(batch, calls, base_weight):
    value, parts = evaluate(pipeline(), batch, GenotypeLoss(base_weight))
    labels, sample = batch.labels, batch.sample
    found = {}
    for name, call, genotype, mask in (
        ("substitutions", calls.substitutions, "site_genotype", "site_mask"),
        ("indels", calls.indels, "locus_genotype", "locus_mask"),
    ):
        posterior = np.asarray(call.log_posterior, np.float64)
        truth, known = (np.asarray(getattr(labels, x)) for x in (genotype, mask))
        found[name] = -sum(posterior[k, truth[k]] for k in np.flatnonzero(known))
        np.testing.assert_allclose(parts[name], found[name] / known.sum(), rtol=1e-5)
    bases, count = plain_bases(batch, threshold=20.0)
    if base_weight:
        np.testing.assert_allclose(parts["bases"], bases / count, rtol=1e-4)
    # One true substitution, one true indel.
    assert len(sample.sites.position) > 1
    expected = (sum(found.values()) + base_weight * bases) / 2
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def plain_bases(batch, threshold):
    """NumPy: the surprise of the bases that reach the threshold, and their number."""
    sample, truth = batch.sample, np.asarray(batch.labels.genotype)
    pairs = [(a, b) for b in range(4) for a in range(b + 1)]
    total = count = 0.0
    quality, start = np.asarray(sample.qualities, float), np.asarray(sample.start)
    for row, column in np.argwhere(np.asarray(sample.bases) < 4):
        at = start[row] + column
        if truth[at] < 0 or quality[row, column] < threshold:
            continue
        base, e = sample.bases[row, column], 10 ** (-quality[row, column] / 10)
        chance = np.mean([1 - e if base == b else e / 3 for b in pairs[truth[at]]])
        total, count = total - np.log(chance), count + 1
    return total, count


PARTS = {
    "quality threshold": lambda m: m.quality_filter.base_cutoff.raw,
    "error curve": lambda m: m.error_curve.shift.raw,
    "mapping scale": lambda m: m.mapping_error.scale.raw,
    "dependency: decay": lambda m: m.likelihood.decay.raw,
    "dependency: floor": lambda m: m.likelihood.floor.raw,
    "gap table": lambda m: m.indel_likelihood.gaps.opening.raw,
    "gap extension": lambda m: m.indel_likelihood.gaps.extension.raw,
    "heterozygosity": lambda m: m.prior.theta.raw,
    "het to hom": lambda m: m.prior.ratio.raw,
    "indel heterozygosity": lambda m: m.indel_prior.theta.raw,
    "two indel alternatives": lambda m: m.indel_prior.second.raw,
    "classifier's first layer": lambda m: m.classifier.layers[0].weight,
    "classifier's last layer": lambda m: m.classifier.layers[-1].weight,
}


@pytest.fixture(scope="module")
def gradient(batch):
    """Where the caller is wrong about the indel: it is sure of a heterozygote."""
    reference = jnp.zeros_like(batch.labels.locus_genotype)
    labels = dataclasses.replace(batch.labels, locus_genotype=reference)
    return gradient_of(pipeline(), LabelledReads(batch.sample, labels), GenotypeLoss())


@pytest.mark.parametrize("name", PARTS)
def test_the_gradient_reaches(gradient, name):
    part = np.asarray(PARTS[name](gradient))
    assert np.isfinite(part).all()
    assert np.abs(part).max() > 1e-7, name


def test_every_leaf_has_a_finite_gradient(gradient):
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) > len(PARTS)
    assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_only_qualities_that_are_there_move_the_curve(gradient, batch):
    shift = np.asarray(gradient.error_curve.shift.raw)
    assert (shift[50:] == 0).all() and (np.abs(shift[21:37]) > 0).all()


def test_masked_labels_do_not_matter(batch):
    labels = batch.labels
    last = len(labels.site_mask) - 1
    off = dataclasses.replace(
        labels,
        site_mask=labels.site_mask & (jnp.arange(last + 1) < last),
        locus_mask=jnp.zeros_like(labels.locus_mask),
    )
    changed = dataclasses.replace(
        off,
        site_genotype=jnp.where(off.site_mask, off.site_genotype, 7),
        locus_genotype=jnp.full_like(off.locus_genotype, 2),
    )
    model, loss = pipeline(), GenotypeLoss()
    one, other = (
        evaluate(model, LabelledReads(batch.sample, x), loss) for x in (off, changed)
    )
    assert eqx.tree_equal(one, other)
    assert one[0] != evaluate(model, batch, loss)[0]
    assert one[1]["indels"] == 0


def test_without_any_label_the_loss_is_zero(batch):
    labels = batch.labels
    none = dataclasses.replace(
        labels,
        site_mask=jnp.zeros_like(labels.site_mask),
        locus_mask=jnp.zeros_like(labels.locus_mask),
        genotype=jnp.full_like(labels.genotype, -1),
    )
    value, parts = evaluate(
        pipeline(), LabelledReads(batch.sample, none), GenotypeLoss()
    )
    assert value == 0 and all(part == 0 for part in parts.values())


def counted(wrong, of=1000, quality=30):
    """Reads of one base each over one known position, `wrong` of them wrong."""
    reference = np.array([2], np.uint8)
    reads = np.full((of, 1), 2, np.uint8)
    reads[:wrong] = 0
    sample = AlignedReads.from_arrays(
        reads,
        np.zeros(of, np.int64),
        np.full((of, 1), quality, np.uint8),
        reference=reference,
    )
    nothing = jnp.zeros_like(sample.sites.mask)
    return LabelledReads(
        sample,
        CallLabels(
            jnp.zeros_like(sample.sites.position),
            nothing,
            jnp.zeros(sample.loci.mask.shape, jnp.int32),
            jnp.zeros_like(sample.loci.mask),
            jnp.array([5], jnp.int32),
        ),
    )


def test_the_bases_calibrate_the_error_curve():
    # 2 % of the bases reported at Phred 30 are wrong: their true quality is 17.
    batch = counted(wrong=20)
    true = -10 * np.log10(0.02)

    def slope(quality):
        shift = np.zeros(KNOTS)
        shift[30] = quality - 30
        model = eqx.tree_at(lambda m: m.error_curve, pipeline(1.0), ErrorCurve(shift))
        gradient = gradient_of(model, batch, GenotypeLoss())
        return float(gradient.error_curve.shift.raw[30])

    assert slope(30.0) > 1 and slope(10.0) < -1
    assert abs(slope(true)) < 1e-3 * slope(30.0)


def test_the_threshold_cannot_lower_the_surprise_of_bases_by_counting_less():
    batch = counted(wrong=20, quality=21)
    model = eqx.tree_at(lambda m: m.classifier, pipeline(20.0), None)
    gradient = gradient_of(model, batch, GenotypeLoss())
    assert gradient.quality_filter.base_cutoff.raw == 0
    assert gradient.error_curve.shift.raw[21] != 0
