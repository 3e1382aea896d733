"""Samples for the tests of the variant calling pipeline."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx.data.aligned_reads import AlignedReads, SampleSizes
from diffbio_eqx.data.sample_building import pad_sample
from diffbio_eqx.simulate.columns import simulate_simple

GENOTYPES = np.array([(a, b) for b in range(4) for a in range(b + 1)])
REFERENCE = np.random.default_rng(11).integers(0, 4, 200).astype(np.uint8)
SNV, DELETED, NEAR = 40, 101, 120  # het SNV, 3 deleted bases from here, SNV beside them
CAPACITY = SampleSizes(
    reads=28,
    width=96,
    extra=256,
    events=16,
    sites=12,
    entries=128,
    loci=2,
    segments=28,
    pairs=64,
    near=8,
    near_pairs=112,
)


def padded(sample, capacity):
    """A sample grown to a capacity, with JAX leaves."""
    host = jax.tree.map(np.asarray, sample)
    return jax.tree.map(jnp.asarray, pad_sample(host, capacity))


def arrays(seed=0):
    """`reads, positions, quality, cigar`: a SNV, and a deletion with a SNV beside it.

    Every second read is of the other haplotype. It is aligned as a mapper does it: with
    few bases beyond the deletion these are mismatches, or clipped. Qualities are
    distinct and no whole numbers.
    """
    rng = np.random.default_rng(seed)
    other = REFERENCE.copy()
    for at in (SNV, NEAR):
        other[at] = (other[at] + 1) % 4
    without = np.concatenate([other[:DELETED], other[DELETED + 3 :]])
    size, reads = 72, []
    for k, start in enumerate(np.sort(rng.integers(0, 125, 24)).tolist()):
        left = DELETED - start
        if k % 2 == 0:
            reads.append((start, f"{size}M", REFERENCE[start : start + size]))
        elif left <= 0:
            reads.append((start, f"{size}M", other[start : start + size]))
        elif left < 12:
            text = without[start : start + size]
            reads.append((DELETED + 3, f"{left}S{size - left}M", text))
        elif size - left < 7:
            reads.append((start, f"{size}M", without[start : start + size]))
        else:
            shape = f"{left}M3D{size - left}M"
            reads.append((start, shape, without[start : start + size]))
    positions, cigar, text = zip(*reads, strict=True)
    codes = np.stack(text)
    quality = rng.permutation(np.linspace(8.03, 39.97, codes.size)) + 1e-3
    return codes, np.array(positions), quality.reshape(codes.shape), list(cigar)


def mixed_sample(seed=0, *, whole=False, pad=True):
    """The window of `arrays`, float qualities (or whole ones), padded."""
    reads, positions, quality, cigar = arrays(seed)
    if whole:
        quality = quality.astype(np.uint8)
    sample = AlignedReads.from_arrays(
        reads,
        positions,
        quality,
        reference=REFERENCE,
        cigar=cigar,
        reverse=np.arange(len(reads)) % 3 == 0,
    )
    return padded(sample, CAPACITY) if pad else sample


def simple_sample(seed, capacity=None, **options):
    """`simulate_simple` and its `AlignedReads`, reference given."""
    truth = simulate_simple(seed=seed, **options)
    sample = AlignedReads.from_arrays(
        truth.reads, truth.positions, truth.quality, reference=truth.reference
    )
    return truth, sample if capacity is None else padded(sample, capacity)


def simple_capacity(reads, **more):
    """Capacity of a sample without indels."""
    none = dict.fromkeys("extra events loci segments pairs near near_pairs".split(), 1)
    return SampleSizes(**none | {"reads": reads, "width": 128} | more)


def called_genotypes(calls):
    """{(position, base, base)} of the calls other than homozygous reference."""
    calls = jax.tree.map(np.asarray, calls)
    pairs = np.sort(GENOTYPES[calls.log_posterior.argmax(-1)], axis=1)
    variant = (pairs != calls.reference[:, None]).any(1) & calls.mask
    return {
        (int(at), *map(int, pair))
        for at, pair in zip(calls.position[variant], pairs[variant], strict=True)
    }


def poisoned(sample):
    """Rubbish in every padded number, NaN where there is one."""
    rubbish = ~np.asarray(sample.read_mask)[:, None] | (np.asarray(sample.bases) == 7)
    loci, sites = sample.loci, sample.sites
    used = np.zeros(sample.extra_qualities.shape[0], bool)
    source = np.asarray(loci.segment_source)
    used[-2 - source[source < -1]] = True
    off = lambda mask, value, x: jnp.where(mask, x, jnp.asarray(value, x.dtype))
    return dataclasses.replace(
        sample,
        qualities=jnp.where(rubbish, jnp.nan, sample.qualities),
        bases=off(sample.read_mask[:, None], 1, sample.bases),
        mapping_quality=off(sample.read_mask, 3, sample.mapping_quality),
        reverse=off(sample.read_mask, True, sample.reverse),
        extra_qualities=jnp.where(used, sample.extra_qualities, jnp.nan),
        event_length=off(sample.event_mask, 5, sample.event_length),
        event_position=off(sample.event_mask, 9, sample.event_position),
        sites=dataclasses.replace(
            sites,
            position=off(sites.mask, 17, sites.position),
            entry_column=off(sites.entry_mask, 3, sites.entry_column),
        ),
        loci=dataclasses.replace(
            loci,
            haplotypes=off(loci.mask[:, None, None], 2, loci.haplotypes),
            allele_length=off(loci.mask[:, None], 4, loci.allele_length),
            segment_start=off(loci.segment_mask, 30, loci.segment_start),
        ),
    )
