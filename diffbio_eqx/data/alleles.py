"""Alleles in one spelling: trimmed, left-aligned, one alternative at a time."""

from collections.abc import Callable
from typing import NamedTuple

from diffbio_eqx.data.variant_records import VariantRecord

Fetch = Callable[[str, int, int], str]
_STEP = 64


class Allele(NamedTuple):
    """One alternative allele: where it is, what it replaces, in how many copies."""

    contig: str
    position: int
    ref: str
    alt: str
    copies: int

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What two spellings of the same allele share once normalised."""
        return self.contig, self.position, self.ref, self.alt


def is_sequence(allele: str) -> bool:
    """Whether an allele is written out in bases (not `*`, `<*>`, `.` or a breakend)."""
    return allele.isalpha()


def trim_alleles(
    position: int, ref: str, alts: tuple[str, ...], *, keep: int = 1
) -> tuple[int, str, tuple[str, ...]]:
    """Cut off what all alleles share: the suffix first, then the prefix.

    Each allele keeps at least `keep` bases: 1 as in a VCF, 0 for the bare change. The
    position moves by the prefix. Alleles must be written out in bases.
    """
    alleles = (ref, *alts)
    room = min(map(len, alleles)) - keep
    suffix = 0
    while suffix < room and len({a[-1 - suffix] for a in alleles}) == 1:
        suffix += 1
    room -= suffix
    prefix = 0
    while prefix < room and len({a[prefix] for a in alleles}) == 1:
        prefix += 1
    cut = [a[prefix : len(a) - suffix] for a in alleles]
    return position + prefix, cut[0], tuple(cut[1:])


def normalise_alleles(
    contig: str, position: int, ref: str, alts: tuple[str, ...], fetch: Fetch
) -> tuple[int, str, tuple[str, ...]]:
    """Trim and left-align the alleles of one record, as `bcftools norm`.

    While all alleles end in the same base it is removed, and where one becomes empty
    the reference base to the left is put in front of all; then the shared prefix goes.
    `fetch(contig, start, end)` gives reference bases. Records with an allele that is
    not written in bases are returned as they are, as is one without a change.

    **Reference:** Tan, Abecasis, Kang 2015, doi:10.1093/bioinformatics/btv112
    """
    alleles = [a.upper() for a in (ref, *alts)]
    if len(set(alleles)) < 2 or not all(map(is_sequence, alleles)):
        return position, alleles[0], tuple(alleles[1:])
    position, first, rest = trim_alleles(position, alleles[0], tuple(alleles[1:]))
    alleles = [first, *rest]
    if len({a[-1] for a in alleles}) == 1:
        position, alleles = _shift_left(contig, position, alleles, fetch)
    return trim_alleles(position, alleles[0], tuple(alleles[1:]))


def _shift_left(contig, position, alleles, fetch):
    left, left_start = "", position
    while len({a[-1] for a in alleles}) == 1:
        alleles = [a[:-1] for a in alleles]
        if all(alleles):
            continue
        if position == 0:
            # nothing lies to the left: the base after the change is the anchor
            end = len(alleles[0])
            after = fetch(contig, end, end + 1).upper()
            return 0, [a + after for a in alleles]
        if position == left_start:
            left_start = max(0, position - _STEP)
            left = fetch(contig, left_start, position).upper()
        position -= 1
        alleles = [left[position - left_start] + a for a in alleles]
    return position, alleles


def split_record(record: VariantRecord, fetch: Fetch | None = None) -> list[Allele]:
    """The called alternative alleles of a record, one by one, with their copies.

    Missing copies, reference copies and alleles not written in bases (`*`, `<*>`) are
    left out; a record without genotype gives each alternative with 0 copies. With
    `fetch` each allele is normalised on its own, else only trimmed.
    """
    result = []
    for index, alt in enumerate(record.alts, start=1):
        copies = record.genotype.count(index)
        if (record.genotype and not copies) or not is_sequence(alt):
            continue
        ref, upper = record.ref.upper(), alt.upper()
        if fetch is None:
            place, short, rest = trim_alleles(record.position, ref, (upper,))
        else:
            place, short, rest = normalise_alleles(
                record.contig, record.position, ref, (upper,), fetch
            )
        result.append(Allele(record.contig, place, short, rest[0], copies))
    return result
