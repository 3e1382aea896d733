"""Counts of hand-made cases, invariance to spelling, and a peer on real genotypes."""

import dataclasses
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_eqx.data.alleles import normalise_alleles
from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io.vcf import read_vcf
from diffbio_eqx.metrics import ClassCounts, score_variants, wilson_interval

REFERENCE = "GATTACAACACACAGGTCCCCCATGTTGACCATAGCATTTACGGATACCAGATTACAGGCA" * 3
HET, HOM = (0, 1), (1, 1)


def fetch(contig, start, end):
    return REFERENCE[start:end]


def record(position, ref, alts, genotype, **fields):
    assert REFERENCE[position : position + len(ref)] == ref
    alts = (alts,) if isinstance(alts, str) else alts
    return VariantRecord("c", position, ref, alts, genotype=genotype, **fields)


def score(truth, calls, **kwargs):
    return score_variants(truth, calls, fetch, **kwargs)


def counts(truth, calls, kind="all", **kwargs):
    c = getattr(score(truth, calls, **kwargs), kind)
    return c.tp_truth, c.tp_call, c.fp, c.fn


SNP = record(10, "C", "T", HET)
DELETION = record(6, "AAC", "A", HET)


def test_truth_against_itself_and_against_nothing():
    truth = [DELETION, record(16, "T", "A", HOM), record(28, "A", ("AT", "G"), (1, 2))]
    perfect = score(truth, truth)
    assert perfect.snp == ClassCounts(1, 1, 0, 0)
    assert perfect.indel == ClassCounts(2, 2, 0, 0)
    assert perfect.all.f1 == 1.0
    nothing = score(truth, [])
    assert nothing.indel == ClassCounts(0, 0, 0, 2) and nothing.indel.f1 == 0.0
    assert [kind for kind, _ in nothing.false_negatives] == ["indel", "snp", "indel"]
    assert score([], truth).all == ClassCounts(0, 0, 3, 0)


def test_a_wrong_genotype_is_one_fp_and_one_fn_and_right_as_allele():
    calls = [record(10, "C", "T", HOM)]
    assert counts([SNP], calls) == (0, 0, 1, 1)
    assert counts([SNP], calls, mode="allele") == (1, 1, 0, 0)
    assert score([SNP], calls).false_positives == [("snp", calls[0])]


def test_a_wrong_allele_is_wrong_in_both_modes():
    calls = [record(10, "C", "G", HET)]
    assert counts([SNP], calls) == (0, 0, 1, 1)
    assert counts([SNP], calls, mode="allele") == (0, 0, 1, 1)


def test_an_equivalent_deletion_in_a_repeat_matches():
    assert counts([DELETION], [record(11, "ACA", "A", HET)]) == (1, 1, 0, 0)
    assert counts([DELETION], [record(8, "CAC", "C", HET)]) == (1, 1, 0, 0)
    assert counts([DELETION], [record(11, "AC", "A", HET)]) == (0, 0, 1, 1)


def test_two_snps_against_an_mnp():
    two = [record(14, "G", "C", HET), record(15, "G", "T", HET)]
    mnp = [record(14, "GG", "CT", HET)]
    assert counts(two, mnp, "snp") == counts(mnp, two, "snp") == (2, 2, 0, 0)
    assert counts(two, [record(14, "GG", "CA", HET)]) == (1, 1, 1, 1)


def test_a_complex_change_is_an_indel_and_matches_its_parts():
    whole = [record(14, "GGT", "CT", HOM)]
    parts = [record(14, "G", "C", HOM), record(15, "GT", "T", HOM)]
    found = score(whole, parts)
    assert found.indel == ClassCounts(1, 1, 0, 0)
    assert found.snp == ClassCounts(0, 1, 0, 0)


def test_compound_hets_as_one_record_or_two():
    one = [record(10, "C", ("G", "T"), (1, 2))]
    two = [record(10, "C", "G", HET), record(10, "C", "T", HET)]
    assert counts(one, two, "snp") == counts(two, one, "snp") == (1, 1, 0, 0)
    half = [record(10, "C", "G", HET)]
    assert counts(one, half) == (0, 0, 1, 1)
    assert counts(one, half, mode="allele") == (1, 1, 0, 0)
    one = [record(17, "CCC", ("C", "CC"), (1, 2))]
    two = [record(16, "TCC", "T", HET), record(20, "CC", "C", HET)]
    assert counts(one, two, "indel") == counts(two, one, "indel") == (1, 1, 0, 0)


def test_the_star_allele_is_no_change_of_its_own():
    deletion = record(16, "TCC", "T", HET)
    inside = record(18, "C", ("G", "*"), (1, 2))
    plain = record(18, "C", "G", HET)
    assert counts([deletion, inside], [deletion, plain]) == (2, 2, 0, 0)
    lone = record(18, "C", "*", HET)
    assert score([lone], []).truth_skipped == {"no change of its own": 1}


