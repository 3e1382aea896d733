"""FASTQ files as a stream of blocks of arrays."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np

from diffbio_eqx._checks import fail, require, require_range
from diffbio_eqx.io._fastq_pairs import check_mates
from diffbio_eqx.io._fastq_records import block_of
from diffbio_eqx.io._fastq_stream import FastqStream
from diffbio_eqx.io.fastq_block import FastqBlock

_CELLS = 1 << 26  # of one array; a block of very long reads has fewer of them
_OLD_LOWEST, _OLD_HIGH, _OLD_HIGHEST = 59 - 33, 80 - 33, 110 - 33


class _Encoding:
    """Says whether qualities are Phred+64, as of Illumina before 2011.

    No character below ';' (59), one from 'P' (80) on and none above 'n' (110) means
    Phred+64: Phred+33 data of such qualities (all >= 26, some >= 47, none >= 78) are
    not made by any instrument. A single lower character settles it for Phred+33.
    """

    def __init__(self, *, assume_phred33: bool):
        self._settled = assume_phred33
        self._high = 0

    def look(self, stream: FastqStream, block: FastqBlock) -> None:
        if self._settled:
            return
        real = np.arange(block.qualities.shape[1]) < block.lengths[:, None]
        values = block.qualities[real]
        if not len(values):
            return
        self._high = max(self._high, int(values.max()))
        if values.min() < _OLD_LOWEST or self._high > _OLD_HIGHEST:
            self._settled = True
        elif self._high >= _OLD_HIGH:
            low, high = chr(values.min() + 33), chr(self._high + 33)
            stream.refuse(
                f"has qualities of the old kind, Phred+64 ({low!r} to {high!r})",
                "`seqtk seq -VQ64 FILE` changes them to Phred+33, or say "
                "assume_phred33=True if they are that",
            )


def read_fastq_blocks(
    path: str | os.PathLike,
    path2: str | os.PathLike | None = None,
    *,
    block: int = 4096,
    interleaved: bool = False,
    threads: int = 0,
    assume_phred33: bool = False,
) -> Iterator[FastqBlock]:
    """Blocks of reads, or of pairs of reads, in the order of the file.

    Files are plain or gzip, which is told by their first bytes: several gzip members
    (bgzip, joined files) are one. Memory is that of a block and a chunk, whatever the
    file's size. Sequences may have any length, 0 too, and N; lines may end in CR LF;
    lower case is read as upper case and written as it was.

    **Arguments:**

    - `path`, `path2`: the file, and that of the second reads of pairs.
    - `block`: reads, or pairs, of a block; the last one has fewer, and so do blocks of
      very long reads.
    - `interleaved`: first and second reads alternate in one file.
    - `threads`: 1 unpacks gzip in a thread of its own.
    - `assume_phred33`: do not look for Phred+64.

    **Returns** an iterator of `FastqBlock`; those of pairs have a `mate`.

    **Raises** `ValueError`, one line with file and record number, as the iterator
    meets it: a file that is missing, empty, cut short, damaged or no FASTQ; records
    with unequal numbers of bases and qualities or with characters that are neither;
    Phred+64; pairs whose names differ, and files of unequal numbers of reads.

    Format: P. J. A. Cock et al. (2010), doi:10.1093/nar/gkp1137.

    ```python
    for reads in dbx.io.read_fastq_blocks("r1.fq.gz", "r2.fq.gz"):
        print(len(reads), reads.bases.shape, reads.mate.names[0])
    ```
    """
    require_range("block", block, 1)
    require(
        not (interleaved and path2 is not None),
        "interleaved",
        expected="one file",
        got="two",
        hint="leave out the second path or interleaved=True",
    )
    if path2 is not None and os.path.exists(path) and os.path.exists(path2):
        if os.path.samefile(path, path2):
            fail(
                "files of a pair",
                expected="two files",
                got=f"{os.fspath(path)!r} twice",
                hint="interleaved=True reads both ends from one file",
            )
    return _blocks(path, path2, block, interleaved, threads, assume_phred33)


def _blocks(path, path2, size, interleaved, threads, assume_phred33):
    encoding = _Encoding(assume_phred33=assume_phred33)
    with ExitStack() as opened:
        one = opened.enter_context(closing(FastqStream(path, threads)))
        two = None
        if path2 is not None:
            two = opened.enter_context(closing(FastqStream(path2, threads)))
        while True:
            if two is not None:
                made = _paired(one, two, size)
            elif interleaved:
                made = _interleaved(one, size)
            else:
                made = _single(one, size)
            if made is None:
                return
            encoding.look(one, made)
            if made.mate is not None:
                encoding.look(two or one, made.mate)
            yield made


def _fitting(stream: FastqStream, size: int) -> int:
    """How many of the next records make a block of bounded memory."""
    count = stream.fill(size)
    if not count:
        return 0
    cells = (stream.longest(count) + 32) * np.arange(1, count + 1)
    return max(int(np.searchsorted(cells, _CELLS, side="right")), 1)


def _single(stream: FastqStream, size: int) -> FastqBlock | None:
    count = _fitting(stream, size)
    return block_of(stream, stream.take(count)) if count else None


def _paired(one: FastqStream, two: FastqStream, size: int) -> FastqBlock | None:
    counts = one.fill(size), two.fill(size)
    if counts[0] != counts[1] and min(counts) == 0:
        longer, shorter = (one, two) if counts[0] else (two, one)
        raise ValueError(
            f"FASTQ file {shorter.path!r} ends after {shorter.taken:,} records, "
            f"{longer.path!r} has more; give files with the same reads."
        )
    count = min(_fitting(one, size), _fitting(two, size))
    if not count:
        return None
    first, second = (block_of(s, s.take(count)) for s in (one, two))
    check_mates(first, second, two)
    return replace(first, mate=second)


def _interleaved(stream: FastqStream, size: int) -> FastqBlock | None:
    count = _fitting(stream, 2 * size)
    if count == 1 and stream.fill(2) == 1:
        stream.refuse(
            f"ends after {stream.taken + 1:,} records, an odd number",
            "pairs that alternate are an even number",
        )
    count = max(count // 2 * 2, min(count, 1) * 2)
    if not count:
        return None
    both = block_of(stream, stream.take(count))
    ends = []
    for end in (0, 1):
        arrays = ("bases", "qualities", "lengths", "begin", "end", "newline")
        part = {name: getattr(both, name)[end::2] for name in arrays}
        ends.append(replace(both, **part, first=both.first // 2))
    check_mates(*ends, stream)
    return replace(ends[0], mate=ends[1])
