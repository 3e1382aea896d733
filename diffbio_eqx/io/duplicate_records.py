"""Raw BAM records: what decides about duplicates is read, flag and weight written."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from diffbio_eqx.data.cigar import reference_spans
from diffbio_eqx.data.duplicate_ends import ReadEnds
from diffbio_eqx.io._bam_records import (
    HEAD,
    _cigars,
    _long_cigars,
    _name_keys,
    fixed_fields,
)

DUPLICATE = 0x400
LONGEST_UMI = 64
_UNMAPPED, _SECONDARY, _SUPPLEMENTARY = 4, 0x100, 0x800
_MIN_QUALITY = 15
_FLAG_AT = 18  # bytes from the start of a record to its flag
_TAG = 7  # bytes of a dw:f field
_SIZES = np.zeros(256, np.int64)
for _letter, _size in zip(b"AcCsSiIfd", (1, 1, 1, 2, 2, 4, 4, 4, 8), strict=True):
    _SIZES[_letter] = _size


def read_ends(
    buffer: UInt8[np.ndarray, " bytes"],
    offsets: Int64[np.ndarray, " records"],
    first_index: int,
    *,
    libraries: Mapping[bytes, int],
    umi_tag: str | None,
) -> ReadEnds:
    """Ends of the primary alignments among the records.

    **Arguments:** `first_index`, number of the first record in the file; `libraries`,
    number of the library of each read group; `umi_tag`, two letters.

    **Raises** `ValueError` where fields of a record do not fit together, or a UMI is
    longer than 64 letters.
    """
    fixed = fixed_fields(buffer, offsets)
    flag = fixed["flag"].astype(np.int64)
    out = _UNMAPPED | _SECONDARY | _SUPPLEMENTARY
    rows = np.flatnonzero((flag & out == 0) & (fixed["contig"] >= 0))
    index = first_index + rows
    fixed, offsets, flag = fixed[rows], offsets[rows], flag[rows]
    name_size = fixed["name_size"].astype(np.int64)
    count = fixed["ops"].astype(np.int64)
    bases = fixed["bases"].astype(np.int64)
    cigar_at = offsets + HEAD + name_size
    sequence_at = cigar_at + 4 * count
    ops, lengths = _cigars(buffer, cigar_at, count)
    count, ops, lengths = _long_cigars(
        buffer, offsets, fixed, sequence_at, count, ops, lengths
    )
    if ops.size and ops.max() > 8:
        raise ValueError("a CIGAR operation code is above 8")
    before, after = _clips(count, ops, lengths)
    start = fixed["start"].astype(np.int64)
    span = np.maximum(reference_spans(count, ops, lengths), 1)
    quality_at = sequence_at + (bases + 1) // 2
    sums = np.concatenate(
        [[0], np.cumsum(np.where(buffer >= _MIN_QUALITY, buffer, 0), dtype=np.int64)]
    )
    wanted = ["RG"] + ([umi_tag] if umi_tag else [])
    stop = offsets + 4 + fixed["block"]
    tags = find_tags(buffer, quality_at + bases, stop, wanted)
    groups = _texts(buffer, *tags["RG"])
    known, which = np.unique(groups, return_inverse=True)
    library = np.array([libraries.get(group, 0) for group in known.tolist()], np.int64)
    umi = np.zeros(len(rows), f"S{LONGEST_UMI}" if umi_tag else "S1")
    if umi_tag:
        found = _texts(buffer, *tags[umi_tag])
        if found.dtype.itemsize > LONGEST_UMI:
            raise ValueError(
                f"a UMI in tag {umi_tag} is longer than {LONGEST_UMI} letters. Give "
                "the tag that holds UMIs alone."
            )
        umi = found.astype(umi.dtype)
    every = np.ones(len(rows), bool)
    return ReadEnds.from_records(
        index=index,
        name=_name_keys(buffer, offsets + HEAD, name_size - 1, every),
        text=_texts(buffer, offsets + HEAD, offsets + HEAD + name_size - 1),
        contig=fixed["contig"].astype(np.int64),
        start=start,
        first=start - before + 1,
        last=start + span + after,
        flag=flag,
        score=sums[quality_at + bases] - sums[quality_at],
        mate_contig=fixed["mate_contig"].astype(np.int64),
        mate_start=fixed["mate_start"].astype(np.int64),
        library=library[which.reshape(-1)],
        umi=umi,
    )


def has_mate_tags(
    buffer: UInt8[np.ndarray, " bytes"], offsets: Int64[np.ndarray, " records"]
) -> bool:
    """Has any record the tag MC, as after `samtools fixmate`?"""
    fixed = fixed_fields(buffer, offsets)
    begin = find_tags(buffer, _tags_at(offsets, fixed), _stops(offsets, fixed), ["MC"])
    return bool((begin["MC"][0] >= 0).any())


def marked_records(
    buffer: UInt8[np.ndarray, " bytes"],
    offsets: Int64[np.ndarray, " records"],
    duplicate: Bool[np.ndarray, " records"],
    weight: Float32[np.ndarray, " records"],
    keep: Bool[np.ndarray, " records"],
) -> bytes:
    """The records with flag 0x400 as in `duplicate` and the weight in tag `dw:f`.

    An older `dw` is replaced; records out of `keep` are left out; all else stays.
    """
    fixed = fixed_fields(buffer, offsets)
    stop = _stops(offsets, fixed)
    tags_at = _tags_at(offsets, fixed)
    begin, end = find_tags(buffer, tags_at, stop, ["dw"], whole=True)["dw"]
    old = np.where(begin >= 0, end - begin, 0)
    data = buffer.copy()
    flag = (fixed["flag"] & ~np.uint16(DUPLICATE)) | np.where(
        duplicate, np.uint16(DUPLICATE), np.uint16(0)
    )
    size = (fixed["block"] - old + _TAG).astype("<i4").view(np.uint8).reshape(-1, 4)
    two = flag.astype("<u2").view(np.uint8).reshape(-1, 2)
    for byte in range(4):
        data[offsets + byte] = size[:, byte]
    for byte in range(2):
        data[offsets + _FLAG_AT + byte] = two[:, byte]
    edges = np.zeros(len(data) + 1, np.int8)  # +1 where bytes begin to be written
    np.add.at(edges, offsets[keep], 1)
    np.add.at(edges, stop[keep], -1)
    cut = keep & (begin >= 0)
    np.add.at(edges, begin[cut], -1)
    np.add.at(edges, end[cut], 1)
    chosen = np.cumsum(edges[:-1], dtype=np.int8).astype(bool)
    body = data[chosen]
    tag = np.empty((int(keep.sum()), _TAG), np.uint8)
    tag[:, :3] = np.frombuffer(b"dwf", np.uint8)
    tag[:, 3:] = weight[keep].astype("<f4").view(np.uint8).reshape(-1, 4)
    ends = np.cumsum((stop - offsets - old)[keep])
    out = np.empty(len(body) + tag.size, np.uint8)
    places = ends[:, None] + _TAG * np.arange(len(ends))[:, None] + np.arange(_TAG)
    room = np.ones(len(out), bool)
    room[places] = False
    out[room], out[places] = body, tag
    return out.tobytes()


def find_tags(
    buffer: UInt8[np.ndarray, " bytes"],
    begin: Int64[np.ndarray, " records"],
    end: Int64[np.ndarray, " records"],
    wanted: list[str],
    *,
    whole: bool = False,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Begin and end of the values of some tags in each record; -1 where it has none.

    All records step from tag to tag together: as many rounds as the most tags of a
    record. With `whole`, the two letters and the type are part of it.
    """
    none = np.full(len(begin), -1)
    found = {tag: (none.copy(), none.copy()) for tag in wanted}
    zeros = None
    rows, at = np.flatnonzero(end - begin >= 4), begin.copy()
    while len(rows):
        here = at[rows]
        kind = buffer[here + 2]
        size = _SIZES[kind]
        text = np.flatnonzero((kind == ord("Z")) | (kind == ord("H")))
        if len(text):
            zeros = np.flatnonzero(buffer == 0) if zeros is None else zeros
            after = np.searchsorted(zeros, here[text] + 3)
            size[text] = zeros[np.minimum(after, len(zeros) - 1)] - here[text] - 2
        many = np.flatnonzero(kind == ord("B"))
        if len(many):
            four = sliding_window_view(buffer, 4)[here[many] + 4].copy()
            number = four.view("<i4").reshape(-1).astype(np.int64)
            size[many] = 5 + number * _SIZES[buffer[here[many] + 3]]
        stop = here + 3 + size
        if (size <= 0).any() or (stop > end[rows]).any():
            raise ValueError("an auxiliary field runs over the end of its record")
        for tag, (low, high) in found.items():
            one, two = tag.encode()
            hit = (buffer[here] == one) & (buffer[here + 1] == two)
            text = hit & ((kind == ord("Z")) | (kind == ord("H")))
            low[rows[hit]] = here[hit] + (0 if whole else 3)
            high[rows[hit]] = stop[hit]
            if not whole:
                high[rows[text]] -= 1
        at[rows] = stop
        rows = rows[end[rows] - stop >= 4]
    return found


