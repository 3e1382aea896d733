"""Labels of candidates from a truth set, and the account of what is lost."""

import dataclasses

import numpy as np
import pytest

from diffbio_eqx.data.intervals import Intervals
from diffbio_eqx.data.variant_records import VariantRecord, genotypes
from diffbio_eqx.jobs import label_audit as why
from diffbio_eqx.jobs.label_audit import LabelAudit

PAIRS = genotypes(4)
START, END = 1000, 7000


@pytest.fixture(scope="module")
def window(simulation):
    """One window of the simulation, its FASTA, and all true records."""
    from diffbio_eqx.io.bam import AlignmentFile
    from diffbio_eqx.io.fasta import Fasta
    from diffbio_eqx.io.vcf_reader import read_vcf
    from diffbio_eqx.jobs.calling_windows import HALO, window_sample

    fasta = Fasta(simulation.reference)
    source = AlignmentFile(simulation.reads, reference=simulation.reference)
    (part,) = source.windows("chr1", START, END, size=END - START, halo=HALO)
    length = END - START + 2 * HALO
    sample = window_sample(fasta, length, "chr1", START, END, part.rows)
    return sample, fasta, tuple(read_vcf(simulation.truth))


@pytest.fixture(scope="module")
def label(window):
    """`label(records)`: labels and audit under the given truth."""
    from diffbio_eqx.jobs.labelling import label_window, truth_sets

    def work(records, inside=(START, END)):
        part, fasta, _ = window
        confident = {"chr1": Intervals.of([inside[0]], [inside[1]])}
        audit = LabelAudit()
        truth = truth_sets(records, fasta, confident, audit)["chr1"]
        return label_window(part, truth, confident["chr1"], audit), audit

    return work


@pytest.fixture(scope="module")
def labelled(window, label):
    """Labels and audit under the whole truth."""
    return label(window[2])


def total(audit):
    return sum(audit.represented.values()) + sum(audit.lost.values())


def alleles(records):
    """How many alternative alleles these records call."""
    return sum(len({*record.genotype} - {0, None}) for record in records)


def is_indel(record):
    return any(len(alt) != len(record.ref) for alt in record.alts)


def site_positions(part):
    return part.sample.sites.position.astype(int) + part.origin


def lonely(window, *, far=60):
    """True substitutions at candidate sites, with nothing else true near them."""
    part, _, records = window
    sites = set(site_positions(part).tolist())
    positions = np.array([r.position for r in records])
    return [
        r
        for r in records
        if not is_indel(r)
        and r.position in sites
        and START + far < r.position < END - far
        and (np.abs(positions - r.position) <= far).sum() == 1
    ]


def swapped(records, old, *new):
    return [r for r in records if r is not old] + list(new)


def site_label(window, labels, position):
    """The label of a site as two bases, None if it has none."""
    part = window[0]
    index = site_positions(part).tolist().index(position)
    if not labels.site_mask[index]:
        return None
    return "".join("ACGT"[a] for a in PAIRS[labels.site_genotype[index]])


def test_sites_are_labelled_with_the_bases_of_the_two_haplotypes(
    window, labelled, genome
):
    part, (labels, _) = window[0], labelled
    lookup = [
        dict(zip(h.to_reference[~h.inserted], h.bases[~h.inserted], strict=True))
        for h in genome.haplotypes
    ]
    positions = site_positions(part)
    checked = variants = 0
    for index in np.flatnonzero(labels.site_mask):
        at = int(positions[index])
        expected = tuple(sorted(int(copy[at]) for copy in lookup))
        assert PAIRS[labels.site_genotype[index]] == expected
        checked += 1
        variants += expected != (genome.reference[at],) * 2
    assert checked >= variants > 10
    inside = np.flatnonzero(labels.genotype >= 0)
    assert len(inside) > 2000
    for index in inside.tolist():
        at = index + part.origin
        expected = tuple(sorted(int(copy[at]) for copy in lookup))
        assert PAIRS[labels.genotype[index]] == expected


def test_loci_are_labelled_with_alleles_that_the_haplotypes_spell(
    window, labelled, genome
):
    part, (labels, _) = window[0], labelled
    loci = part.sample.loci
    copies = ["".join(map(str, h.bases.tolist())) for h in genome.haplotypes]
    seen = 0
    for locus in np.flatnonzero(labels.locus_mask):
        low = int(loci.window_start[locus]) + part.origin
        high = low + int(loci.haplotype_length[locus, 0])
        pair = PAIRS[labels.locus_genotype[locus]]
        around = sum(low <= r.position < high for r in window[2])
        if around > (pair != (0, 0)):
            continue  # its haplotypes hold another variant besides
        sizes = [int(loci.haplotype_length[locus, a]) for a in pair]
        text = [
            "".join(map(str, loci.haplotypes[locus, a, :n].tolist()))
            for a, n in zip(pair, sizes, strict=True)
        ]
        straight = text[0] in copies[0] and text[1] in copies[1]
        crossed = text[0] in copies[1] and text[1] in copies[0]
        assert straight or crossed, locus
        seen += pair != (0, 0)
    assert seen >= 1