def test_records_without_a_called_change_take_no_part_and_are_counted():
    calls = [
        record(10, "C", "T", (0, 0)),
        record(14, "G", "T", (None, None)),
        record(15, "G", "<DEL>", HET),
        record(16, "T", "A", (0, 1, 1)),
        record(17, "C", "A", HET, filters=("LowQual",)),
        record(23, "T", "A", HET, qual=3.0, filters=("PASS",)),
    ]
    found = score([], calls)
    assert found.all == ClassCounts(fp=1)
    assert found.call_skipped == {
        "reference genotype": 1,
        "no genotype": 1,
        "symbolic allele": 1,
        "more than two copies": 1,
        "filtered": 1,
    }
    assert counts([], calls, all_records=True) == (0, 0, 2, 0)
    low = score([], calls[4:], minimum_quality=10)
    assert low.call_skipped == {"filtered": 1, "low quality": 1}


def test_haploid_and_half_calls():
    assert counts([record(10, "C", "T", HOM)], [record(10, "C", "T", (1,))]) == (
        (1, 1, 0, 0)
    )
    assert counts([SNP], [record(10, "C", "T", (None, 1))]) == (1, 1, 0, 0)


def test_a_duplicate_call_is_not_two_true_ones():
    assert counts([SNP], [SNP, SNP])[:2] != (1, 2)
    hom = record(10, "C", "T", HOM)
    assert counts([hom], [hom, hom]) == (1, 1, 1, 0)


def test_lower_case_is_the_same():
    lower = VariantRecord("c", 10, "c", ("t",), genotype=HET)
    assert counts([SNP], [lower]) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([(0, 180)], (1, 1, 0, 0)),
        ([(6, 9)], (1, 1, 0, 0)),
        ([(6, 8), (8, 9)], (1, 1, 0, 0)),
        ([(7, 9)], (0, 0, 0, 0)),
        ([(6, 8)], (0, 0, 0, 0)),
        ([(9, 30)], (0, 0, 0, 0)),
        ([], (0, 0, 0, 0)),
    ],
)
def test_the_left_aligned_record_must_lie_inside_the_regions(regions, expected):
    regions = {"c": np.array(regions, np.int64).reshape(-1, 2)}
    shifted = record(11, "ACA", "A", HET)
    assert counts([DELETION], [shifted], regions=regions) == expected
    assert counts([DELETION], [], regions=regions) == (0, 0, 0, expected[0])
    assert counts([], [shifted], regions=regions) == (0, 0, expected[0], 0)


def test_what_matches_across_the_border_is_counted_on_the_inside_only():
    whole = [record(22, "ATG", "GT", HOM)]
    parts = [record(22, "A", "G", HOM), record(23, "TG", "T", HOM)]
    left = {"c": np.array([[0, 23]])}
    # truth reaches outside: the SNP inside is true, but no counted truth stands for it
    assert counts(whole, parts, regions=left) == (0, 0, 0, 0)
    assert counts(parts, whole, regions=left) == (1, 0, 0, 0)
    assert counts([SNP], [SNP], regions={"other": np.array([[0, 99]])}) == (0, 0, 0, 0)


def test_contigs_do_not_mix():
    other = dataclasses.replace(SNP, contig="d")
    assert counts([SNP], [other]) == (0, 0, 1, 1)
    assert counts([SNP, other], [SNP, other]) == (2, 2, 0, 0)


def test_dense_clusters_are_reported():
    rows = [record(p, REFERENCE[p], "N", HET) for p in range(1, 20)]
    found = score(rows, rows[:-1], state_limit=1)
    assert found.exact_clusters == 1 and found.exact_units == 37
    assert found.snp == ClassCounts(18, 18, 0, 1)
    assert "1 dense clusters" in found.table()


def test_numbers_intervals_and_table():
    c = ClassCounts(tp_truth=90, tp_call=95, fp=5, fn=10)
    assert c.precision == 0.95 and c.recall == 0.9 and c.errors == 15
    assert c.f1 == pytest.approx(2 * 0.95 * 0.9 / 1.85)
    low, high = c.f1_interval()
    assert low < c.f1 < high and 0.85 < low < high < 0.97
    assert c.recall_interval() == wilson_interval(90, 100)
    assert c.precision_interval(confidence=0.5)[0] > c.precision_interval()[0]
    lines = score([SNP], [SNP, DELETION]).table("mine").splitlines()
    assert lines[1].split()[:7] == ["mine", "genotype", "snp", "1", "1", "0", "0"]
    assert lines[2].split()[:7] == ["mine", "genotype", "indel", "0", "0", "1", "0"]
    assert len(set(map(len, lines))) == 1


def test_wilson_interval_of_known_numbers():
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(0, 10)[0] == 0.0 and wilson_interval(10, 10)[1] == 1.0
    with pytest.raises(ValueError, match="between 0 and trials, got 3 of 2"):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, confidence=95)


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode"):
        score([], [], mode="exact")


