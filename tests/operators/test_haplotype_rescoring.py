"""Substitutions beside a called indel, scored on the called haplotypes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import finite_difference, random_direction, tree_allclose
from indel_cases import (
    evidence,
    make_rows,
    plain,
    propose,
    random_reference,
    unmodelled_fit,
)

from diffbio_eqx.data.indel_padding import pad_loci
from diffbio_eqx.operators.variants.haplotype_rescoring import (
    CalledIndels,
    HaplotypeRescoring,
)
from diffbio_eqx.operators.variants.indel_likelihood import IndelLikelihood
from diffbio_eqx.operators.variants.pair_hmm import PairHMM

REFERENCE = random_reference(seed=4)
CAPACITY = {"loci": 2, "segments": 24, "pairs": 60, "near": 9, "near_pairs": 88}
SITES = np.array([40, 93, 98, 101, 108])
LIKELIHOOD = IndelLikelihood(PairHMM(band=16, block=8), unmodelled=80.0)
BASE = ((REFERENCE + 1) % 4).astype(np.uint8)
rescore = eqx.filter_jit(HaplotypeRescoring(LIKELIHOOD))


def deletion_read(start, changes=()):
    """50 bases over a deletion of [100, 103), with alternative bases at `changes`."""
    bases = REFERENCE.copy()
    for site in changes:
        bases[site] = BASE[site]
    text = [*bases[start:100], *bases[103:]][:50]
    return start, f"{100 - start}M3D{start - 50}M", text


def reference_read(start, changes=()):
    first, cigar, _ = plain(REFERENCE, start, 50)
    bases = REFERENCE.copy()
    for site in changes:
        bases[site] = BASE[site]
    return first, cigar, bases[start : start + 50]


def called(reads, genotype=(1, 0), dtype=np.float32, likelihood=LIKELIHOOD):
    rows = make_rows(reads)
    loci, extra, quality, _ = propose(rows, REFERENCE, sites=SITES)
    x = evidence(rows, pad_loci(loci, CAPACITY), extra, quality, dtype)
    return CalledIndels(
        x,
        eqx.filter_jit(likelihood)(x),
        jnp.asarray(genotype, jnp.int32),
        jnp.asarray(SITES, jnp.int32),
        jnp.asarray(BASE[SITES]),
    )


def het_reads(on_deletion=(), on_reference=()):
    reads = [deletion_read(70 + 2 * k, on_deletion) for k in range(4)]
    return reads + [reference_read(71 + 2 * k, on_reference) for k in range(4)]


def test_copies_of_a_substitution_on_either_haplotype():
    cases = {0: ((), ()), 1: ((108,), ()), 2: ((108,), (108,))}
    for copies, changes in cases.items():
        out = rescore(called(het_reads(*changes)))
        assert out.used.tolist() == [False, True, True, True, True]
        row = np.asarray(out.log_likelihood[4])
        assert row.argmax() == copies
        assert np.sort(row)[-1] - np.sort(row)[-2] > 2.0
    other_phase = rescore(called(het_reads((), (108,))))
    assert np.asarray(other_phase.log_likelihood[4]).argmax() == 1


def test_phase_is_told_from_a_genotype_that_cannot_be():
    # All deletion reads carry it, no reference read does: exactly one copy.
    out = rescore(called(het_reads((108,), ())))
    none, one, two = np.asarray(out.log_likelihood[4])
    assert one - none > 15 and one - two > 15


def test_mismatches_of_a_misaligned_read_are_no_substitution():
    # Deletion reads that end soon after it, aligned without it: mismatches at 101+.
    whole = [*REFERENCE[:100], *REFERENCE[103:]]
    ends = [(s, "50M", whole[s : s + 50]) for s in (54, 55, 55)]
    reads = het_reads() + ends
    rows = make_rows(reads)
    # Bases of the misaligned reads over 101: none equals the reference's.
    shown = [whole[101]] * 3
    assert REFERENCE[101] not in shown
    x = called(reads)
    base = x.site_base.at[3].set(whole[101])
    x = eqx.tree_at(lambda x: x.site_base, x, base)
    out = rescore(x)
    assert np.asarray(out.log_likelihood[3]).argmax() == 0
    assert len(rows) == 11


def test_a_site_that_both_haplotypes_delete_is_left_as_it_is():
    reads = [deletion_read(70 + 2 * k) for k in range(6)]
    out = rescore(called(reads, genotype=(2, 0)))
    row = np.asarray(out.log_likelihood[3])
    assert out.used[3] and np.ptp(row) < 1e-5


def test_homozygous_reference_loci_are_not_used_and_cost_nothing():
    x = called(het_reads(), genotype=(0, 0))
    out = rescore(x)
    assert not out.used.any()
    assert (np.asarray(out.log_likelihood) == 0).all()
    jaxpr = str(jax.make_jaxpr(HaplotypeRescoring(LIKELIHOOD))(x))
    assert "cond[" in jaxpr


def test_equals_scores_of_haplotypes_written_out():
    x = called(het_reads((108,), (93,)))
    out = rescore(x)
    loci = x.evidence.loci
    raw = np.asarray(x.scores.segment_allele, np.float64)
    lowest = unmodelled_fit(x.evidence, band=16, unmodelled=80.0)
    for near in range(4):
        site = int(loci.near_site[near])
        position = int(SITES[site])
        haplotypes = np.asarray(loci.haplotypes).copy()
        for allele, shift in ((0, 0), (1, -3)):
            if allele and 100 <= position < 103:
                continue
            column = position - int(loci.window_start[0])
            column += shift if position > 99 else 0
            haplotypes[0, allele, column] = BASE[position]
        changed = eqx.tree_at(
            lambda e: e.loci.haplotypes, x.evidence, jnp.asarray(haplotypes)
        )
        new = np.asarray(eqx.filter_jit(LIKELIHOOD)(changed).segment_allele)
        real = np.asarray(loci.near_pair_mask)
        mine = real & (np.asarray(loci.near_pair_near) == near)
        assert mine.any()
        total = np.zeros(4)
        for segment in np.asarray(loci.near_pair_segment)[mine]:
            scores = np.array([*raw[segment, :2], *new[segment, :2]])
            scores = np.logaddexp(scores, lowest[segment])
            lost = 10**-6.0
            scores = np.log((1 - lost) * np.exp(scores - scores.max()) + lost)
            for k, (a, b) in enumerate([(0, 1), (2, 1), (0, 3), (2, 3)]):
                total[k] += np.logaddexp(scores[a], scores[b]) - np.log(2)
        expected = [total[0], max(total[1], total[2]), total[3]]
        np.testing.assert_allclose(
            out.log_likelihood[site], expected, rtol=1e-3, atol=1e-3
        )


def test_the_nearest_called_locus_is_taken():
    second = [
        (s, f"{115 - s}M2D{s - 65}M", [*REFERENCE[s:115], *REFERENCE[117 : s + 52]])
        for s in (80, 82, 84)
    ]
    reads = het_reads() + second
    both = called(reads, genotype=(1, 1))
    loci = both.evidence.loci
    assert loci.mask.all()
    here = np.asarray(loci.near_site)[np.asarray(loci.near_mask)] == 4
    assert here.sum() == 2
    value = {
        genotype: np.asarray(
            rescore(
                eqx.tree_at(
                    lambda x: x.genotype, both, jnp.asarray(genotype, jnp.int32)
                )
            ).log_likelihood[4]
        )
        for genotype in ((1, 0), (0, 1), (1, 1))
    }
    # 108 is 6 from the last base of the first deletion (102), 6 from the anchor of
    # the second (114): the first locus wins the tie.
    np.testing.assert_allclose(value[1, 1], value[1, 0], rtol=1e-5)
    assert np.abs(value[1, 1] - value[0, 1]).max() > 0.1


def test_gradients_are_central_differences_in_float64():
    with jax.enable_x64(True):
        cast = lambda leaf: leaf.astype(jnp.float64)
        likelihood = jax.tree.map(cast, LIKELIHOOD)
        x = called(het_reads((108,)), dtype=np.float64, likelihood=likelihood)
        arrays, static = eqx.partition(likelihood, eqx.is_array)

        @jax.jit
        def value(at):
            errors, arrays = at
            likelihood = eqx.combine(arrays, static)
            found = eqx.tree_at(lambda e: e.errors, x.evidence, errors)
            item = eqx.tree_at(
                lambda x: (x.evidence, x.scores), x, (found, likelihood(found))
            )
            out = HaplotypeRescoring(likelihood)(item).log_likelihood[4]
            return out[1] - 0.5 * out[0] - 0.4 * out[2]

        at = (x.evidence.errors, arrays)
        gradient = jax.grad(value)(at)
        direction = random_direction(at, jax.random.key(1))
        direction = (direction[0] * at[0] * 0.1, direction[1])
        products = jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)
        got = sum(jax.tree.leaves(products))
        np.testing.assert_allclose(
            got, finite_difference(value, at, direction, 1e-5), rtol=1e-5
        )
        assert np.abs(np.asarray(gradient[0])).max() > 0


@pytest.mark.slow
def test_jit_equals_eager_and_poison_is_not_seen():
    x = called(het_reads((108,)))
    loci = x.evidence.loci
    beyond = (loci.segment_source == -1) | ~loci.segment_mask[:, None]
    poisoned = eqx.tree_at(
        lambda x: x.evidence.errors,
        x,
        jnp.where(beyond, jnp.nan, x.evidence.errors),
    )
    assert tree_allclose(
        rescore(poisoned), HaplotypeRescoring(LIKELIHOOD)(x), rtol=1e-4, atol=1e-4
    )
