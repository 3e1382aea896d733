"""BED files: intervals of a genome, by contig."""

import gzip
import os
import zlib

import numpy as np

from diffbio_eqx.data.intervals import Intervals
from diffbio_eqx.io._errors import need_file

_SKIPPED = (b"#", b"track", b"browser")


def read_bed(path: str | os.PathLike) -> dict[str, Intervals]:
    """Merged, sorted intervals of each contig, in order of first appearance.

    The first three columns (contig, start, end; 0-based half-open) are used; lines
    that begin with `#`, `track` or `browser`, and blank lines, are skipped. Files
    that end in `.gz` or are compressed by gzip or bgzip are unpacked.

    **Raises** `ValueError` as `file:line: ...` for a line with fewer than three
    columns, a coordinate that is no number, or an end before its start.
    """
    text = need_file(path, "BED file")
    with open(text, "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(
                f"BED file {text!r} is truncated or damaged. Copy it again."
            ) from error
    found: dict[bytes, tuple[list[int], list[int]]] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip() or line.startswith(_SKIPPED):
            continue
        columns = line.split(b"\t") if b"\t" in line else line.split()
        try:
            contig, start, end = columns[0], int(columns[1]), int(columns[2])
        except (IndexError, ValueError) as error:
            raise _bad_line(text, number, line) from error
        if not 0 <= start <= end:
            raise _bad_line(text, number, line)
        starts, ends = found.setdefault(contig, ([], []))
        starts.append(start)
        ends.append(end)
    return {
        contig.decode("utf-8", "replace"): Intervals.of(
            np.array(starts, np.int64), np.array(ends, np.int64)
        )
        for contig, (starts, ends) in found.items()
    }


def _bad_line(path, number, line):
    shown = line[:60].decode("utf-8", "replace").rstrip("\r")
    return ValueError(
        f"{path}:{number}: expected contig, start and end with 0 <= start <= end, "
        f"separated by tabs, got {shown!r}."
    )
