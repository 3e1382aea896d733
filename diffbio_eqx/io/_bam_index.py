"""Where in a BAM file a region begins, from its .bai or .csi index."""

import gzip
import os
import struct

import numpy as np


def index_path(path: str, *, kinds: tuple[str, ...]) -> str | None:
    """The index beside `path` (`reads.bam.bai` or `reads.bai`), if there is one."""
    stem = os.path.splitext(path)[0]
    for kind in kinds:
        for candidate in (path + kind, stem + kind):
            if os.path.exists(candidate):
                return candidate
    return None


def region_offset(index: str, contig: int, start: int) -> int | None:
    """Virtual file offset before the first read that may overlap `start` on `contig`.

    None if the index holds no read of the contig at or after it. Raises `ValueError`
    where the file is no index.
    """
    with open(index, "rb") as file:
        data = file.read()
    try:
        if data[:4] == b"BAI\1":
            return _from_bai(data, contig, start)
        data = gzip.decompress(data)
        if data[:4] == b"CSI\1":
            return _from_csi(data, contig, start)
    except (struct.error, gzip.BadGzipFile, EOFError, ValueError) as error:
        raise _damaged(index) from error
    raise _damaged(index)


def _damaged(index):
    return ValueError(
        f"the index {index!r} is damaged or no BAM index. Make it anew with "
        "'samtools index' on the reads."
    )


def _from_bai(data, contig, start):
    (contigs,) = struct.unpack_from("<i", data, 4)
    at = 8
    for number in range(contigs):
        (bins,) = struct.unpack_from("<i", data, at)
        at += 4
        first = None
        for _ in range(bins):
            bin_number, chunks = struct.unpack_from("<Ii", data, at)
            if number == contig and chunks and bin_number != 37450:
                (begin,) = struct.unpack_from("<Q", data, at + 8)
                first = begin if first is None else min(first, begin)
            at += 8 + 16 * chunks
        (windows,) = struct.unpack_from("<i", data, at)
        at += 4
        if number == contig:
            if first is None:
                return None
            linear = np.frombuffer(data, "<u8", windows, at)
            # Windows of 16 kb hold the first read that overlaps them (0: none does).
            past = linear[min(start >> 14, windows) :]
            # An unset window lies in a gap: the next set one is the place to begin.
            past = past[past > 0]
            return int(past[0]) if len(past) else None
        at += 8 * windows
    return None


def _from_csi(data, contig, start):
    shift, depth, extra = struct.unpack_from("<iii", data, 4)
    (contigs,) = struct.unpack_from("<i", data, 16 + extra)
    at = 20 + extra
    meta = ((1 << (3 * depth + 3)) - 1) // 7 + 1
    for number in range(contigs):
        (bins,) = struct.unpack_from("<i", data, at)
        at += 4
        found = {}
        for _ in range(bins):
            bin_number, loffset, chunks = struct.unpack_from("<IQi", data, at)
            at += 16 + 16 * chunks
            if bin_number != meta:
                found[bin_number] = loffset
        if number != contig:
            continue
        if not found:
            return None
        # The smallest bin over `start` that exists, else its parents, else the first.
        bin_number = ((1 << (3 * depth)) - 1) // 7 + (start >> shift)
        while bin_number not in found and bin_number > 0:
            bin_number = (bin_number - 1) >> 3
        return found.get(bin_number, min(found.values()))
    return None