def test_every_true_allele_is_represented_or_lost(window, labelled):
    labels, audit = labelled
    records = window[2]
    assert total(audit) == alleles(records)
    outside = [r for r in records if not START <= r.position < END]
    assert audit.lost[why.OUTSIDE] == alleles(outside) > 0
    assert min(audit.represented[kind] for kind in why.KINDS) >= 2
    assert (audit.sites, audit.loci) == (
        labels.site_mask.sum(),
        labels.locus_mask.sum(),
    )
    reference = window[0].sample.reference[window[0].sample.sites.position]
    own = [PAIRS.index((int(b), int(b))) for b in reference]
    called = [
        len({*PAIRS[g]} - {int(b)})
        for g, b, k in zip(
            labels.site_genotype, reference, labels.site_mask, strict=True
        )
        if k
    ]
    assert sum(called) == audit.represented["substitution"]
    assert (labels.site_genotype != own)[labels.site_mask].sum() > 0
    told = [len({*PAIRS[g]} - {0}) for g in labels.locus_genotype[labels.locus_mask]]
    assert sum(told) == audit.represented["indel"]
    text = str(audit)
    assert text.startswith(f"{alleles(records)} true alleles: ")
    assert f"left out: {audit.lost[why.OUTSIDE]} outside the confident" in text


def test_sites_near_a_true_indel_are_not_labelled(window, labelled):
    part, (labels, _) = window[0], labelled
    spans = [(r.position, r.end) for r in window[2] if is_indel(r)]
    near = lambda p: any(a - 40 <= p < b + 40 for a, b in spans)
    positions = site_positions(part)
    inside = (positions >= START) & (positions < END)
    expected = np.array([not near(p) for p in positions]) & inside
    # Left-alignment may move an indel by a few bases, so the border is left open.
    differ = positions[expected != labels.site_mask]
    ends = np.array(spans).reshape(-1)
    assert all(np.abs(np.abs(ends - p) - 40).min() <= 12 for p in differ)
    assert expected.sum() > 10 and (~expected).sum() > 5
    at = np.arange(len(labels.genotype)) + part.origin
    assert (labels.genotype[(at < START) | (at >= END)] == -1).all()
    anchors = [p for p, _ in spans if START <= p < END]
    assert (labels.genotype[np.array(anchors) - part.origin] == -1).all()


def test_a_heterozygote_of_two_alternatives(window, label):
    record = lonely(window)[0]
    ref = record.ref
    other = [base for base in "ACGT" if base != ref][:2]
    both = dataclasses.replace(record, alts=tuple(other), genotype=(1, 2))
    labels, audit = label(swapped(window[2], record, both))
    assert site_label(window, labels, record.position) == "".join(sorted(other))
    assert total(audit) == alleles(swapped(window[2], record, both))
    # The same as two records of one position.
    apart = [
        dataclasses.replace(record, alts=(base,), genotype=(0, 1)) for base in other
    ]
    again, _ = label(swapped(window[2], record, *apart))
    assert site_label(window, again, record.position) == "".join(sorted(other))


def test_one_copy_counts_as_two_and_a_record_twice_is_told(window, label):
    record = lonely(window)[0]
    alt = record.alts[0]
    records = swapped(window[2], record, dataclasses.replace(record, genotype=(1,)))
    labels, audit = label(records)
    assert site_label(window, labels, record.position) == alt * 2
    assert audit.lost[why.TWICE] == 0
    halves = [dataclasses.replace(record, genotype=g) for g in ((0, 1), (1, 0))]
    labels, audit = label(swapped(window[2], record, *halves))
    assert site_label(window, labels, record.position) == alt * 2
    assert audit.lost[why.TWICE] == 1
    assert total(audit) == alleles(window[2]) + 1


