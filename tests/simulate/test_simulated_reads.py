"""Reads: what they spell, how often they err, and how they are laid out."""

import numpy as np
import pytest

from diffbio_eqx.simulate.genomes import simulate_genome
from diffbio_eqx.simulate.qualities import QualityProfile, error_table
from diffbio_eqx.simulate.read_options import ReadOptions
from diffbio_eqx.simulate.reads import simulate_reads

GENOME = simulate_genome(40_000, seed=3, snv_rate=3e-3, indel_rate=3e-3)
ODD = ReadOptions(
    coverage=20,
    short_inserts=0.15,
    duplicates=0.2,
    unmarked=0.5,
    indel_error=1e-3,
    coverage_spread=0.4,
    gc_bias=0.5,
    mismapped=0.05,
    clip_within=5,
)


@pytest.fixture(scope="module")
def plain():
    return simulate_reads(GENOME, ReadOptions(coverage=30, indel_error=1e-3), seed=1)


@pytest.fixture(scope="module")
def odd():
    return simulate_reads(GENOME, ODD, seed=2)


def _rates(reads, table):
    """Standardised difference of the error counts of each quality from `table`."""
    count = np.bincount(reads.qualities.ravel(), minlength=94)
    wrong = np.bincount(reads.qualities[reads.wrong], minlength=94)
    seen = count * table > 20
    spread = np.sqrt(count * table * (1 - table))[seen]
    return seen, (wrong[seen] - count[seen] * table[seen]) / spread


def test_bases_that_are_not_errors_spell_the_haplotype_of_origin(plain):
    whole = np.flatnonzero((plain.sequencing_indel == 0) & (plain.insert >= 150))
    assert 0.5 < len(whole) / len(plain) < 1.0
    for h, haplotype in enumerate(GENOME.haplotypes):
        rows = whole[plain.haplotype[whole] == h]
        index = plain.haplotype_start[rows, None] + np.arange(150)
        same = haplotype.bases[index] == plain.bases[rows]
        np.testing.assert_array_equal(same, ~plain.wrong[rows])


@pytest.mark.parametrize("which", ["plain", "odd"])
def test_cigars_place_each_base_on_its_reference_position(which, request):
    reads = request.getfixturevalue(which)
    haplotypes = [
        dict(zip(h.to_reference[~h.inserted].tolist(), h.bases[~h.inserted].tolist()))
        for h in GENOME.haplotypes
    ]
    used, compared = set(), 0
    interesting = np.flatnonzero(np.diff(reads.cigar_begin) > 1)[:400]
    for row in [*interesting, *range(100)]:
        piece = slice(reads.cigar_begin[row], reads.cigar_begin[row + 1])
        place, column = int(reads.start[row]), 0
        operations = reads.cigar_operation[piece].tolist()
        for operation, length in zip(operations, reads.cigar_length[piece].tolist()):
            used.add(operation)
            assert length > 0
            if operation == 0:
                for step in range(length):
                    if not reads.wrong[row, column + step]:
                        own = haplotypes[reads.haplotype[row]].get(place + step)
                        tail = reads.insert[row] < 150 or reads.mismapped[row]
                        assert tail or own == reads.bases[row, column + step]
                        compared += 1
                place, column = place + length, column + length
            elif operation == 2:
                place += length
            else:
                column += length
        if operations:
            inner = [code for code in operations if code != 4]
            assert inner[0] == 0 and inner[-1] == 0
            assert column == 150 and place == reads.end[row]
    assert used == ({0, 1, 2, 4} if which == "odd" else used | {0, 1, 2})
    assert compared > 10_000


def test_error_rate_of_each_quality_is_what_it_reports(plain):
    seen, z = _rates(plain, error_table().astype(float))
    assert seen.sum() > 15 and np.abs(z).max() < 4.5


