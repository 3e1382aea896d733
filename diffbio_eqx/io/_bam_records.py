"""Raw BAM records to flat arrays: every field of many records by one gather."""

import struct

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from diffbio_eqx.data.cigar import query_spans, reference_spans
from diffbio_eqx.data.read_records import ReadRecords
from diffbio_eqx.io.read_filters import (
    MATE_UNMAPPED,
    PAIRED,
    PROPER,
    REVERSE,
    UNMAPPED,
    ReadCounts,
    ReadFilters,
    filter_reads,
)

MISSING_QUALITY = 60
"""Phred of a base whose quality is not in the file, as in `bcftools mpileup`, which
limits the 255 that stands for it to its `--max-BQ` of 60."""
HEAD = 36  # bytes of a record before the name
_FIXED = np.dtype(
    [
        ("block", "<i4"), ("contig", "<i4"), ("start", "<i4"), ("name_size", "u1"),
        ("mapping_quality", "u1"), ("bin", "<u2"), ("ops", "<u2"), ("flag", "<u2"),
        ("bases", "<i4"), ("mate_contig", "<i4"), ("mate_start", "<i4"),
        ("template", "<i4"),
    ]
)  # fmt: skip
# BAM nibbles are =ACMGRSVTWYHKDBN; all but A C G T read as N (4).
_NIBBLE = np.full(16, 4, np.uint8)
_NIBBLE[[1, 2, 4, 8]] = [0, 1, 2, 3]
_BYTE = np.arange(256)
_TWO_BASES = (
    (_NIBBLE[_BYTE >> 4] | (_NIBBLE[_BYTE & 15].astype(np.uint16) << 8))
    .astype("<u2")
    .copy()
)
_BLOCK = 8192


