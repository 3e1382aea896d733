"""The sweep finds what an enumeration of all subsets and phases finds."""

import itertools

import numpy as np
import pytest

from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.metrics import match_haplotypes, variant_units

REFERENCE = "GATTACAACACACAGGTCCCCCATGTTGACCATAG"


def units(*rows):
    """Units of records written as (position, ref, alts, genotype)."""
    records = [VariantRecord("c", p, r, a, genotype=g) for p, r, a, g in rows]
    found, _ = variant_units(records, lambda contig, s, e: REFERENCE[s:e])
    return found.get("c", [])


def match(truth, calls, **kwargs):
    return match_haplotypes(truth, calls, lambda s, e: REFERENCE[s:e], **kwargs)


def matched(truth, calls, **kwargs):
    groups = match(truth, calls, **kwargs).groups
    return sum(len(t) for t, _ in groups), sum(len(c) for _, c in groups)


HET, HOM = (0, 1), (1, 1)


@pytest.mark.parametrize("genotype", [HET, HOM])
def test_one_deletion_at_both_ends_of_a_repeat(genotype):
    left = units((6, "AAC", ("A",), genotype))
    assert matched(left, units((11, "ACA", ("A",), genotype))) == (1, 1)
    other = HET if genotype == HOM else HOM
    assert matched(left, units((11, "ACA", ("A",), other))) == (0, 0)
    assert matched(left, units((11, "ACA", ("A",), other)), ploidy=1) == (1, 1)


def test_three_snps_in_a_row_match_however_they_are_grouped():
    one = units((0, "GAT", ("CGG",), HET))
    three = units((0, "G", ("C",), HET), (1, "A", ("G",), HET), (2, "T", ("G",), HET))
    assert [unit.kind for unit in one] == ["snp"] * 3
    assert matched(one, three) == (3, 3)


def test_a_compound_change_matches_its_parts():
    whole = units((14, "GGT", ("CT",), HET))
    parts = units((14, "G", ("C",), HET), (15, "GT", ("T",), HET))
    assert len(whole) == 1 and len(parts) == 2
    assert match(whole, parts).groups == [((0,), (0, 1))]


def test_parts_of_a_hom_compound_must_be_hom_too():
    whole = units((14, "GGT", ("CT",), HOM))
    parts = units((14, "G", ("C",), HOM), (15, "GT", ("T",), HET))
    assert matched(whole, parts) == (0, 0)
    assert matched(whole, parts, ploidy=1) == (1, 2)


def test_a_wrong_call_beside_a_right_one_does_not_spoil_it():
    truth = units((14, "G", ("C",), HET))
    calls = units((13, "A", ("T",), HET), (14, "G", ("C",), HET))
    assert match(truth, calls).groups == [((0,), (1,))]


def test_changes_that_cancel_on_one_side_match_nothing():
    truth = units((6, "AAC", ("A",), HOM), (11, "A", ("ACA",), HOM))
    assert matched(truth, units()) == (0, 0)
    assert matched(truth, units((25, "T", ("C",), HET))) == (0, 0)


def test_overlapping_changes_need_different_haplotypes():
    both = ((16, "TCC", ("T",), HET), (17, "C", ("G",), HET))
    assert matched(units(*both), units(*both)) == (2, 2)
    homs = ((16, "TCC", ("T",), HOM), (17, "C", ("G",), HOM))
    assert matched(units(*homs), units(*homs)) == (1, 1)


def test_an_insertion_may_touch_a_snp_on_either_side():
    rows = [(23, "T", ("C",), HOM), (23, "T", ("TAA",), HOM), (24, "G", ("C",), HOM)]
    assert matched(units(*rows), units((23, "TG", ("CAAC",), HOM))) == (3, 1)


def test_insertion_as_last_variant_and_at_the_contig_end():
    end = len(REFERENCE) - 1
    rows = units((end, "G", ("GT",), HET))
    assert matched(rows, rows) == (1, 1)
    assert matched(rows, units((end, "G", ("GTT",), HET))) == (0, 0)


def test_dense_clusters_fall_back_to_equal_alleles_and_are_counted():
    rows = [(p, REFERENCE[p], ("N",), HET) for p in (1, 4, 7, 9)]
    truth, calls = units(*rows), units(*rows[:3], (9, "C", ("G",), HET))
    result = match(truth, calls, state_limit=1)
    assert (result.exact_clusters, result.exact_units) == (1, 8)
    assert result.groups == [((0,), (0,)), ((1,), (1,)), ((2,), (2,))]
    free = match(truth, calls)
    assert free.exact_clusters == 0 and len(free.groups) == 3


def _arrangements(side):
    """Every subset of a side's units in every phase, as two haplotype strings."""
    ways = [[None, unit.copies, unit.copies[::-1]] for unit in side]
    for choice in itertools.product(*ways):
        haps = []
        for copy in (0, 1):
            changes = [way[copy] for way in choice if way and way[copy]]
            changes.sort(key=lambda c: c.begin_code)
            pairs = itertools.pairwise(changes)
            if any(b.begin_code < a.end_code for a, b in pairs):
                break
            text = REFERENCE
            for change in reversed(changes):
                text = text[: change.start] + change.bases + text[change.end :]
            haps.append(text)
        else:
            yield tuple(sorted(haps)), sum(way is not None for way in choice)


def _best(truth, calls):
    spelled = {}
    for haps, count in _arrangements(truth):
        spelled[haps] = max(count, spelled.get(haps, 0))
    return max(n + spelled[h] for h, n in _arrangements(calls) if h in spelled)


def _random_side(random):
    """A few SNPs and at most one indel: nothing that could cancel out."""
    rows = {}
    for position in random.choice(np.arange(15, 20), random.integers(1, 5), False):
        ref = REFERENCE[position]
        alt = "C" if ref != "C" else "T"
        genotype = HET if random.random() < 0.7 else HOM
        rows[int(position)] = (int(position), ref, (alt,), genotype)
    place, size = int(random.integers(14, 20)), int(random.integers(1, 3))
    ref = REFERENCE[place : place + 1 + size]
    shape = (ref, ref[:1]) if random.random() < 0.5 else (ref[:1], ref[:1] + "C" * size)
    rows["indel"] = (place, shape[0], (shape[1],), HET if size == 1 else HOM)
    return units(*rows.values())


def test_the_sweep_equals_an_enumeration():
    random = np.random.default_rng(3)
    found = []
    for _ in range(300):
        truth, calls = _random_side(random), _random_side(random)
        found.append(sum(matched(truth, calls)))
        assert found[-1] == _best(truth, calls)
    assert {0, 2, 3, 4, 6} <= set(found)
