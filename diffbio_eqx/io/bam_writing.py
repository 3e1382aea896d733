"""Aligned reads of one length as BAM records, byte for byte and without a loop."""

import numpy as np
from jaxtyping import Int, UInt8

from diffbio_eqx._checks import require_range

# 4-bit codes of BAM for A C G T N
_NIBBLE = np.array([1, 2, 4, 8, 15], np.uint8)
_FIXED = 36  # bytes before the name, with the length of the record
_DIGITS = 10


def _bins(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The index bin of each interval (SAM specification, section 5.3)."""
    last = np.maximum(end, start + 1) - 1
    bins = np.zeros(len(start), np.int64)
    for shift, offset in ((26, 1), (23, 9), (20, 73), (17, 585), (14, 4681)):
        same = (start >> shift) == (last >> shift)
        bins = np.where(same, offset + (start >> shift), bins)
    return bins


def _little(value: np.ndarray, size: int) -> np.ndarray:
    """(n, size) bytes of integers, least significant first."""
    whole = np.ascontiguousarray(value, dtype="<i8").view(np.uint8).reshape(-1, 8)
    return whole[:, :size]


def _names(prefix: str, numbers: np.ndarray) -> np.ndarray:
    """(n, bytes) zero-terminated names: `prefix` and ten digits."""
    powers = 10 ** np.arange(_DIGITS - 1, -1, -1)
    digits = (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    head = np.frombuffer(prefix.encode(), np.uint8)
    width = len(head) + _DIGITS + 1
    names = np.zeros((len(numbers), width), np.uint8)
    names[:, : len(head)] = head
    names[:, len(head) : -1] = digits
    return names


def bam_records(
    *,
    bases: UInt8[np.ndarray, "reads cycles"],
    qualities: UInt8[np.ndarray, "reads cycles"],
    start: Int[np.ndarray, " reads"],
    end: Int[np.ndarray, " reads"],
    cigar_operation: UInt8[np.ndarray, " operations"],
    cigar_length: Int[np.ndarray, " operations"],
    cigar_begin: Int[np.ndarray, " reads_and_one"],
    flag: np.ndarray,
    mapping_quality: UInt8[np.ndarray, " reads"],
    mate_start: Int[np.ndarray, " reads"],
    template_length: Int[np.ndarray, " reads"],
    number: Int[np.ndarray, " reads"],
    prefix: str,
    tags: bytes,
) -> bytes:
    """Uncompressed BAM records of reads and mates on the first contig.

    **Arguments:** as in `SimulatedReads`; the name of a read is `prefix` and its
    `number` in ten digits; `tags` are the bytes of the auxiliary fields that every
    record carries. **Returns** the records in the order given (SAM specification
    v1, section 4.2). **Raises** `ValueError` when a name would be too long.
    """
    require_range("length of the name prefix", len(prefix), 1.0, 200.0)
    count, width = bases.shape
    operations = np.diff(cigar_begin)
    names = _names(prefix, number)
    packed = _NIBBLE[np.minimum(bases, 4)]
    if width % 2:
        packed = np.concatenate([packed, np.zeros((count, 1), np.uint8)], axis=1)
    packed = (packed[:, 0::2] << 4) | packed[:, 1::2]
    tag = np.broadcast_to(np.frombuffer(tags, np.uint8), (count, len(tags)))
    cigar = cigar_length.astype(np.int64) << 4 | cigar_operation
    size = _FIXED + names.shape[1] + 4 * operations
    size += packed.shape[1] + width + len(tags)
    begin = np.cumsum(size) - size
    out = np.empty(int(size.sum()), np.uint8)
    zero = np.zeros(count, np.int64)
    head = np.concatenate(
        [
            _little(size - 4, 4),
            _little(zero, 4),
            _little(start, 4),
            _little(zero + names.shape[1], 1),
            _little(mapping_quality, 1),
            _little(_bins(start, end), 2),
            _little(operations, 2),
            _little(flag, 2),
            _little(zero + width, 4),
            _little(zero, 4),
            _little(mate_start, 4),
            _little(template_length, 4),
            names,
        ],
        axis=1,
    )
    body = np.concatenate([packed, qualities, tag], axis=1)
    for kind in np.unique(operations):  # records of one length together
        rows = np.flatnonzero(operations == kind)
        at = cigar_begin[rows, None] + np.arange(kind)
        middle = _little(cigar[at].ravel(), 4).reshape(len(rows), 4 * int(kind))
        record = np.concatenate([head[rows], middle, body[rows]], axis=1)
        out[begin[rows, None] + np.arange(record.shape[1])] = record
    return out.tobytes()
