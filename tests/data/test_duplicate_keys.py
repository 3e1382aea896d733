"""Families of reads without alignment, and of molecular identifiers."""

import numpy as np
import pytest

from diffbio_eqx.data.duplicate_families import DuplicateFamilies
from diffbio_eqx.data.duplicate_groups import (
    best_of_groups,
    connected_groups,
    group_numbers,
)
from diffbio_eqx.data.duplicate_keys import (
    ReadKeys,
    duplicate_families,
    read_keys,
    read_quality,
)
from diffbio_eqx.data.reads import Reads
from diffbio_eqx.data.umi_network import umi_families


def with_errors(rng, bases, rate):
    wrong = rng.random(bases.shape) < rate
    return np.where(wrong, (bases + rng.integers(1, 4, bases.shape)) % 4, bases)


def sampled(seed, molecules, copies, length=80, rate=0.005, paired=True):
    """Reads of `molecules`, each copied, with errors; and the molecule of each."""
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(molecules), copies)
    rng.shuffle(source)
    mates = []
    for _ in range(2 if paired else 1):
        genome = rng.integers(0, 4, (molecules, length))
        bases = with_errors(rng, genome[source], rate).astype(np.uint8)
        qualities = rng.integers(20, 40, bases.shape).astype(np.uint8)
        mates.append((bases, qualities))
    mate = Reads.from_arrays(*mates[1]) if paired else None
    return Reads.from_arrays(*mates[0], mate=mate), source


def same_partition(one, two):
    both = group_numbers([np.asarray(one), np.asarray(two)])
    return len(set(both.tolist())) == len(set(one)) == len(set(two))


def families_of(reads, **options):
    return duplicate_families(read_keys(reads), read_quality(reads), **options)


@pytest.mark.parametrize("paired", [True, False])
def test_copies_with_errors_are_one_family(paired):
    reads, source = sampled(1, 400, 3, paired=paired, length=120)
    block = families_of(reads)
    assert same_partition(block.family.tolist(), source.tolist())
    assert (block.similarity[block.certain] == 1).all()
    assert (block.similarity > 0.93).all()


def test_a_family_deeper_than_the_neighbours_is_whole():
    reads, source = sampled(2, 3, 300, rate=0.004)
    block = families_of(reads, neighbours=4)
    assert same_partition(block.family.tolist(), source.tolist())


def test_short_reads_are_found_by_a_quarter_of_their_length():
    reads, source = sampled(3, 60, 5, length=22, rate=0.004, paired=False)
    block = families_of(reads)
    for molecule in range(60):
        assert len(set(block.family[source == molecule].tolist())) <= 2
    assert len(set(block.family.tolist())) < 75


def test_unlike_reads_with_one_key_are_apart():
    rng = np.random.default_rng(4)
    bases = rng.integers(0, 4, (2, 100)).astype(np.uint8)
    bases[1, :24] = bases[0, :24]
    reads = Reads.from_arrays(bases, np.full((2, 100), 30, np.uint8))
    assert len(set(families_of(reads).family.tolist())) == 2


def test_keys_do_not_depend_on_padding_blocks_or_letters_of_n():
    reads, _ = sampled(5, 30, 2, length=50)
    wide = np.full((60, 64), 7, np.uint8)
    wide[:, :50] = reads.bases
    q = np.zeros((60, 64), np.uint8)
    other = Reads.from_arrays(wide, q, mate=reads.mate)
    one, two = read_keys(reads), read_keys(other)
    parts = ReadKeys.concatenate([two.take(np.arange(7)), two.take(np.arange(7, 60))])
    for name in ("keys", "sketch", "exact", "length"):
        np.testing.assert_array_equal(getattr(one, name), getattr(parts, name))
    empty = read_keys(Reads.from_arrays(wide[:0], q[:0]))
    assert len(duplicate_families(empty, np.zeros(0)).family) == 0


def test_quality_counts_from_fifteen_over_both_mates():
    q = np.array([[14, 15, 40]], np.uint8)
    reads = Reads.from_arrays(np.zeros((1, 3), np.uint8), q)
    assert read_quality(reads).tolist() == [55]
    pair = Reads.from_arrays(np.zeros((1, 3), np.uint8), q, mate=reads)
    assert read_quality(pair).tolist() == [110]


def test_least_similarity_must_be_an_identity():
    reads, _ = sampled(6, 2, 1)
    with pytest.raises(ValueError, match="least_similarity"):
        families_of(reads, least_similarity=0.2)


def test_groups_links_and_best():
    group = group_numbers([np.array([2, 1, 2, 1]), np.array([b"a", b"b", b"a", b"c"])])
    assert group.tolist() == [2, 0, 2, 1]
    chain = np.arange(999)
    assert (connected_groups(1000, chain[::-1] + 1, chain[::-1]) == 0).all()
    best = best_of_groups(
        np.array([0, 0, 0, 1, 1, 2]),
        np.array([5, 7, 7, 3, 3, 1]),
        np.array([b"x", b"y", b"b", b"n", b"n", b"q"]),
    )
    assert best.tolist() == [False, False, True, True, False, True]


def plain_directional(umis):
    """The network of UMI-tools, UMI by UMI."""
    counts = {u: umis.count(u) for u in sorted(set(umis))}
    near = lambda a, b: (
        len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1
    )
    found = {}
    for root in sorted(counts, key=lambda u: -counts[u]):
        if root in found:
            continue
        reached, queue = {root}, [root]
        while queue:
            a = queue.pop()
            more = {b for b in counts if near(a, b) and counts[a] >= 2 * counts[b] - 1}
            queue += more - reached
            reached |= more
        for umi in reached:
            found.setdefault(umi, root)
    return [found[u] for u in umis]


def test_umi_network_is_that_of_umi_tools():
    rng = np.random.default_rng(7)
    group = rng.integers(0, 6, 900)
    letters = rng.choice(list("AC"), (900, 5), p=[0.8, 0.2])
    umis = ["".join(row)[: 5 - (g == 5)] for row, g in zip(letters, group, strict=True)]
    family = umi_families(group, np.array(umis, "S6"))
    for g in range(6):
        rows = np.flatnonzero(group == g)
        expected = plain_directional([umis[r] for r in rows])
        assert same_partition(family[rows].tolist(), expected)
    apart = umi_families(group, np.array(umis, "S6"), mismatch=False)
    assert same_partition(
        apart.tolist(), [f"{g}{u}" for g, u in zip(group, umis, strict=True)]
    )


def test_from_groups_and_padding():
    block = DuplicateFamilies.from_groups([7, 3, 7], [1.0, 2.0, 3.0]).padded(5)
    assert block.family.tolist() == [1, 0, 1, 0, 0]
    assert block.read_mask.tolist() == [True] * 3 + [False] * 2
