"""Genomes: the truth spells the haplotypes, and is spelled as a VCF wants it."""

import numpy as np
import pytest

from diffbio_eqx.simulate.genomes import DiploidGenome, simulate_genome
from diffbio_eqx.simulate.references import random_reference
from diffbio_eqx.simulate.variant_drawing import tandem_repeats


def _text(codes) -> str:
    return "".join("ACGTN"[code] for code in codes)


@pytest.fixture(scope="module")
def genome() -> DiploidGenome:
    return simulate_genome(
        60_000, seed=5, snv_rate=6e-3, indel_rate=6e-3, compound_share=0.2
    )


def test_truth_spelled_into_the_reference_gives_the_haplotypes(genome):
    reference = _text(genome.reference)
    for copy, haplotype in enumerate(genome.haplotypes):
        pieces, last = [], 0
        for row in range(len(genome.variants)):
            alleles = genome.variants.alleles(row)
            start = int(genome.variants.start[row])
            assert reference.startswith(alleles[0], start)
            assert start >= last + 2
            chosen = alleles[genome.variants.genotype[row, copy]]
            pieces += [reference[last:start], chosen]
            last = start + len(alleles[0])
        assert "".join(pieces) + reference[last:] == _text(haplotype.bases)


def test_coordinate_map_is_monotone_and_right_at_aligned_bases(genome):
    changed = genome.variants.start[genome.variants.is_snv]
    for haplotype in genome.haplotypes:
        aligned = ~haplotype.inserted
        place = haplotype.to_reference[aligned]
        assert (np.diff(place) > 0).all()
        differs = genome.reference[place] != haplotype.bases[aligned]
        assert set(place[differs]) <= set(changed)
        assert differs.sum() > 0.3 * len(changed)
        lost = len(genome.reference) - aligned.sum()
        assert lost > 0 and haplotype.inserted.sum() > 0


def test_indels_are_left_aligned_and_alleles_differ(genome):
    indels = np.flatnonzero(~genome.variants.is_snv)
    kinds = set()
    for row in range(len(genome.variants)):
        alleles = genome.variants.alleles(row)
        assert len(set(alleles)) == len(alleles)
    for row in indels:
        alleles = genome.variants.alleles(int(row))
        assert len({allele[0] for allele in alleles}) == 1
        for allele in alleles[1:]:
            longer = max(allele, alleles[0], key=len)
            assert longer[-1] != longer[0]  # else it could move to the left
            kinds.add(len(allele) > len(alleles[0]))
    assert kinds == {True, False}
    assert max(len(genome.variants.alleles(int(row))) for row in indels) == 3


def test_rates_and_genotypes_are_as_asked():
    genome = simulate_genome(300_000, seed=1, snv_rate=4e-3, indel_rate=1e-3)
    variants = genome.variants
    snv = variants.is_snv
    assert 0.9 * 1200 < snv.sum() < 1300
    assert 0.8 * 300 < (~snv).sum() < 350
    alleles = variants.allele_bases[variants.allele_begin[snv, :2]]
    transitions = ((alleles[:, 0] ^ alleles[:, 1]) == 2).mean()
    assert abs(transitions - 2 / 3) < 4 * np.sqrt(2 / 9 / snv.sum())
    het = (variants.genotype[:, 0] != variants.genotype[:, 1]).mean()
    assert abs(het - 2 / 3) < 0.06
    sizes = np.abs(variants.allele_length[~snv, 1] - variants.allele_length[~snv, 0])
    assert (sizes == 1).mean() > 0.4 and sizes.max() > 4


def test_half_of_the_indels_lie_in_repeats_and_none_beside_unknown_bases():
    reference = random_reference(100_000, seed=2)
    reference[40_000:50_000] = 4
    genome = simulate_genome(reference, seed=2, snv_rate=2e-3, indel_rate=2e-3)
    start = genome.variants.start
    assert not ((start > 39_997) & (start < 50_000)).any() and len(start) > 200
    repeats = tandem_repeats(reference)[0]
    indels = start[~genome.variants.is_snv] + 1
    assert np.isin(indels, repeats).mean() > 0.4


def test_tandem_repeats_of_a_written_example():
    text = "ACGT" + "A" * 6 + "CGCATCATCATCATG" + "TGTGTGTGAC"
    codes = np.array(["ACGT".index(base) for base in text], np.uint8)
    found = {tuple(map(int, row)) for row in zip(*tandem_repeats(codes), strict=True)}
    assert found == {(4, 6, 1), (12, 12, 3), (23, 10, 2)}


def test_random_reference_has_the_gc_and_the_homopolymers_asked_for():
    few = random_reference(200_000, seed=1, homopolymers=0.0, repeats=0.0)
    many = random_reference(200_000, seed=1, homopolymers=1 / 100)
    gc = ((few == 1) | (few == 2)).mean()
    assert abs(gc - 0.41) < 0.03 and few.max() == 3
    long_few, long_many = (
        (tandem_repeats(codes)[1][tandem_repeats(codes)[2] == 1] >= 8).sum()
        for codes in (few, many)
    )
    assert long_many > 10 * max(long_few, 1)


def test_same_seed_same_genome_other_seed_another():
    one, two, other = (simulate_genome(5000, seed=seed) for seed in (7, 7, 8))
    assert (one.haplotypes[0].bases == two.haplotypes[0].bases).all()
    assert (one.reference != other.reference).any()


def test_a_genome_without_variants_is_the_reference():
    genome = simulate_genome(2000, seed=1, snv_rate=0.0, indel_rate=0.0)
    assert len(genome.variants) == 0
    assert (genome.haplotypes[1].bases == genome.reference).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"reference": 50}, "reference length"),
        ({"snv_rate": -0.1}, "snv_rate"),
        ({"het_share": 1.5}, "het_share"),
        ({"reference": np.full(900, 9, np.uint8)}, "codes 0-3"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        simulate_genome(**{"reference": 1000, "seed": 0, **arguments})


def test_a_genome_may_be_without_indels_or_without_any_variant():
    only = simulate_genome(2000, seed=1, snv_rate=5e-3, indel_rate=0.0)
    assert len(only.variants) > 0 and only.variants.is_snv.all()
    none = simulate_genome(2000, seed=1, snv_rate=0.0, indel_rate=0.0)
    assert len(none.variants) == 0
    assert all((h.bases == none.reference).all() for h in none.haplotypes)
