"""Are two blocks the two ends of the same fragments?"""

import numpy as np

from diffbio_eqx.io._fastq_records import rows_of
from diffbio_eqx.io._fastq_stream import FastqStream
from diffbio_eqx.io.fastq_block import FastqBlock

_MARKS = np.frombuffer(b"/._:-", np.uint8)


def check_mates(one: FastqBlock, two: FastqBlock, stream: FastqStream) -> None:
    """`ValueError` with the number of the first pair whose names differ.

    Names are equal, or differ in a last `1` and `2` after one of `/._:-`. A comment
    that begins with `1:` or `2:` (as ` 1:N:0:...` of Illumina) may not be that of the
    same end in both.
    """
    lengths = [block.end[:, 0] - block.begin[:, 0] - 1 for block in (one, two)]
    width = int(max(length.max(initial=1) for length in lengths)) + 3
    rows, sizes = [], []
    for block, length in zip((one, two), lengths, strict=True):
        row = rows_of(block.text, block.begin[:, 0] + 1, width)
        column = np.arange(width)
        blank = ((row == ord(" ")) | (row == ord("\t"))) & (column < length[:, None])
        size = np.where(blank.any(1), blank.argmax(1), length)
        rows.append(row)
        sizes.append(size)
    every = np.arange(len(one))
    last = [
        row[every, np.maximum(size - 1, 0)]
        for row, size in zip(rows, sizes, strict=True)
    ]
    mark = rows[0][every, np.maximum(sizes[0] - 2, 0)]
    numbered = (sizes[0] > 2) & np.isin(mark, _MARKS)
    numbered &= (last[0] == ord("1")) & (last[1] == ord("2"))
    compared = sizes[0] - numbered
    differs = (rows[0] != rows[1]) & (np.arange(width) < compared[:, None])
    bad = differs.any(1) | (sizes[0] != sizes[1])
    if bad.any():
        row = int(bad.argmax())
        names = [block.names[row].decode("ascii", "replace") for block in (one, two)]
        stream.refuse_record(
            one.first + row,
            f"its name is {names[1]!r}, that of its mate is {names[0]!r}",
            "give files whose reads are in the same order",
        )
    ends = []
    for row, size in zip(rows, sizes, strict=True):
        digit = row[every, np.minimum(size + 1, width - 1)]
        colon = row[every, np.minimum(size + 2, width - 1)] == ord(":")
        ends.append(np.where(colon & np.isin(digit, (ord("1"), ord("2"))), digit, 0))
    same = (ends[0] == ends[1]) & (ends[0] > 0) & (sizes[0] + 3 < lengths[0])
    if same.any():
        row = int(same.argmax())
        stream.refuse_record(
            one.first + row,
            f"both ends are numbered {chr(ends[0][row])} in their comments",
            "was one file given twice?",
        )
