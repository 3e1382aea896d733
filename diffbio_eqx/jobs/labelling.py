"""True genotypes for the candidates of a window, and an account of what is lost."""

import collections
import dataclasses
from collections.abc import Iterable

import numpy as np

from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.alleles import is_sequence, split_record
from diffbio_eqx.data.call_labels import CallLabels
from diffbio_eqx.data.intervals import Intervals
from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io.fasta import Fasta
from diffbio_eqx.jobs.calling_windows import WindowSample

NEAR_INDEL = 40
_CODES = {"A": 0, "C": 1, "G": 2, "T": 3}
_NO_CALL = "without a whole genotype"
_SYMBOL = "with alleles that are not written in bases"
_UNSEEN = "that no read shows (or too few)"
_OUTSIDE = "outside the confident regions"
_OTHER = "changes of several bases (neither a substitution nor a plain indel)"
_CROWDED = "at a locus with more alleles than it can hold"


@dataclasses.dataclass
class LabelAudit:
    """How many true variants became labels, and why the others did not."""

    represented: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )
    lost: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    sites: int = 0
    loci: int = 0

    def __str__(self) -> str:
        kept = self.represented
        total = sum(kept.values()) + sum(self.lost.values())
        lines = [
            f"{total} true alleles: {kept['substitution']} substitutions and "
            f"{kept['indel']} indels can be learned from, among {self.sites} labelled "
            f"sites and {self.loci} labelled indel loci"
        ]
        lines += [f"  left out: {n} {why}" for why, n in self.lost.most_common()]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class TruthSet:
    """Normalised true alleles of one contig, by position.

    `substitutions`: {position: {code: copies}}; `indels`: {(position of the base
    before, ref, alt): copies}; `blurred`: positions near an indel, where a
    substitution is not a label of its own.
    """

    substitutions: dict[int, dict[int, int]]
    indels: dict[tuple[int, str, str], int]
    blurred: np.ndarray


def truth_sets(
    records: Iterable[VariantRecord],
    fasta: Fasta,
    confident: dict[str, Intervals],
    audit: LabelAudit,
) -> dict[str, TruthSet]:
    """The truth of each contig, split into normalised alleles; losses are audited."""
    fetch = fasta.text
    substitutions = collections.defaultdict(lambda: collections.defaultdict(dict))
    indels = collections.defaultdict(collections.Counter)
    for record in records:
        inside = confident.get(record.contig, Intervals.of([], []))
        if not inside.contains(np.array([record.position]))[0]:
            audit.lost[_OUTSIDE] += 1
            continue
        if not record.genotype or None in record.genotype:
            audit.lost[_NO_CALL] += 1
            continue
        if not all(is_sequence(alt) for alt in (record.ref, *record.alts)):
            audit.lost[_SYMBOL] += 1
            continue
        for allele in split_record(record, fetch):
            if len(allele.ref) == len(allele.alt) == 1:
                here = substitutions[record.contig][allele.position]
                here[_CODES[allele.alt]] = allele.copies
            elif len(allele.ref) == 1 or len(allele.alt) == 1:
                key = (allele.position, allele.ref, allele.alt)
                indels[record.contig][key] += allele.copies
            else:
                audit.lost[_OTHER] += 1
    return {
        contig: TruthSet(
            dict(substitutions[contig]),
            dict(indels[contig]),
            np.sort(np.array([key[0] for key in indels[contig]], np.int64)),
        )
        for contig in set(substitutions) | set(indels) | set(confident)
    }