def _stops(offsets, fixed):
    return offsets + 4 + fixed["block"]


def _tags_at(offsets, fixed):
    bases = fixed["bases"].astype(np.int64)
    at = offsets + HEAD + fixed["name_size"] + 4 * fixed["ops"].astype(np.int64)
    return at + (bases + 1) // 2 + bases


def _clips(count, ops, lengths):
    """Soft and hard clipped bases before and after each alignment."""
    before, after = np.zeros(len(count), np.int64), np.zeros(len(count), np.int64)
    clip = (ops == 4) | (ops == 5)
    last = np.cumsum(count) - 1
    first = last - count + 1
    for step in range(2):  # hard, then soft
        has = np.flatnonzero(count > step)
        near, far = first[has] + step, last[has] - step
        if step:
            near_ok, far_ok = clip[first[has]] & clip[near], clip[last[has]] & clip[far]
        else:
            near_ok, far_ok = clip[near], clip[far]
        before[has] += np.where(near_ok, lengths[near], 0)
        after[has] += np.where(far_ok, lengths[far], 0)
    return before, after


def _texts(buffer, begin, end) -> Shaped[np.ndarray, " records"]:
    """Pieces of the buffer as bytes (dtype S); empty where `begin` is -1."""
    length = np.where(begin >= 0, end - begin, 0)
    width = max(1, int(length.max(initial=1)))
    letters = sliding_window_view(buffer, width)[np.maximum(begin, 0)]
    letters = np.where(np.arange(width) < length[:, None], letters, 0)
    return letters.astype(np.uint8).view(f"S{width}").reshape(-1)