def test_miscalibrated_quality_errs_at_its_true_rate(plain):
    table = error_table({41: 0.02, 30: 0.0}).astype(float)
    options = ReadOptions(coverage=30, miscalibration={41: 0.02, 30: 0.0})
    reads = simulate_reads(GENOME, options, seed=1)
    assert np.abs(_rates(reads, table)[1]).max() < 4.5
    assert not reads.wrong[reads.qualities == 30].any()
    assert reads.wrong[reads.qualities == 41].mean() > 0.015
    assert plain.wrong[plain.qualities == 41].mean() < 0.001


def test_depth_inserts_and_mates(plain):
    depth = np.zeros(len(GENOME.reference) + 1)
    np.add.at(depth, plain.start, 1)
    np.add.at(depth, plain.end, -1)
    inner = np.cumsum(depth)[1000:-1000]
    assert abs(inner.mean() - 30) < 1.5 and 3 < inner.std() < 9
    assert abs(plain.insert.mean() - 400) < 6 and abs(plain.insert.std() - 80) < 5
    assert (np.diff(plain.start) >= 0).all()
    row = np.arange(len(plain))
    np.testing.assert_array_equal(plain.mate[plain.mate], row)
    np.testing.assert_array_equal(plain.fragment[plain.mate], plain.fragment)
    np.testing.assert_array_equal(plain.template_length[plain.mate],
                                  -plain.template_length)  # fmt: skip
    assert ((plain.flag & 64 > 0) ^ (plain.flag & 128 > 0)).all()
    np.testing.assert_array_equal(plain.flag[plain.mate] & 16 > 0, plain.flag & 32 > 0)
    assert (plain.reverse != plain.reverse[plain.mate]).all()


def test_copies_share_the_fragment_but_not_the_errors(odd):
    copies = np.flatnonzero(odd.copy_of >= 0)
    assert abs(len(copies) / len(odd) - 0.2) < 0.01
    marked = odd.flag & 1024 > 0
    assert (odd.copy_of[marked] >= 0).all()
    assert abs(marked[copies].mean() - 0.5) < 0.1
    first = odd.flag & 64 > 0
    row_of = dict(zip(zip(odd.fragment.tolist(), first.tolist()), range(len(odd))))
    rows = [r for r in copies if odd.sequencing_indel[r] == 0]
    source = np.array([row_of[odd.copy_of[r], first[r]] for r in rows])
    plain = odd.sequencing_indel[source] == 0
    rows, source = np.array(rows)[plain], source[plain]
    np.testing.assert_array_equal(odd.start[rows], odd.start[source])
    assert (odd.wrong[rows] & odd.wrong[source]).sum() < 0.2 * odd.wrong[rows].sum()
    assert (odd.qualities[rows] != odd.qualities[source]).mean() > 0.5


def test_short_inserts_run_into_the_adapter(odd):
    rows = np.flatnonzero((odd.insert < 150) & (odd.flag & 64 > 0) & ~odd.reverse)
    assert len(rows) > 50
    adapter = np.array(["ACGT".index(base) for base in "AGATCGGAAGAGC"])
    for row in rows[odd.insert[rows] < 130]:
        at = odd.insert[row]
        same = odd.bases[row, at : at + 13] == adapter
        assert (same | odd.wrong[row, at : at + 13]).all()
        last = odd.cigar_begin[row + 1] - 1
        assert odd.cigar_operation[last] == 4 and odd.cigar_length[last] >= 150 - at
    kept = rows[odd.insert[rows] >= 145]
    assert (odd.cigar_operation[odd.cigar_begin[kept + 1] - 1] == 0).mean() > 0.8


def test_mismapped_reads_carry_the_same_differences_and_low_mapping_quality(odd):
    rows = np.flatnonzero(odd.mismapped & (odd.sequencing_indel == 0))
    rows = rows[odd.insert[rows] >= 150]
    assert abs(odd.mismapped.mean() - 0.05) < 0.02
    assert odd.mapping_quality[odd.mismapped].max() <= 40
    assert odd.mapping_quality[~odd.mismapped].min() == 60
    own = np.stack([h.bases[:39_000] for h in GENOME.haplotypes])
    rows = rows[odd.haplotype_start[rows] < 38_000]
    index = odd.haplotype_start[rows, None] + np.arange(150)
    differs = own[odd.haplotype[rows][:, None], index] != odd.bases[rows]
    assert abs((differs & ~odd.wrong[rows]).mean() - 0.02) < 0.006


