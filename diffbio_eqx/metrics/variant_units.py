"""Variants as a scorer counts them: the same units however a file spells them."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from diffbio_eqx.data.alleles import (
    Fetch,
    is_sequence,
    normalise_alleles,
    trim_alleles,
)
from diffbio_eqx.data.variant_records import VariantRecord

_CHUNK = 1 << 16
_DELETED_ELSEWHERE = {"*", "<*>", "<NON_REF>", "."}


class Change(NamedTuple):
    """Reference bases [start, end) replaced by `bases`; an insertion has no width."""

    start: int
    end: int
    bases: str

    @property
    def begin_code(self) -> int:
        """Order of changes: an insertion at `p` (2p) comes before base `p` (2p + 1)."""
        return 2 * self.start + (self.start < self.end)

    @property
    def end_code(self) -> int:
        """The smallest `begin_code` of a change that may follow on a haplotype."""
        return 2 * self.end + (self.start == self.end)


@dataclasses.dataclass(frozen=True)
class VariantUnit:
    """What is counted once: one site's one or two alternative alleles.

    `copies` are the changes of the two copies as the record places them (None:
    reference), `key` the left-aligned ones in sorted order: two units of one key are
    the same variant. `kind` is `snp` if single bases are exchanged, else `indel`.
    """

    kind: Literal["snp", "indel"]
    copies: tuple[Change | None, Change | None]
    key: tuple
    record: VariantRecord

    @property
    def changes(self) -> list[Change]:
        """The changes that are present, each once."""
        return list(dict.fromkeys(c for c in self.copies if c is not None))

    @property
    def start(self) -> int:
        """First reference position of any change, as placed."""
        return min(c.start for c in self.changes)

    @property
    def end(self) -> int:
        """One past the last reference position of any change, as placed."""
        return max(c.end for c in self.changes)

    @property
    def span(self) -> tuple[int, int]:
        """Interval of the left-aligned change, the anchor base of an indel with it."""
        changes = [c for c in self.key if c is not None]
        begins = [c.start - (c.start == c.end or not c.bases) for c in changes]
        return max(0, min(begins)), max(c.end for c in changes)


def cached_fetch(fetch: Fetch) -> Fetch:
    """`fetch` in upper case, reading ahead: neighbours cost no second file access."""
    held = ["", 0, ""]

    def cached(contig: str, start: int, end: int) -> str:
        if contig != held[0] or start < held[1] or end > held[1] + len(held[2]):
            first = max(0, start - 1024)
            text = fetch(contig, first, max(end, first + _CHUNK))
            held[:] = contig, first, text.upper()
        return held[2][start - held[1] : end - held[1]]

    return cached


def variant_units(
    records: Iterable[VariantRecord], fetch: Fetch
) -> tuple[dict[str, list[VariantUnit]], Counter]:
    """Units by contig, sorted as placed, and how many records were left out and why.

    Called alleles are trimmed one by one. Where all of a record's are as long as REF
    (MNPs), each base that differs is a SNP. Other records are counted once, as an
    indel, also with two alleles (a 1/2 genotype, be one of them a SNP) and also where
    bases are replaced (complex). Equal changes of one copy each are one change of two
    copies; different ones of one copy each, of one kind and left-aligned start, are
    one unit, so that a 1/2 genotype written as two records is most often one unit as
    well. A haploid genotype counts as two equal copies, a missing copy as reference,
    and `*` and `<*>` as no change of their own.
    """
    skipped: Counter = Counter()
    changes: dict[str, dict] = {}
    units: dict[str, list] = {}
    for record in records:
        whole = units.setdefault(record.contig, [])
        pool = changes.setdefault(record.contig, {})
        aligned = lambda c, name=record.contig: _left_aligned(name, c, fetch)
        alleles = _called_alleles(record, skipped)
        ref = record.ref.upper()
        whole_alleles = any(len(a) != len(ref) for a in alleles)
        found = Counter(
            change
            for allele in alleles
            for change in _changes(record.position, ref, allele, whole=whole_alleles)
        )
        if len(found) == 2 and whole_alleles:
            pair = tuple(found)
            keys = tuple(sorted(map(aligned, pair)))
            whole.append(VariantUnit("indel", pair, keys, record))
            continue
        for change, copies in found.items():
            _add(pool, aligned(change), change, copies, record)
    for name, whole in units.items():
        whole += _join(changes[name])
        whole.sort(key=lambda unit: min(c.begin_code for c in unit.changes))
    return units, skipped


def _add(changes, key, change, copies, record):
    """Add copies of one change; what exceeds two copies is an item of its own."""
    items = changes.setdefault(key, [])
    if items and items[-1][1] + copies <= 2:
        first, count, owner = items[-1]
        items[-1] = (first, count + copies, owner)
    else:
        items.append((change, copies, record))


def _called_alleles(record, skipped) -> list[str]:
    """The alternative allele of each copy that has one, written in bases."""
    genotype = record.genotype * 2 if len(record.genotype) == 1 else record.genotype
    alleles = [record.alts[a - 1].upper() for a in genotype if a]
    reason = None
    if all(a is None for a in genotype):
        reason = "no genotype"
    elif len(genotype) > 2:
        reason = "more than two copies"
    elif not alleles:
        reason = "reference genotype"
    elif any(not is_sequence(a) and a not in _DELETED_ELSEWHERE for a in alleles):
        reason = "symbolic allele"
    elif not any(is_sequence(a) and a != record.ref.upper() for a in alleles):
        reason = "no change of its own"
    if reason:
        skipped[reason] += 1
        return []
    return [a for a in alleles if is_sequence(a)]


def _changes(position, ref, alt, *, whole):
    if ref == alt:
        return []
    start, ref, (alt,) = trim_alleles(position, ref, (alt,), keep=0)
    if whole or len(ref) != len(alt):
        return [Change(start, start + len(ref), alt)]
    pairs = enumerate(zip(ref, alt, strict=True), start)
    return [Change(i, i + 1, b) for i, (a, b) in pairs if a != b]


def _left_aligned(contig, change, fetch):
    start, end, bases = change
    if (start < end) == bool(bases):  # a replacement: nothing to move
        return change
    left = max(0, start - 1)
    anchor = fetch(contig, left, start)
    ref = anchor + fetch(contig, start, end)
    if not anchor:
        return change
    place, ref, (alt,) = normalise_alleles(contig, left, ref, (anchor + bases,), fetch)
    place, ref, (alt,) = trim_alleles(place, ref, (alt,), keep=0)
    return Change(place, place + len(ref), alt)


def _join(changes) -> list[VariantUnit]:
    """Units of one contig from changes that stand alone in their records."""
    units, single = [], {}
    for key, items in changes.items():
        kind = "snp" if key.end - key.start == len(key.bases) == 1 else "indel"
        for change, copies, record in items:
            if copies > 1:
                units.append(VariantUnit(kind, (change,) * 2, (key, key), record))
                continue
            waiting = single.pop((kind, key.start), None)
            if waiting is None:
                single[kind, key.start] = (key, change, record)
                continue
            keys = tuple(sorted((waiting[0], key)))
            pair = VariantUnit(kind, (waiting[1], change), keys, waiting[2])
            units.append(pair)
    for (kind, _), (key, change, record) in single.items():
        units.append(VariantUnit(kind, (change, None), (key, None), record))
    return units
