"""From the genotypes of a window to the records of a VCF."""

import dataclasses

import numpy as np

from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.variant_calls import GenotypeCalls, VariantCalls
from diffbio_eqx.data.variant_records import (
    VariantRecord,
    genotype_quality,
    genotypes,
    phred_likelihoods,
    variant_quality,
)
from diffbio_eqx.jobs.calling_windows import WindowSample
from diffbio_eqx.operators.variants.genotype_likelihood import GENOTYPES

LETTERS = "ACGTN"


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
    records = []
    kinds = (
        (calls.substitutions, calls.substitutions.mask, _spell_substitution),
        (calls.indels, part.owned, _spell_indel),
    )
    for table, mask, spell in kinds:
        for site, alleles, numbers in _numbers(table, _called(table, mask), rule):
            offset, ref, alts = spell(part.sample, table, site, alleles)
            position = part.origin + offset
            records.append(VariantRecord(part.contig, position, ref, alts, **numbers))
    return sorted(records, key=lambda r: (r.position, r.ref, r.alts))


def _called(calls: GenotypeCalls, mask: np.ndarray) -> np.ndarray:
    genotype = calls.log_posterior.argmax(-1)
    homozygous = calls.reference * (calls.reference + 3) // 2
    return np.flatnonzero(mask & (genotype != homozygous))


def _numbers(calls: GenotypeCalls, sites: np.ndarray, rule: RecordRule):
    """For each site its alleles (indices of the calls' four) and its record's numbers.

    The alleles are the reference and the alternatives of the called genotype; GT, GQ
    and QUAL come from GP. Sites with a rare alternative are left out.
    """
    reference = calls.reference[sites].astype(np.int64)
    called = GENOTYPES[calls.log_posterior[sites].argmax(-1)]
    first, second = called.min(1), called.max(1)
    two = (first != reference) & (second != reference) & (first != second)
    other = np.where(second != reference, second, first)
    groups = ((~two, (reference, other)), (two, (reference, first, second)))
    for group, columns in groups:
        if group.any():
            alleles = np.stack(columns, 1)[group]
            yield from _of_alleles(calls, sites[group], alleles, rule)


def _of_alleles(calls: GenotypeCalls, sites, alleles, rule: RecordRule):
    pairs = [(*g, *g)[:2] for g in genotypes(alleles.shape[1], rule.ploidy)]
    a, b = (alleles[:, side] for side in np.transpose(pairs))
    high = np.maximum(a, b)
    slots = high * (high + 1) // 2 + np.minimum(a, b)
    pick = lambda table: np.take_along_axis(table[sites].astype(np.float64), slots, 1)
    posterior = pick(calls.log_posterior)
    gp = np.exp(posterior - posterior.max(1, keepdims=True))
    gp /= gp.sum(1, keepdims=True)
    depth = calls.allele_depth[sites].astype(np.float64)
    total = depth.sum(1)
    depth = np.take_along_axis(depth, alleles, 1)
    share = depth[:, 1:] / np.maximum(total, 1e-9)[:, None]
    common = (share >= rule.min_allele_fraction).all(1)
    columns = (
        sites,
        alleles,
        common,
        variant_quality(gp),
        gp.argmax(1),
        genotype_quality(gp),
        np.rint(total).astype(np.int64),
        np.rint(depth).astype(np.int64),
        phred_likelihoods(pick(calls.log_likelihood)),
        gp,
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for site, chosen, kept, quality, best, gq, dp, ad, pl, posteriors in rows:
        if not kept:
            continue
        numbers = {
            "qual": round(quality, 2),
            "filters": ("LowQual",) if quality < rule.low_quality else ("PASS",),
            "genotype": pairs[best][: rule.ploidy],
            "gq": gq,
            "dp": dp,
            "ad": tuple(ad),
            "pl": tuple(pl),
            "gp": tuple(posteriors),
            "info": {"DP": dp},
        }
        yield site, chosen, numbers


def _spell_substitution(sample: AlignedReads, calls: GenotypeCalls, site, alleles):
    """Window position, REF and ALTs."""
    ref, *alts = (LETTERS[allele] for allele in alleles)
    return int(calls.position[site]), ref, tuple(alts)


def _spell_indel(sample: AlignedReads, calls: GenotypeCalls, locus, alleles):
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
        spelled.append("".join(LETTERS[code] for code in np.minimum(codes, 4).tolist()))
    ref, *alts = spelled
    return first, ref, tuple(alts)