def test_uneven_coverage_is_uneven():
    depths = []
    for spread in (0.0, 0.6):
        options = ReadOptions(coverage=30, coverage_spread=spread)
        reads = simulate_reads(GENOME, options, seed=4)
        depths.append(np.bincount(reads.start // 500, minlength=80)[2:78].std())
    assert depths[1] > 2 * depths[0]


def test_indels_near_a_read_end_are_clipped_on_request(plain):
    clipped = simulate_reads(
        GENOME, ReadOptions(coverage=30, indel_error=1e-3, clip_within=10), seed=1
    )
    soft = [(reads.cigar_operation == 4).sum() for reads in (plain, clipped)]
    assert soft[1] > soft[0] + 20
    np.testing.assert_array_equal(plain.bases.sum(), clipped.bases.sum())
    for reads, least in ((plain, 1), (clipped, 11)):
        first = reads.cigar_begin[:-1][np.diff(reads.cigar_begin) > 2]
        plain_end = reads.cigar_operation[first] == 0
        near = (reads.cigar_length[first] <= 10) & plain_end
        near &= reads.cigar_operation[first + 1] != 4
        assert near.any() == (least == 1)


def test_sequencing_indels_prefer_long_homopolymers():
    genome = simulate_genome(60_000, seed=1, snv_rate=0.0, indel_rate=0.0)
    counts = []
    for growth in (1.0, 2.0):
        options = ReadOptions(coverage=30, indel_error=1e-5, run_growth=growth)
        reads = simulate_reads(genome, options, seed=1)
        counts.append((reads.sequencing_indel != 0).sum())
        gaps = (reads.cigar_operation == 1) | (reads.cigar_operation == 2)
        assert gaps.sum() == counts[-1]
    assert counts[1] > 2 * counts[0] > 0


def test_profile_falls_along_the_read_and_bins():
    flat = simulate_reads(GENOME, ReadOptions(coverage=20), seed=1)
    forward = flat.qualities[~flat.reverse].mean(axis=0)
    assert forward[20] > forward[0] + 3 and forward[20] > forward[-1] + 2
    backward = flat.qualities[flat.reverse].mean(axis=0)
    assert np.abs(backward[::-1] - forward).max() < 1.0
    options = ReadOptions(coverage=5, quality=QualityProfile(binned=True, tails=0.5))
    binned = simulate_reads(GENOME, options, seed=1)
    assert set(np.unique(binned.qualities)) <= {2, 6, 15, 22, 27, 33, 37, 40}
    first = np.where(binned.reverse, binned.qualities[:, 0], binned.qualities[:, -1])
    assert abs((first == 2).mean() - 0.5) < 0.08


def test_same_seed_same_reads_other_seed_others():
    one, two, other = (
        simulate_reads(GENOME, ReadOptions(coverage=2), seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.bases, two.bases)
    assert not np.array_equal(one.start, other.start)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"coverage": 0.0}, "coverage"),
        ({"duplicates": 1.0}, "duplicates"),
        ({"clip_within": 50}, "clip_within"),
        ({"miscalibration": {120: 0.1}}, "reported Phred"),
        ({"miscalibration": {40: 1.1}}, "true error"),
    ],
)
def test_wrong_options_are_named(fields, words):
    with pytest.raises(ValueError, match=words):
        ReadOptions(**fields)


def test_a_genome_shorter_than_an_insert_is_an_error():
    small = simulate_genome(500, seed=1)
    with pytest.raises(ValueError, match="longer reference"):
        simulate_reads(small, seed=1)
