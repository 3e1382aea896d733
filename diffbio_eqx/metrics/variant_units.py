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
    the same variant. `kind` is `snp` for one base against one base, else `indel`.
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
        """Left-aligned interval; of an insertion the two bases beside it."""
        changes = [c for c in self.key if c is not None]
        begins = [c.start - (c.start == c.end) for c in changes]
        ends = [c.end + (c.start == c.end) for c in changes]
        return max(0, min(begins)), max(ends)


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

    A record's called alleles are taken one at a time and trimmed. One of several
    bases for as many (MNP) becomes SNPs at the bases that differ. Other replacements
    (complex) stay whole and are indels. Equal changes of one copy each are one change
    of two copies; different ones of one copy each, of one kind at one left-aligned
    start, are one unit (a 1/2 genotype, also where it was written as two records). A
    haploid genotype counts as two equal copies, a missing copy as reference, and `*`
    and `<*>` as no change of their own.
    """
    skipped: Counter = Counter()
    parts: dict[str, dict] = {}
    for record in records:
        found = _changes_of(record, skipped)
        changes = parts.setdefault(record.contig, {})
        for change, copies in found.items():
            _add(
                changes,
                _left_aligned(record.contig, change, fetch),
                change,
                copies,
                record,
            )
    return {name: _join(changes) for name, changes in parts.items()}, skipped


def _add(changes, key, change, copies, record):
    """Add copies of one change; what exceeds two copies is an item of its own."""
    items = changes.setdefault(key, [])
    if items and items[-1][1] + copies <= 2:
        first, count, owner = items[-1]
        items[-1] = (first, count + copies, owner)
    else:
        items.append((change, copies, record))


def _changes_of(record, skipped):
    genotype = record.genotype * 2 if len(record.genotype) == 1 else record.genotype
    if all(a is None for a in genotype):
        skipped["no genotype"] += 1
        return {}
    if len(genotype) > 2:
        skipped["more than two copies"] += 1
        return {}
    alleles = [record.alts[a - 1] for a in genotype if a]
    if not alleles:
        skipped["reference genotype"] += 1
        return {}
    if any(not is_sequence(a) and a not in _DELETED_ELSEWHERE for a in alleles):
        skipped["symbolic allele"] += 1
        return {}
    found: Counter = Counter()
    for allele in filter(is_sequence, alleles):
        found.update(_primitive(record.position, record.ref.upper(), allele.upper()))
    if not found:
        skipped["no change of its own"] += 1
    return found


def _primitive(position, ref, alt):
    start, ref, (alt,) = trim_alleles(position, ref, (alt,), keep=0)
    if len(ref) != len(alt):
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
    """Units of one contig from its changes, in the order of their placement."""
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
    return sorted(units, key=lambda unit: min(c.begin_code for c in unit.changes))
