"""True genotypes for the candidates of a window, and an account of what is lost."""

import collections
import dataclasses
from collections.abc import Iterable

import numpy as np

from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.alleles import Fetch, split_record
from diffbio_eqx.data.call_labels import CallLabels
from diffbio_eqx.data.intervals import Intervals
from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io.fasta import Fasta
from diffbio_eqx.jobs import label_audit as why
from diffbio_eqx.jobs.calling_windows import WindowSample
from diffbio_eqx.jobs.label_audit import LabelAudit

NEAR_INDEL = 40
_BASES = "ACGT"


@dataclasses.dataclass(frozen=True)
class TruthSet:
    """Normalised true alleles of one contig, by position.

    `substitutions`: {position: {code: copies}}, in order; `indels`: {(position of the
    base before, ref, alt): copies}. `blurred` holds the starts and the ends, each
    sorted, of all that is true and no substitution: the indels, and what cannot be
    labelled. `unknown` is the latter alone.
    """

    contig: str
    substitutions: dict[int, dict[int, int]]
    indels: dict[tuple[int, str, str], int]
    blurred: tuple[np.ndarray, np.ndarray]
    unknown: tuple[np.ndarray, np.ndarray]


def truth_sets(
    records: Iterable[VariantRecord],
    fasta: Fasta,
    confident: dict[str, Intervals],
    audit: LabelAudit,
) -> dict[str, TruthSet]:
    """The truth of each contig, split into normalised alleles; losses are audited.

    A genotype of one copy counts as two, for the reads show nothing else.
    """
    substitutions = collections.defaultdict(lambda: collections.defaultdict(dict))
    indels = collections.defaultdict(dict)
    unknown = collections.defaultdict(list)
    for record in records:
        contig = record.contig
        inside = confident.get(contig, Intervals.of([], []))
        reason, alleles = _alleles(record, fasta.text, inside)
        if reason:
            if set(record.genotype) != {0}:
                lost = len({*record.genotype} - {0, None}) or len(record.alts)
                audit.left_out[reason] += lost
                if reason != why.OUTSIDE or not _is_substitution(record):
                    unknown[contig].append((record.position, record.end))
            continue
        fold = 2 if len(record.genotype) == 1 else 1
        for allele in alleles:
            key, copies = allele.key, allele.copies * fold
            place = (allele.position, allele.ref, allele.alt)
            single = len(allele.ref) == len(allele.alt) == 1
            if not single and not _is_plain_indel(allele):
                audit.left_out[why.OTHER] += 1
                start, stop = allele.position, allele.position + len(allele.ref)
                unknown[contig].append((start, stop))
                continue
            audit.left_out[why.TWICE] += key in audit.fate
            audit.fate[key] = why.UNSEEN
            if single:
                here, name = substitutions[contig][allele.position], _code(allele.alt)
            else:
                here, name = indels[contig], place
            here[name] = min(here.get(name, 0) + copies, 2)
    audit.left_out = +audit.left_out
    return {
        contig: _truth_set(
            contig, substitutions[contig], indels[contig], unknown[contig]
        )
        for contig in set(substitutions) | set(indels) | set(confident)
    }


def _alleles(record: VariantRecord, fetch: Fetch, inside: Intervals):
    """Why a record cannot be used (None if it can), and its alleles."""
    if not inside.contains(np.array([record.position]))[0]:
        return why.OUTSIDE, []
    if len(record.genotype) not in (1, 2) or None in record.genotype:
        return why.NO_CALL, []
    called = {*record.genotype} - {0}
    texts = [record.ref, *(record.alts[index - 1] for index in called)]
    if not all(set(text.upper()) <= set(_BASES) for text in texts):
        return why.SYMBOL, []
    return None, split_record(record, fetch)


def _is_substitution(record: VariantRecord) -> bool:
    return all(len(text) == 1 for text in (record.ref, *record.alts))


def _is_plain_indel(allele) -> bool:
    shorter = min(len(allele.ref), len(allele.alt))
    return shorter == 1 and allele.ref[0] == allele.alt[0]


def _code(base: str) -> int:
    return _BASES.index(base)


def _truth_set(contig, substitutions, indels, unknown) -> TruthSet:
    ranges = [(at, at + len(ref)) for at, ref, _ in indels]
    return TruthSet(
        contig,
        dict(sorted(substitutions.items())),
        dict(indels),
        _borders(ranges + unknown),
        _borders(unknown),
    )


