"""Candidate indels from alignments made by hand."""

import numpy as np
import pytest
from indel_cases import (
    RULE,
    make_rows,
    plain,
    propose,
    random_reference,
    segment_text,
    with_deletion,
    with_insertion,
)

from diffbio_eqx.data.indel_candidates import propose_loci
from diffbio_eqx.data.indel_padding import empty_loci, pad_loci, sizes

REFERENCE = random_reference()


def test_het_insertion():
    added = [int(REFERENCE[99] + 1) % 4] * 2
    reads = [plain(REFERENCE, 70, 50), plain(REFERENCE, 75, 50)]
    reads += [with_insertion(REFERENCE, 100, added, s, 50) for s in (72, 80)]
    rows = make_rows(reads)
    loci, extra, qualities, info = propose(rows, REFERENCE)
    assert sizes(loci) == {
        "loci": 1,
        "segments": 4,
        "pairs": 8,
        "near": 0,
        "near_pairs": 0,
    }
    assert loci.allele_mask.tolist() == [[True, True, False, False]]
    # The inserted bases differ from base 99, so the anchor stays where it is.
    assert loci.allele_position[0, :2].tolist() == [99, 99]
    assert loci.allele_length[0].tolist() == [0, 2, 0, 0]
    start = loci.window_start[0]
    assert start == 99 - RULE.flank
    size = loci.haplotype_length[0]
    expected = [*REFERENCE[start:100], *added, *REFERENCE[100 : start + size[0]]]
    assert loci.haplotypes[0, 1, : size[1]].tolist() == expected
    assert loci.haplotypes[0, 0, : size[0]].tolist() == list(
        REFERENCE[start : start + size[0]]
    )
    assert (loci.haplotypes[0, 2:] == 7).all() and size.tolist()[2:] == [0, 0]
    # Inserted bases are in no row; they come as extra bases.
    assert len(extra) == 4 and sorted(set(extra)) == [added[0]]
    assert (qualities == 30).all()
    assert set(info.values()) == {0}
    for segment, row in enumerate(loci.segment_read):
        low = max(start, rows.start[row])
        assert loci.segment_start[segment] == low
        read = rows.query_bases[rows.query_begin[row] : rows.query_end[row]]
        text = segment_text(loci, rows, extra, segment)
        first = low - rows.start[row]
        assert text == read[first : first + len(text)].tolist()
        last = min(rows.end[row], start + size[0])
        gained = 2 if rows.end[row] - rows.start[row] < 50 else 0
        assert len(text) == last - low + gained == loci.segment_length[segment]


def test_homopolymer_deletions_are_left_aligned_and_merged():
    reference = random_reference(seed=1)
    reference[90:98] = 2
    reference[89], reference[98] = 0, 1
    reads = [
        with_deletion(reference, 90, 1, 60 + k, 50, placed=placed)
        for k, placed in enumerate((90, 93, 97))
    ]
    rows = make_rows([*reads, plain(reference, 70, 50)])
    loci, *_ = propose(rows, reference)
    assert sizes(loci)["loci"] == 1
    assert loci.allele_mask[0].sum() == 2
    assert loci.allele_position[0, 1] == 89 and loci.allele_length[0, 1] == -1
    size = loci.haplotype_length[0, 1]
    start = loci.window_start[0]
    expected = [*reference[start:90], *reference[91 : start + size + 1]]
    assert loci.haplotypes[0, 1, :size].tolist() == expected
    # The window reaches the flank beyond the end of the run, not of the event.
    assert start + size + 1 == 98 + RULE.flank


def test_left_alignment_turns_an_inserted_repeat():
    reference = random_reference(seed=2)
    reference[90:96] = [0, 1, 0, 1, 0, 1]
    reference[89], reference[96] = 2, 3
    reads = [with_insertion(reference, 95, [1, 0], 60 + k, 50) for k in range(2)]
    loci, *_ = propose(make_rows(reads), reference)
    assert loci.allele_position[0, 1] == 89 and loci.allele_length[0, 1] == 2
    column = 90 - loci.window_start[0]
    assert loci.haplotypes[0, 1, column : column + 2].tolist() == [0, 1]