def record_offsets(data: bytes, size: int) -> tuple[np.ndarray, int]:
    """Offsets of the whole records in `data[:size]`, and where the rest begins.

    A record's place is known only from the one before it, so this walk is the one
    loop over records: a step is one addition, a tenth of the time of reading.
    """
    unpack = struct.Struct("<i").unpack_from
    offsets, at, last = [], 0, size - 4
    keep = offsets.append
    for _ in range(size // HEAD + 1):  # a damaged size cannot make it endless
        if at > last:
            break
        keep(at)
        at += unpack(data, at)[0] + 4
        if at < 0:
            break
    found = np.array([*offsets, at], np.int64)
    if (np.diff(found) < HEAD).any():
        raise ValueError("a record is shorter than its fixed part")
    if offsets and at > size:
        return found[:-2], offsets[-1]
    return found[:-1], at


def fixed_fields(buffer: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The fixed-size part of each record as a structured array."""
    rows = sliding_window_view(buffer, HEAD)[offsets]
    return rows.view(_FIXED).reshape(-1)


def parse_records(
    buffer: np.ndarray,
    offsets: np.ndarray,
    fixed: np.ndarray,
    filters: ReadFilters,
    begin: int = 0,
) -> tuple[ReadRecords, ReadCounts]:
    """Records of one contig that reach beyond `begin`, filtered, as `ReadRecords`.

    `buffer` uint8 must go on for 64 KiB and the longest read after its last record.
    """
    name_size = fixed["name_size"].astype(np.int64)
    op_count = fixed["ops"].astype(np.int64)
    cigar_at = offsets + HEAD + name_size
    ops, op_lengths = _cigars(buffer, cigar_at, op_count)
    length = fixed["bases"].astype(np.int64)
    sequence_at = cigar_at + 4 * op_count
    op_count, ops, op_lengths = _long_cigars(
        buffer, offsets, fixed, sequence_at, op_count, ops, op_lengths
    )
    if ops.size and ops.max() > 8:
        raise ValueError("a CIGAR operation code is above 8")
    span = reference_spans(op_count, ops, op_lengths)
    reaches = fixed["start"] + np.maximum(span, 1) > begin
    if not reaches.all():
        return parse_records(buffer, offsets[reaches], fixed[reaches], filters)
    keep, counts = filter_reads(
        filters,
        fixed["flag"].astype(np.int64),
        fixed["mapping_quality"].astype(np.int64),
        span > 0,
        length > 0,
    )
    if (query_spans(op_count, ops, op_lengths) != length)[keep].any():
        raise ValueError("a CIGAR does not fit the length of its read")
    op_kept = np.repeat(keep, op_count)
    kept, at = fixed[keep], offsets[keep]
    length, sequence_at = length[keep], sequence_at[keep]
    bases, qualities, query_begin = _queries(buffer, sequence_at, length)
    start = kept["start"].astype(np.int64)
    end = start + span[keep]
    flag = kept["flag"]
    mergeable, opens = _may_overlap(kept, end)
    name_at, name_length = at + HEAD, name_size[keep] - 1
    records = ReadRecords(
        start=start,
        end=end,
        mapping_quality=kept["mapping_quality"].copy(),
        reverse=flag & REVERSE != 0,
        name=_name_keys(buffer, name_at, name_length, mergeable),
        mergeable=mergeable,
        first_keeps=_first_keeps(buffer, name_at, name_length, opens),
        op_count=op_count[keep],
        query_begin=query_begin,
        query_length=length,
        ops=ops[op_kept],
        op_lengths=op_lengths[op_kept],
        query_bases=bases,
        query_qualities=qualities,
    )
    return records, counts


def _cigars(buffer, at, count):
    """Flat operation codes and lengths."""
    before = np.cumsum(count) - count
    index = 4 * np.arange(int(count.sum())) + np.repeat(at - 4 * before, count)
    words = sliding_window_view(buffer, 4)[index].view("<u4").reshape(-1)
    return (words & 15).astype(np.uint8), (words >> 4).astype(np.int64)


def _long_cigars(buffer, offsets, fixed, sequence_at, op_count, ops, lengths):
    """CIGARs of more than 65,535 operations stand in the CG tag (SAM spec. 4.2.2)."""
    opening = np.cumsum(op_count) - op_count
    two = np.flatnonzero(op_count == 2)
    at = opening[two]
    stand_in = (ops[at] == 4) & (ops[at + 1] == 3)
    stand_in &= lengths[at] == fixed["bases"][two]
    long = two[stand_in]
    if not len(long):
        return op_count, ops, lengths
    new_ops, new_lengths = np.split(ops, opening)[1:], np.split(lengths, opening)[1:]
    for read in long.tolist():  # a handful of ultra-long reads at most
        bases = int(fixed["bases"][read])
        tags = sequence_at[read] + (bases + 1) // 2 + bases
        stop = offsets[read] + 4 + fixed["block"][read]
        text = buffer[tags:stop].tobytes()
        found = text.find(b"CGBI")
        if found < 0:
            continue
        (count,) = struct.unpack_from("<i", text, found + 4)
        words = np.frombuffer(text, "<u4", count, found + 8)
        new_ops[read] = (words & 15).astype(np.uint8)
        new_lengths[read] = (words >> 4).astype(np.int64)
    counts = np.array([len(part) for part in new_ops], np.int64)
    return counts, np.concatenate(new_ops), np.concatenate(new_lengths)


def _queries(buffer, sequence_at, length):
    """Flat bases and qualities of the reads, and where each read begins."""
    reads, longest = len(length), int(length.max(initial=0))
    quality_at = sequence_at + (length + 1) // 2
    if int(length.sum()) * 2 < reads * longest:
        return _ragged_queries(buffer, sequence_at, quality_at, length)
    # Reads of about one length: one row each, unused bytes behind the shorter ones.
    stride = longest + longest % 2
    bases = np.empty((reads, stride), np.uint8)
    qualities = np.empty((reads, stride), np.uint8)
    if stride:
        packed = sliding_window_view(buffer, stride // 2)
        plain = sliding_window_view(buffer, stride)
        for low in range(0, reads, _BLOCK):
            part = slice(low, low + _BLOCK)
            bases[part] = _unpacked(packed[sequence_at[part]])
            qualities[part] = plain[quality_at[part]]
        missing = (qualities[:, 0] == 255) & (length > 0)
        if missing.any():
            qualities[missing] = MISSING_QUALITY
    begin = np.arange(reads, dtype=np.int64) * stride
    return bases.reshape(-1), qualities.reshape(-1), begin


def _unpacked(packed):
    """Two base codes for each byte; `clip` spares `take` the check of its indices."""
    return np.take(_TWO_BASES, packed, mode="clip").view(np.uint8)


def _ragged_queries(buffer, sequence_at, quality_at, length):
    size = length + length % 2  # whole bytes of two bases
    before = np.cumsum(size) - size
    total = int(size.sum())
    index = np.arange(total // 2) + np.repeat(sequence_at - before // 2, size // 2)
    bases = _unpacked(buffer[index])
    index = np.arange(total) + np.repeat(quality_at - before, size)
    qualities = buffer[index]
    missing = np.zeros(len(length), bool)
    missing[length > 0] = qualities[before[length > 0]] == 255
    if missing.any():
        qualities[np.repeat(missing, size)] = MISSING_QUALITY
    return bases, qualities, before


def _may_overlap(fixed, end):
    """Reads in a proper pair whose mate may lie over some of the same bases.

    Also those of them that come first: their mate begins inside of them.
    """
    flag = fixed["flag"]
    paired = (flag & (PAIRED | PROPER) == PAIRED | PROPER) & (
        flag & (UNMAPPED | MATE_UNMAPPED) == 0
    )
    mate_contig, mate_start = fixed["mate_contig"], fixed["mate_start"]
    paired &= (mate_contig == fixed["contig"]) | (mate_contig < 0)
    opens = paired & (mate_start >= fixed["start"]) & (mate_start < end)
    closes = paired & (mate_start <= fixed["start"])
    return opens | closes, opens


def _name_keys(buffer, at, length, wanted):
    """A 64-bit key of each wanted name (else 0), eight letters at a time."""
    out = np.zeros(len(at), np.uint64)
    at, length = at[wanted], length[wanted]
    words = -(-int(length.max(initial=1)) // 8)
    names = sliding_window_view(buffer, 8 * words)[at]
    letters = np.arange(8 * words, dtype=np.uint8)
    names[letters >= length.astype(np.uint8)[:, None]] = 0
    names = names.view("<u8")
    key = np.full(len(at), 0x9E3779B97F4A7C15, np.uint64)
    for column in range(words):
        key = (key ^ names[:, column]) * np.uint64(0xFF51AFD7ED558CCD)
        key ^= key >> np.uint64(32)
    out[wanted] = key
    return out


def _first_keeps(buffer, at, length, wanted):
    """Whether the first mate counts the overlap: the coin that htslib throws.

    It is the lowest bit of Wang's integer hash of the 31-multiplier string hash of
    the name, so that the same mate is silenced as in samtools and bcftools.
    """
    out = np.zeros(len(at), bool)
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return out
    length = length[chosen]
    longest = int(length.max())
    letters = sliding_window_view(buffer, longest)[at[chosen]]
    letters = np.ascontiguousarray(letters.T).astype(np.uint32)
    key = letters[0].copy()
    shortest = int(length.min())
    for column in range(1, longest):
        following = key * np.uint32(31) + letters[column]
        if column < shortest:
            key = following
        else:
            key = np.where(column < length, following, key)
    key += ~(key << np.uint32(15))
    key ^= key >> np.uint32(10)
    key += key << np.uint32(3)
    key ^= key >> np.uint32(6)
    key += ~(key << np.uint32(11))
    key ^= key >> np.uint32(16)
    out[chosen] = (key & np.uint32(1)).astype(bool)
    return out