def _borders(ranges: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    both = np.array(ranges, np.int64).reshape(-1, 2)
    return np.sort(both[:, 0]), np.sort(both[:, 1])


def _over(borders, first, last):
    """How many of the ranges with these borders share a base with `[first, last)`."""
    start, end = borders
    begun = np.searchsorted(start, last)
    return begun - np.searchsorted(end, first, "right")


def _near(truth: TruthSet, position: np.ndarray) -> np.ndarray:
    """Whether something unlike a substitution lies within `NEAR_INDEL` bases."""
    low, high = position - NEAR_INDEL, position + NEAR_INDEL + 1
    return _over(truth.blurred, low, high) > 0


def label_window(
    part: WindowSample, truth: TruthSet, confident: Intervals, audit: LabelAudit
) -> CallLabels:
    """Labels of the candidates of one window.

    A candidate is labelled if it is confident. Sites within 40 bases of a true indel,
    or of an allele that is left out, are not: what they show may be that. A locus is
    not labelled if something true lies over it that none of its haplotypes spells.
    """
    sites = _site_labels(part, truth, confident, audit)
    loci = _locus_labels(part, truth, confident, audit)
    audit.sites += int(sites[1].sum())
    audit.loci += int(loci[1].sum())
    return CallLabels(*sites, *loci, _position_labels(part, truth, confident))


def _position_labels(part: WindowSample, truth: TruthSet, confident: Intervals):
    reference = part.sample.reference.astype(np.int64)
    position = part.origin + np.arange(len(reference))
    genotype = reference * (reference + 3) // 2
    inside = (position >= part.start) & (position < part.end) & (reference < 4)
    usable = inside & confident.contains(position) & ~_near(truth, position)
    for index in np.flatnonzero(np.isin(position, list(truth.substitutions))).tolist():
        alleles = truth.substitutions[part.origin + index]
        genotype[index] = _genotype(alleles, int(reference[index]))
    return np.where(usable, genotype, -1).astype(np.int8)


def _genotype(alleles: dict[int, int], reference: int) -> int:
    """Index of the genotype with these copies, the rest being the reference."""
    called = [code for code, copies in alleles.items() for _ in range(copies)]
    low, high = sorted((called + [reference] * 2)[:2])
    return high * (high + 1) // 2 + low


def _site_labels(part, truth: TruthSet, confident: Intervals, audit: LabelAudit):
    sample: AlignedReads = part.sample
    mask = np.asarray(sample.sites.mask)
    position = np.asarray(sample.sites.position).astype(np.int64) + part.origin
    reference = np.minimum(sample.reference[sample.sites.position], 3).astype(np.int64)
    genotype = reference * (reference + 3) // 2
    usable = mask & confident.contains(position) & ~_near(truth, position)
    for site in np.flatnonzero(mask).tolist():
        at, own = int(position[site]), int(reference[site])
        alleles = truth.substitutions.get(at, {})
        if alleles:
            genotype[site] = _genotype(alleles, own)
        for code in alleles:
            key = (truth.contig, at, _BASES[own], _BASES[code])
            audit.fate[key] = why.KINDS[0] if usable[site] else why.NEAR
    return genotype.astype(np.int32), usable


def _locus_labels(part, truth: TruthSet, confident: Intervals, audit: LabelAudit):
    count = len(part.sample.loci.mask)
    genotype, usable = np.zeros(count, np.int32), np.zeros(count, bool)
    for locus in np.flatnonzero(part.owned).tolist():
        spelled = _locus_alleles(part, locus)
        copies = {a: truth.indels.get(key, 0) for a, key in spelled.items()}
        told = [spelled[a] for a, n in copies.items() if n]
        called = [a for a, n in copies.items() for _ in range(n)]
        first = min(key[0] for key in spelled.values())
        last = max(key[0] + len(key[1]) for key in spelled.values())
        over = _over(truth.blurred, first, last)
        low, high = sorted(([0, 0] + called)[-2:])
        genotype[locus] = high * (high + 1) // 2 + low
        whole = confident.contains_ranges(np.array([first]), np.array([last]))[0]
        full = over <= len(told) and len(called) <= 2
        usable[locus] = whole and full
        fate = why.KINDS[1] if whole and full else why.EDGE if full else why.CROWDED
        audit.fate |= {(truth.contig, *key): fate for key in told}
        if over > len(told):
            _note_crowded(truth, first, last, audit)
    return (genotype, usable)


def _note_crowded(truth: TruthSet, first: int, last: int, audit: LabelAudit) -> None:
    """True indels over a locus that is not theirs are crowded, not unseen."""
    for at, ref, alt in truth.indels:
        key = (truth.contig, at, ref, alt)
        here = at < last and at + len(ref) > first
        if here and audit.fate[key] == why.UNSEEN:
            audit.fate[key] = why.CROWDED


def _locus_alleles(part: WindowSample, locus: int) -> dict[int, tuple[int, str, str]]:
    """(position, ref, alt) of each alternative of a locus, contig coordinates."""
    sample, loci = part.sample, part.sample.loci
    letters = "ACGTNNNN"
    text = lambda codes: "".join(letters[code] for code in codes.tolist())
    alleles = {}
    for allele in np.flatnonzero(loci.allele_mask[locus][1:]) + 1:
        anchor = int(loci.allele_position[locus, allele])
        size = int(loci.allele_length[locus, allele])
        ref = text(sample.reference[anchor : anchor + 1 + max(-size, 0)])
        column = anchor + 1 - int(loci.window_start[locus])
        added = loci.haplotypes[locus, allele, column : column + max(size, 0)]
        key = (anchor + part.origin, ref, ref[0] + text(added))
        alleles[int(allele)] = key
    return alleles
