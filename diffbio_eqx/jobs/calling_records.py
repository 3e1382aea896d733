"""From the genotypes of a window to the records of a VCF."""

import dataclasses

import numpy as np

from diffbio_eqx.data.variant_calls import GenotypeCalls, VariantCalls
from diffbio_eqx.data.variant_records import (
    VariantRecord,
    genotype_quality,
    phred_likelihoods,
    variant_quality,
)
from diffbio_eqx.jobs.calling_windows import WindowSample
from diffbio_eqx.operators.variants.genotype_likelihood import GENOTYPES

LETTERS = np.array(list("ACGTN"))


@dataclasses.dataclass(frozen=True)
class RecordRule:
    """Which calls become records, and how they are labelled.

    Every genotype other than homozygous reference is written, unless an alternative
    allele has less than `min_allele_fraction` of the depth. Records of QUAL below
    `low_quality` get the label LowQual instead of PASS. `ploidy` 1 writes haploid
    genotypes.
    """

    ploidy: int = 2
    low_quality: float = 3.0
    min_allele_fraction: float = 0.0


def window_records(
    part: WindowSample, calls: VariantCalls, rule: RecordRule = RecordRule()
) -> list[VariantRecord]:
    """The variant records of one window, in order of position.

    The window's sample and `calls` hold NumPy arrays.
    """
    contig, origin, sample = part.contig, part.origin, part.sample
    records = []
    for site in _called(calls.substitutions, calls.substitutions.mask):
        records.append(_substitution(contig, origin, calls.substitutions, site, rule))
    for locus in _called(calls.indels, part.owned):
        records.append(_indel(contig, origin, sample, calls.indels, locus, rule))
    kept = [record for record in records if record is not None]
    return sorted(kept, key=lambda record: (record.position, record.ref, record.alts))


def _called(calls: GenotypeCalls, mask: np.ndarray) -> list[int]:
    genotype = calls.log_posterior.argmax(-1)
    homozygous = calls.reference * (calls.reference + 3) // 2
    return np.flatnonzero(mask & (genotype != homozygous)).tolist()


def _substitution(contig, origin, calls, site, rule):
    reference = int(calls.reference[site])
    alleles = _alleles(calls, site, reference)
    return _record(
        contig,
        origin + int(calls.position[site]),
        str(LETTERS[reference]),
        tuple(str(LETTERS[allele]) for allele in alleles[1:]),
        calls,
        site,
        alleles,
        rule,
    )


def _indel(contig, origin, sample, calls, locus, rule):
    alleles = _alleles(calls, locus, 0)
    loci = sample.loci
    position = loci.allele_position[locus]
    length = loci.allele_length[locus]
    first = int(min(position[a] for a in alleles[1:]))
    last = int(max(position[a] + 1 + max(0, -length[a]) for a in alleles[1:]))
    spelled = []
    for allele in alleles:
        if allele == 0:
            codes = sample.reference[first:last]
        else:
            anchor, size = int(position[allele]), int(length[allele])
            column = anchor + 1 - int(loci.window_start[locus])
            inserted = loci.haplotypes[locus, allele, column : column + max(size, 0)]
            codes = np.concatenate(
                [
                    sample.reference[first : anchor + 1],
                    inserted,
                    sample.reference[anchor + 1 + max(-size, 0) : last],
                ]
            )
        spelled.append("".join(LETTERS[np.minimum(codes, 4)]))
    ref, *alts = spelled
    return _record(
        contig, origin + first, ref, tuple(alts), calls, locus, alleles, rule
    )


def _alleles(calls: GenotypeCalls, site: int, reference: int) -> list[int]:
    """The reference and the alternatives of the called genotype."""
    called = GENOTYPES[calls.log_posterior[site].argmax()]
    return [reference, *sorted({int(a) for a in called} - {reference})]


def _record(contig, position, ref, alts, calls, site, alleles, rule):
    """A record over `alleles` (indices of the calls' four), GT and QUAL from GP."""
    n = len(alleles)
    if rule.ploidy == 1:
        pairs = [(i, i) for i in range(n)]
    else:
        pairs = [(i, j) for j in range(n) for i in range(j + 1)]
    slots = [_slot(alleles[i], alleles[j]) for i, j in pairs]
    posterior = calls.log_posterior[site, slots].astype(np.float64)
    gp = np.exp(posterior - posterior.max())
    gp /= gp.sum()
    best = int(gp.argmax())
    depth = calls.allele_depth[site]
    total = max(float(depth.sum()), 1e-9)
    share = depth[alleles[1:]] / total
    if (share < rule.min_allele_fraction).any():
        return None
    quality = float(variant_quality(gp))
    return VariantRecord(
        contig=contig,
        position=position,
        ref=ref,
        alts=alts,
        qual=round(quality, 2),
        filters=("LowQual",) if quality < rule.low_quality else ("PASS",),
        genotype=pairs[best][: rule.ploidy],
        gq=int(genotype_quality(gp)),
        dp=int(round(float(depth.sum()))),
        ad=tuple(int(round(float(depth[a]))) for a in alleles),
        pl=tuple(phred_likelihoods(calls.log_likelihood[site, slots]).tolist()),
        gp=tuple(gp.tolist()),
        info={"DP": int(round(float(depth.sum())))},
    )


def _slot(a: int, b: int) -> int:
    low, high = min(a, b), max(a, b)
    return high * (high + 1) // 2 + low