def test_two_alternatives_of_one_locus_and_the_surplus():
    reference = random_reference(seed=3)
    reference[90:100] = 2
    reference[89], reference[100] = 0, 1
    reads = []
    for size, copies in ((1, 4), (2, 3), (3, 2), (4, 2)):
        reads += [with_deletion(reference, 90, size, 60 + k, 50) for k in range(copies)]
    loci, *_, info = propose(make_rows(reads), reference)
    assert sizes(loci)["loci"] == 1
    assert sorted(loci.allele_length[0].tolist()) == [-3, -2, -1, 0]
    assert info["surplus_alleles"] == 1
    assert sizes(loci)["pairs"] == 4 * len(reads)


def test_singletons_need_a_share_of_the_depth():
    single = with_deletion(REFERENCE, 100, 2, 80, 50)
    shallow = make_rows([single, *[plain(REFERENCE, 75 + k, 50) for k in range(6)]])
    deep = make_rows([single, *[plain(REFERENCE, 75 + k, 50) for k in range(9)]])
    assert sizes(propose(shallow, REFERENCE)[0])["loci"] == 1
    loci, *_, info = propose(deep, REFERENCE)
    assert sizes(loci)["loci"] == 0 and info["rare_alleles"] == 1


def test_overlapping_mates_are_one_fragment():
    mates = [with_deletion(REFERENCE, 100, 2, s, 50) for s in (70, 85)]
    others = [plain(REFERENCE, 60 + k, 60) for k in range(10)]
    rows = make_rows([*mates, *others], mates=[(0, 1)])
    assert sizes(propose(rows, REFERENCE)[0])["loci"] == 0
    third = with_deletion(REFERENCE, 100, 2, 88, 50)
    rows = make_rows([*mates, *others, third], mates=[(0, 1)])
    loci, extra, qualities, _ = propose(rows, REFERENCE)
    assert sizes(loci)["segments"] == 12
    kept = [row for row in loci.segment_read if rows.mate[row] >= 0]
    # The mate that is longer over the window, 76 to 126, begins at 70.
    assert [int(rows.start[row]) for row in kept] == [70]
    # Its merged qualities are not those of the read: the bases come as extra.
    assert len(extra) and (qualities == 30).all()
    segment = loci.segment_read.tolist().index(kept[0])
    source = loci.segment_source[segment][: loci.segment_length[segment]]
    inside = loci.segment_start[segment] + np.arange(len(source)) < 85
    assert (source[inside] >= 0).all() and (source[~inside] < -1).all()


def test_a_soft_clipped_insertion_is_in_the_segments():
    rng = np.random.default_rng(5)
    added = rng.integers(0, 4, 14).tolist()
    whole = [*REFERENCE[:100], *added, *REFERENCE[100:]]
    left = (70, "30M20S", whole[70:120])
    right = (100, "16S34M", whole[98:148])
    shown = [with_insertion(REFERENCE, 100, added, s, 50) for s in (70, 75)]
    rows = make_rows([left, right, *shown])
    loci, extra, *_ = propose(rows, REFERENCE)
    assert sizes(loci)["segments"] == 4
    texts = {
        int(rows.start[row]): segment_text(loci, rows, extra, k)
        for k, row in enumerate(loci.segment_read)
        if rows.query_end[row] - rows.query_begin[row] == 50
        and not (rows.event_row == row).any()
    }
    assert texts[100][:16] == whole[98:114]
    # Room for the insertion is kept on the right: 20 bases are left on the left.
    first = int(loci.segment_start[0])
    assert first == 99 - (RULE.segment_rows - 1 - 14) // 2
    assert texts[70] == whole[first:120]
    start = loci.segment_start[loci.segment_read.tolist().index(3)]
    assert rows.start[3] == 100 and start == 100 - 16


def test_only_loci_anchored_in_the_window_and_shifted_coordinates():
    reads = [with_deletion(REFERENCE, at, 2, at - 25, 50) for at in (60, 60, 120, 120)]
    rows = make_rows(reads)
    loci, *_ = propose(rows, REFERENCE, start=100, end=150)
    assert sizes(loci)["loci"] == 1
    assert loci.allele_position[0, 1] == 119 - 100
    again, *_ = propose(rows, REFERENCE, start=100, end=150, window_origin=90)
    assert again.allele_position[0, 1] == 119 - 90
    assert again.window_start[0] == loci.window_start[0] + 10
    assert (again.segment_start == loci.segment_start + 10).all()
    whole, *_ = propose(rows, REFERENCE)
    assert sizes(whole)["loci"] == 2


