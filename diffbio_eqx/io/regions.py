"""Regions of a genome written as text: `chr20`, `chr20:1,000-2,000`."""

import re
from collections.abc import Mapping

from diffbio_eqx.io._errors import unknown_contig

_RANGE = re.compile(r"^([0-9][0-9,]*)(?:(-)([0-9][0-9,]*)?)?$")


def parse_region(
    text: str, lengths: Mapping[str, int], *, where: str = "the reads"
) -> tuple[str, int, int]:
    """`(contig, start, end)`, 0-based half-open, of a region written as samtools does.

    `chr:a-b` is 1-based with both ends in; `chr:a` and `chr:a-` go on to the contig's
    end, `chr` is the whole contig; thousands may have commas. Contig names that hold
    a colon are tried whole first. An end beyond the contig is cut back to it.

    **Raises** `ValueError` for an unknown contig (naming the likely one in `where`),
    or a range that is empty, reversed or beyond the contig.
    """
    if text in lengths:
        return text, 0, lengths[text]
    contig, colon, span = text.rpartition(":")
    found = _RANGE.match(span.strip()) if colon else None
    if found is None:
        if colon and contig in lengths:
            raise ValueError(f"region must look like {contig}:1000-2000, got {text!r}.")
        raise unknown_contig(text, lengths, where)
    if contig not in lengths:
        raise unknown_contig(contig, lengths, where)
    length = lengths[contig]
    first = int(found[1].replace(",", ""))
    last = int(found[3].replace(",", "")) if found[3] else length
    if first < 1 or last < first or first > length:
        raise ValueError(
            f"region {text!r} must lie in {contig}:1-{length} (1-based, first <= last)."
        )
    return contig, first - 1, min(last, length)
