"""Alleles one repeat unit beside those that reads show."""

import numpy as np
import pytest
from indel_cases import (
    RULE,
    make_rows,
    plain,
    propose,
    random_reference,
    with_deletion,
    with_insertion,
)

from diffbio_eqx.data.indel_alleles import find_alleles
from diffbio_eqx.data.indel_padding import sizes
from diffbio_eqx.data.repeat_neighbours import with_repeat_neighbours

WIDE = RULE._replace(repeat_neighbours=True)
LONGEST = 46


def repeat(unit, copies):
    """A reference with `copies` of `unit` from 90, other bases beside them."""
    reference = random_reference(seed=6)
    length = len(unit) * copies
    reference[90 : 90 + length] = unit * copies
    reference[89] = next(b for b in (3, 2) if b not in unit)
    reference[90 + length] = next(b for b in (2, 3) if b not in unit)
    return reference


def alleles_of(reference, *lengths, origin=0, at=90):
    """The alleles that reads with these indels show, in contig coordinates."""
    reads = [event(reference, size, at) for size in lengths]
    reads = [(start + origin, cigar, bases) for start, cigar, bases in reads]
    return find_alleles(make_rows(reads), reference, origin, LONGEST)[0]


def event(reference, size, at=90, start=60):
    """A read with `size` bases of the repeat inserted (> 0) or deleted (< 0)."""
    if size < 0:
        return with_deletion(reference, at, -size, start, 60)
    unit = np.resize(reference[at : at + 2], size).tolist()
    return with_insertion(reference, at, unit, start, 60)


def lengths_around(reference, *lengths, limit=LONGEST):
    found = with_repeat_neighbours(alleles_of(reference, *lengths), reference, 0, limit)
    assert (found.position == 90).all()
    return found.length.tolist()


@pytest.mark.parametrize(
    ("unit", "shown", "expected"),
    [
        ([2], -3, [-4, -3, -2]),
        ([2], 3, [2, 3, 4]),
        # No event is the reference itself: one unit beyond it on the other side.
        ([2], -1, [-2, -1, 1]),
        ([2], 1, [-1, 1, 2]),
        ([0, 1], -4, [-6, -4, -2]),
        ([0, 1], 4, [2, 4, 6]),
        ([0, 1], -2, [-4, -2, 2]),
        ([0, 1], 2, [-2, 2, 4]),
    ],
)
def test_one_unit_more_and_one_less(unit, shown, expected):
    assert lengths_around(repeat(unit, 6), shown) == expected


def test_alleles_that_are_known_are_not_made_twice():
    assert lengths_around(repeat([2], 8), -1, -2) == [-3, -2, -1, 1]
    assert lengths_around(repeat([2], 8), -2, 1) == [-3, -2, -1, 1, 2]


def test_new_alleles_have_no_support_and_the_span_of_their_repeat():
    reference = repeat([0, 1], 5)
    shown = alleles_of(reference, -2)
    found = with_repeat_neighbours(shown, reference, 0, LONGEST)
    assert found.length.tolist() == [-4, -2, 2]
    assert found.support.tolist() == [0, 1, 0]
    assert (found.span_end == 100).all() and (found.depth == 1).all()
    assert found.inserted[:2].tolist() == [[7, 7], [7, 7]]
    assert found.inserted[2].tolist() == [0, 1]


def test_the_inserted_sequence_is_whole_units_wherever_the_reference_begins():
    reference = repeat([0, 1], 5)
    shown = alleles_of(reference, 2, origin=1000)
    found = with_repeat_neighbours(shown, reference, 1000, LONGEST)
    assert found.position.tolist() == [1090] * 3
    assert found.length.tolist() == [-2, 2, 4]
    assert found.inserted[2].tolist() == [0, 1, 0, 1]


def test_no_more_is_deleted_than_the_repeat_holds():
    assert lengths_around(repeat([2], 3), -2) == [-3, -2, -1]
    assert lengths_around(repeat([0, 1], 3), -4) == [-6, -4, -2]
    assert lengths_around(repeat([2], 3), -3) == [-3, -2]