def label_window(
    part: WindowSample, truth: TruthSet, confident: Intervals, audit: LabelAudit
) -> CallLabels:
    """Labels of the candidates of one window.

    A candidate is labelled if it is confident. Sites within 40 bases of a true indel
    are not: what they show may be the indel. A locus is not labelled if a true indel
    lies over it that none of its haplotypes spells.
    """
    sites, site_found = _site_labels(part, truth, confident)
    loci, locus_found, crowded = _locus_labels(part, truth, confident)
    audit.represented["substitution"] += site_found
    audit.represented["indel"] += locus_found
    audit.lost[_CROWDED] += crowded
    inside = lambda p: part.start <= p < part.end
    audit.lost[_UNSEEN] += (
        sum(len(a) for p, a in truth.substitutions.items() if inside(p)) - site_found
    )
    within = sum(inside(p) for p, _, _ in truth.indels)
    audit.lost[_UNSEEN] += within - locus_found - crowded
    audit.sites += int(sites[1].sum())
    audit.loci += int(loci[1].sum())
    audit.lost = +audit.lost
    return CallLabels(*sites, *loci, _position_labels(part, truth, confident))


def _position_labels(part: WindowSample, truth: TruthSet, confident: Intervals):
    reference = part.sample.reference.astype(np.int64)
    position = part.origin + np.arange(len(reference))
    genotype = reference * (reference + 3) // 2
    inside = (position >= part.start) & (position < part.end) & (reference < 4)
    usable = inside & confident.contains(position) & ~_near(truth.blurred, position)
    for at, alleles in truth.substitutions.items():
        if part.start <= at < part.end:
            own = int(reference[at - part.origin])
            genotype[at - part.origin] = _genotype(alleles, own)
    return np.where(usable, genotype, -1).astype(np.int8)


def _genotype(alleles: dict[int, int], reference: int) -> int:
    """Index of the genotype with these copies, the rest being the reference."""
    called = [code for code, copies in alleles.items() for _ in range(copies)]
    low, high = sorted((called + [reference] * 2)[:2])
    return high * (high + 1) // 2 + low


def _near(blurred: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Whether a true indel lies within `NEAR_INDEL` of each position."""
    after = np.searchsorted(blurred, position + NEAR_INDEL, "right")
    return after > np.searchsorted(blurred, position - NEAR_INDEL)


def _site_labels(part: WindowSample, truth: TruthSet, confident: Intervals):
    sample: AlignedReads = part.sample
    mask = np.asarray(sample.sites.mask)
    position = np.asarray(sample.sites.position).astype(np.int64) + part.origin
    reference = np.minimum(sample.reference[sample.sites.position], 3).astype(np.int64)
    genotype = reference * (reference + 3) // 2
    found = 0
    for site in np.flatnonzero(mask).tolist():
        alleles = truth.substitutions.get(int(position[site]))
        if alleles:
            genotype[site] = _genotype(alleles, int(reference[site]))
            found += len(alleles)
    usable = mask & confident.contains(position) & ~_near(truth.blurred, position)
    return (genotype.astype(np.int32), usable), found


def _locus_labels(part: WindowSample, truth: TruthSet, confident: Intervals):
    sample: AlignedReads = part.sample
    loci = sample.loci
    count = len(loci.mask)
    genotype, usable = np.zeros(count, np.int32), np.zeros(count, bool)
    found = crowded = 0
    for locus in np.flatnonzero(part.owned).tolist():
        spelled = _locus_alleles(part, locus)
        copies = {a: truth.indels.get(key, 0) for a, key in spelled.items()}
        called = [a for a, n in copies.items() for _ in range(n)]
        first = min(key[0] for key in spelled.values())
        last = max(key[0] + len(key[1]) for key in spelled.values())
        low = np.searchsorted(truth.blurred, first)
        over = int(np.searchsorted(truth.blurred, last) - low)
        told = sum(1 for n in copies.values() if n)
        found += told
        crowded += max(over - told, 0) if over > told else 0
        low, high = sorted(([0, 0] + called)[-2:])
        genotype[locus] = high * (high + 1) // 2 + low
        whole = confident.contains(np.array([first, last - 1])).all()
        usable[locus] = whole and over <= told and len(called) <= 2
    return (genotype, usable), found, crowded


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