LOST = {
    "several bases": (why.OTHER, {"mnp": True}),
    "missing genotype": (why.NO_CALL, {"genotype": (None, None)}),
    "half a genotype": (why.NO_CALL, {"genotype": (None, 1)}),
    "no genotype": (why.NO_CALL, {"genotype": ()}),
    "three copies": (why.NO_CALL, {"genotype": (0, 0, 1)}),
    "symbol": (why.SYMBOL, {"alts": ("<INS>",)}),
    "unknown base": (why.SYMBOL, {"alts": ("N",)}),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_has_a_reason_and_labels_nothing_near_it(window, label, name):
    reason, fields = LOST[name]
    record = lonely(window)[1]
    if "mnp" in fields:
        following = window[1].text("chr1", record.position + 1, record.position + 2)
        ref = record.ref + following
        alt = record.alts[0] + next(b for b in "ACGT" if b != following)
        fields = {"ref": ref, "alts": (alt,)}
    changed = dataclasses.replace(record, **fields)
    before = label(window[2])[1]
    labels, audit = label(swapped(window[2], record, changed))
    assert audit.lost[reason] == before.lost[reason] + 1
    assert audit.represented["substitution"] < before.represented["substitution"] + 1
    assert total(audit) == total(before)
    assert site_label(window, labels, record.position) is None
    place = record.position - window[0].origin
    assert (labels.genotype[place - 40 : place + 41] == -1).all()
    assert (labels.genotype[[place - 50, place + 50]] >= 0).all()


def test_reference_records_are_no_loss(window, label):
    record = lonely(window)[0]
    plain = dataclasses.replace(record, genotype=(0, 0))
    labels, audit = label(swapped(window[2], record, plain))
    assert total(audit) == alleles(window[2]) - 1
    assert site_label(window, labels, record.position) == record.ref * 2


def test_outside_the_confident_regions(window, label):
    first, second = lonely(window)[:2]
    border = (first.position + second.position) // 2
    labels, audit = label(window[2], inside=(border, END))
    assert site_label(window, labels, first.position) is None
    assert site_label(window, labels, second.position) is not None
    left = [r for r in window[2] if not border <= r.position < END]
    assert audit.lost[why.OUTSIDE] == alleles(left)
    assert total(audit) == alleles(window[2])


def test_alleles_that_no_read_shows(window, label):
    part, _, records = window
    taken = np.append([r.position for r in records], site_positions(part))
    free = next(p for p in range(START + 100, END) if np.abs(taken - p).min() > 45)
    ref = window[1].text("chr1", free, free + 1)
    alt = next(b for b in "ACGT" if b != ref)
    extra = VariantRecord("chr1", free, ref, (alt,), genotype=(0, 1))
    before = label(records)[1]
    labels, audit = label([*records, extra])
    assert audit.lost[why.UNSEEN] == before.lost[why.UNSEEN] + 1
    # Nothing is proposed there; the position is labelled all the same.
    pair = PAIRS[labels.genotype[free - part.origin]]
    assert {*pair} == {"ACGT".index(ref), "ACGT".index(alt)}


def shifted_right(record, text):
    """An indel of one alternative spelled further right, if it can be."""
    ref, alt, at, moved = record.ref, record.alts[0], record.position, 0
    longer = max(ref, alt, key=len)
    while longer[1] == text[at + len(ref)]:
        longer = longer[1:] + longer[1]
        at, moved = at + 1, moved + 1
        ref, alt = (longer, longer[0]) if len(ref) > 1 else (longer[0], longer)
    return dataclasses.replace(record, position=at, ref=ref, alts=(alt,)), moved


def padded(record, text):
    """An allele spelled with two more bases on the right."""
    more = text[record.end : record.end + 2]
    alts = tuple(alt + more for alt in record.alts)
    return dataclasses.replace(record, ref=record.ref + more, alts=alts)


def test_indels_in_another_spelling_are_found(window, labelled, label):
    text = window[1].text("chr1", 0, window[1].lengths["chr1"])
    moved, other = 0, []
    for record in window[2]:
        if is_indel(record) and len(record.alts) == 1:
            record, steps = shifted_right(record, text)
            moved += steps > 0 and START < record.position < END
        other.append(padded(record, text) if is_indel(record) else record)
    assert moved >= 2
    labels, audit = label(other)
    expected, first = labelled
    assert audit.represented == first.represented
    assert np.array_equal(labels.locus_genotype, expected.locus_genotype)
    assert np.array_equal(labels.locus_mask, expected.locus_mask)
    assert np.array_equal(labels.site_mask, expected.site_mask)


def test_a_locus_under_a_true_indel_that_it_does_not_spell(window, labelled, label):
    part, (labels, audit) = window[0], labelled
    loci = part.sample.loci
    locus = next(
        k
        for k in np.flatnonzero(labels.locus_mask)
        if labels.locus_genotype[k] and loci.allele_mask[k].sum() == 2
    )
    anchor = int(loci.allele_position[locus, 1]) + part.origin
    base = window[1].text("chr1", anchor, anchor + 1)
    foreign = VariantRecord(
        "chr1", anchor, base, (base + "ACGTTGCAACGG",), genotype=(0, 1)
    )
    again, other = label([*window[2], foreign])
    assert not again.locus_mask[locus]
    assert other.lost[why.CROWDED] == audit.lost[why.CROWDED] + 2
    assert other.represented["indel"] == audit.represented["indel"] - 1
    assert total(other) == total(audit) + 1


def test_a_locus_that_reaches_out_of_the_confident_regions(window, labelled, label):
    part, (labels, _) = window[0], labelled
    loci = part.sample.loci
    locus = next(
        k
        for k in np.flatnonzero(labels.locus_mask)
        if labels.locus_genotype[k] and loci.allele_length[k].min() < -1
    )
    anchor = int(loci.allele_position[locus].min()) + part.origin
    again, audit = label(window[2], inside=(START, anchor + 2))
    assert not again.locus_mask[locus]
    assert audit.lost[why.EDGE] >= 1
    assert total(audit) == alleles(window[2])