def variant_set(seed):
    """Variants of a random repetitive contig that do not overlap, some close."""
    random = np.random.default_rng(seed)
    text = "".join(random.choice(list("AC"), 300))
    records, position = [], 5
    while position < 280 and len(records) < 12:
        size = int(random.integers(0, 4))
        ref = text[position : position + 1 + size]
        inserted = ref[0] + str(random.choice(["G", "A", "CA", "TT"]))
        alts = (ref[0],) if size else (inserted if random.random() < 0.5 else "T",)
        genotype = (HET, HOM, (1, 0))[random.integers(3)]
        if size and random.random() < 0.5:
            alts, genotype = (ref[0], inserted + ref[1:]), (1, 2)
        records.append(VariantRecord("c", position, ref, alts, genotype=genotype))
        position += len(ref) + int(random.integers(0, 40))
    return text, records


def _respell(text, record, choice):
    """The same change otherwise: normalised alone, split, padded on either side."""
    here = lambda contig, start, end: text[start:end]
    if choice == "split":
        return [
            VariantRecord("c", record.position, record.ref, (alt,), genotype=genotype)
            for i, alt in enumerate(record.alts, 1)
            for genotype in [tuple(int(a == i) for a in record.genotype)]
        ]
    position, ref, alts = record.position, record.ref, record.alts
    if choice == "pad left":
        position, extra = position - 2, text[position - 2 : position]
        ref, alts = extra + ref, tuple(extra + a for a in alts)
    if choice == "pad right":
        extra = text[record.end : record.end + 3]
        ref, alts = ref + extra, tuple(a + extra for a in alts)
    if choice == "trim":
        position, ref, alts = normalise_alleles("c", position, ref, alts, here)
        if position != record.position:  # moved: may pass a neighbour, keep it
            return [record]
    return [VariantRecord("c", position, ref, alts, genotype=record.genotype)]


SEEDS = st.integers(0, 10_000)
CHOICES = ["same", "split", "pad left", "pad right", "trim"]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.lists(st.sampled_from(CHOICES), min_size=12, max_size=12))
def test_spelling_does_not_change_the_score(seed, choices):
    text, truth = variant_set(seed)
    here = lambda contig, start, end: text[start:end]
    pairs = zip(truth, choices, strict=False)
    calls = [new for r, choice in pairs for new in _respell(text, r, choice)]
    calls.sort(key=lambda r: r.position)
    for mode in ("genotype", "allele"):
        itself = score_variants(truth, truth, here, mode=mode)
        assert itself.all.errors == 0
        assert itself.all.tp_truth == itself.all.tp_call
    forth = score_variants(truth, calls, here)
    back = score_variants(calls, truth, here)
    assert forth.all.errors == back.all.errors == 0
    assert forth.snp.tp_truth == itself.snp.tp_truth
    assert forth.indel.tp_truth == itself.indel.tp_truth


@settings(max_examples=25, deadline=None, derandomize=True)
@given(SEEDS, st.integers(0, 11), st.sampled_from(CHOICES[:4]))
def test_a_lost_variant_costs_what_it_costs_in_any_spelling(seed, lost, choice):
    text, truth = variant_set(seed)
    here = lambda contig, start, end: text[start:end]
    lost = min(lost, len(truth) - 1)
    plain = truth[:lost] + truth[lost + 1 :]
    spelled = [new for r in plain for new in _respell(text, r, choice)]
    spelled.sort(key=lambda r: r.position)
    expected = score_variants(truth, plain, here)
    found = score_variants(truth, spelled, here)
    assert expected.all.fn >= 1 and found.all.fn == expected.all.fn
    assert found.all.tp_truth == expected.all.tp_truth


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is absent")
def test_bcftools_on_simulated_reads_scores_as_vcfeval_says(data_root, tmp_path):
    """RTG vcfeval 3.12.1 gave SNP 677/10/35 and indel 105/4/7 with bcftools 1.16."""
    import pysam

    folder = data_root / "data" / "genomics"
    reference = folder / "reference-grch38-chr20-21-10Mb/grch38.chr20_and_21_10M.fa.gz"
    example = folder / "simulated-example"
    command = (
        f"bcftools mpileup -d 1000 -q 1 -f {reference} {example}/sim10.bam"
        f" | bcftools call -mv | bcftools norm -f {reference}"
        f" -Oz -o {tmp_path}/b.vcf.gz"
    )
    subprocess.run(command, shell=True, check=True, capture_output=True)
    truth = read_vcf(example / "sim.truth.vcf.gz")
    calls = read_vcf(tmp_path / "b.vcf.gz")
    regions = {"chr20": np.array([[1_000_300, 1_599_700]])}
    with pysam.FastaFile(str(reference)) as fasta:
        found = score_variants(truth, calls, fasta.fetch, regions=regions)
        alleles = score_variants(
            truth, calls, fasta.fetch, regions=regions, mode="allele"
        )
    near = lambda *expected: pytest.approx(expected, abs=2)
    assert (found.snp.tp_truth, found.snp.fp, found.snp.fn) == near(677, 10, 35)
    assert (found.indel.tp_truth, found.indel.fp, found.indel.fn) == near(105, 4, 7)
    assert alleles.indel.f1 == pytest.approx(0.986, abs=0.01)