def test_long_events_and_unknown_reference_are_counted():
    added = np.random.default_rng(1).integers(0, 4, 60).tolist()
    reads = [with_insertion(REFERENCE, 100, added, s, 120) for s in (70, 71)]
    *_, info = propose(make_rows(reads), REFERENCE)
    assert info["long_events"] == 2
    reference = REFERENCE.copy()
    reads = [with_deletion(reference, 100, 2, s, 50) for s in (80, 81)]
    reference[104:110] = 4
    loci, *_ = propose(make_rows(reads), reference)
    assert loci.window_start[0] + loci.haplotype_length[0, 0] == 104
    reference[99:103] = 4
    loci, *_, info = propose(make_rows(reads), reference)
    assert sizes(loci)["loci"] == 0 and info["refused_loci"] == 1


def test_sites_beside_a_locus_bring_their_reads():
    reads = [with_deletion(REFERENCE, 100, 2, s, 50) for s in (80, 81)]
    # This read is over the site at 112 and not over the deletion.
    reads.append(plain(REFERENCE, 106, 50))
    rows = make_rows(reads)
    loci, *_ = propose(rows, REFERENCE, sites=[30, 112, 121, 140])
    assert loci.near_site.tolist() == [1, 2]
    assert loci.near_locus.tolist() == [0, 0]
    assert sizes(loci)["segments"] == 3
    assert loci.near_pair_near.tolist() == [0, 0, 0, 1, 1, 1]
    assert loci.near_pair_segment.tolist() == [0, 1, 2, 0, 1, 2]
    without, *_ = propose(rows, REFERENCE)
    assert sizes(without)["segments"] == 2


def test_inserted_bases_are_extra_and_the_others_columns():
    reads = [with_insertion(REFERENCE, 100, [3, 3], s, 50) for s in (80, 81)]
    rows = make_rows(reads)
    loci, extra, *_ = propose(rows, REFERENCE)
    own = loci.segment_source < -1
    assert own.sum() == len(extra) == 4
    assert sorted(-2 - loci.segment_source[own]) == [0, 1, 2, 3]
    columns = loci.segment_source[0][loci.segment_source[0] >= 0]
    assert columns.tolist() == list(range(len(columns)))


def test_segments_are_thinned_evenly_and_counted():
    reads = [with_deletion(REFERENCE, 100, 2, 70 + k, 50) for k in range(20)]
    rule = RULE._replace(max_segments=5)
    loci, *_, info = propose(make_rows(reads), REFERENCE, rule=rule)
    assert sizes(loci)["segments"] == 5 and info["dropped_segments"] == 15
    assert np.diff(loci.segment_read).tolist() == [4, 4, 4, 4]


def test_padding_to_capacities():
    reads = [with_deletion(REFERENCE, 100, 2, s, 50) for s in (80, 81)]
    loci, *_ = propose(make_rows(reads), REFERENCE)
    wanted = {"loci": 3, "segments": 5, "pairs": 8, "near": 1, "near_pairs": 2}
    padded = pad_loci(loci, wanted)
    assert sizes(padded) == wanted
    assert padded.mask.tolist() == [True, False, False]
    assert padded.segment_mask.sum() == 2 and padded.pair_mask.sum() == 4
    assert (padded.haplotypes[1:] == 7).all()
    assert (padded.segment_source[2:] == -1).all()
    with pytest.raises(ValueError, match="capacity of segments"):
        pad_loci(loci, wanted | {"segments": 1})
    with pytest.raises(ValueError, match="capacity of near"):
        pad_loci(loci, {k: v for k, v in wanted.items() if k != "near"})
    none = pad_loci(empty_loci(80, 56), wanted)
    for name in vars(padded):
        assert getattr(none, name).shape == getattr(padded, name).shape
        assert getattr(none, name).dtype == getattr(padded, name).dtype


def test_no_reads_and_no_indels():
    rows = make_rows([plain(REFERENCE, 20, 50)])
    for given in (rows, rows.take(np.zeros(1, bool))):
        loci, extra, qualities, _ = propose(given, REFERENCE, sites=[30])
        assert sizes(loci) == sizes(empty_loci())
        assert len(extra) == len(qualities) == 0
        assert loci.segment_source.shape == (0, RULE.segment_rows)


def test_the_rule_is_checked():
    rows = make_rows([plain(REFERENCE, 20, 50)])
    with pytest.raises(ValueError, match="max_alleles"):
        propose_loci(
            rows,
            REFERENCE,
            0,
            0,
            200,
            site_positions=np.zeros(0, np.int64),
            rule=RULE._replace(max_alleles=4),
        )