def test_nothing_is_longer_than_the_limit():
    assert lengths_around(repeat([2], 6), 3, limit=3) == [2, 3]
    assert lengths_around(repeat([0, 1], 6), 4, limit=5) == [2, 4]
    assert lengths_around(repeat([2], 6), -3, limit=3) == [-3, -2]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_none_outside_of_repeats(size):
    reference = random_reference(seed=6)
    deletion = alleles_of(reference, -size, at=100)
    assert len(with_repeat_neighbours(deletion, reference, 0, LONGEST)) == 1
    added = [(int(reference[100]) + 1) % 4] * size
    added[0] = next(b for b in range(4) if b not in reference[98:102])
    rows = make_rows([with_insertion(reference, 100, added, 60, 60)])
    insertion = find_alleles(rows, reference, 0, LONGEST)[0]
    assert insertion.length.tolist() == [size]
    assert len(with_repeat_neighbours(insertion, reference, 0, LONGEST)) == 1


def test_part_of_a_unit_and_long_units_have_no_neighbours():
    # Three bases of a dinucleotide repeat are no whole copies of its unit.
    reference = repeat([0, 1], 6)
    shown = alleles_of(reference, -3)
    found = with_repeat_neighbours(shown, reference, 0, LONGEST)
    assert found.length.tolist() == [-3]
    unit = [0, 1, 2, 3, 0, 2, 1, 3, 3]
    for size, count in ((8, 3), (9, 1)):
        reference = random_reference(seed=6)
        reference[90 : 90 + 4 * size] = unit[:size] * 4
        reference[89], reference[90 + 4 * size] = 2, 2
        shown = alleles_of(reference, -2 * size)
        assert shown.position.tolist() == [90]
        found = with_repeat_neighbours(shown, reference, 0, LONGEST)
        assert len(found) == count, size


def test_candidates_spell_the_haplotypes_of_neighbours():
    reference = repeat([0, 1], 6)
    reads = [event(reference, -2, start=60 + k) for k in range(3)]
    rows = make_rows([*reads, plain(reference, 62, 60)])
    loci, *_ = propose(rows, reference, rule=WIDE)
    assert sizes(loci)["loci"] == 1
    assert loci.allele_length[0].tolist() == [0, -4, -2, 2]
    assert (loci.allele_position[0] == 89).all()
    start = int(loci.window_start[0])
    end = start + int(loci.haplotype_length[0, 0])
    for allele, copies in enumerate((6, 4, 5, 7)):
        spelled = [*reference[start:90], *[0, 1] * copies, *reference[102:end]]
        size = loci.haplotype_length[0, allele]
        assert loci.haplotypes[0, allele, :size].tolist() == spelled
        assert (loci.haplotypes[0, allele, size:] == 7).all()
    # Every read is scored on every one of them.
    assert sizes(loci)["pairs"] == 4 * sizes(loci)["segments"]
    without, *_ = propose(rows, reference, rule=RULE)
    assert without.allele_length[0].tolist() == [0, -2, 0, 0]


def test_alleles_that_reads_show_come_before_neighbours():
    reference = repeat([2], 10)
    reads = [event(reference, size, start=60 + k) for size in (-1, -3) for k in (0, 1)]
    loci, *_, info = propose(make_rows(reads), reference, rule=WIDE)
    lengths = loci.allele_length[0].tolist()
    assert -1 in lengths and -3 in lengths and loci.allele_mask[0].all()
    # -4, -2, 1 are proposed besides, for one place.
    assert info["surplus_alleles"] == 2


def test_no_alleles_at_all():
    rows = make_rows([plain(random_reference(), 20, 50)])
    reference = random_reference()
    none = find_alleles(rows, reference, 0, LONGEST)[0]
    assert len(with_repeat_neighbours(none, reference, 0, LONGEST)) == 0
