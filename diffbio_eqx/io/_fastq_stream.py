"""The lines of a FASTQ file, plain or gzip, in pieces of bounded size."""

import os
from typing import NamedTuple, NoReturn

import numpy as np

from diffbio_eqx._checks import require_extra
from diffbio_eqx.io._errors import need_file

_CHUNK = 1 << 20
_LONGEST = 1 << 30  # bytes of one record; more is no FASTQ file
_GZIP = b"\x1f\x8b"
_PACKED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_KINDS = {
    b"BAM\1": "a BAM file: `samtools fastq` makes FASTQ of it",
    b"CRAM": "a CRAM file: `samtools fastq` makes FASTQ of it",
    b"@HD\t": "a SAM file: `samtools fastq` makes FASTQ of it",
    b"@SQ\t": "a SAM file: `samtools fastq` makes FASTQ of it",
    b">": "a FASTA file, which has no qualities",
}


class FastqLines(NamedTuple):
    """Whole records as text, and where their lines are.

    `text` is uint8, with room behind it; `begin`, `end` and `newline` (R, 4) are the
    first byte of each line, the byte after its last (without CR), and its line feed.
    """

    text: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    newline: np.ndarray


class FastqStream:
    """Reads one file; keeps the bytes of a block and one chunk in memory.

    `fill(n)` says how many of the next n records there are, `longest(n)` how long their
    sequences are, `take(n)` hands them over; `taken` counts records handed over.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 0):
        self.path = need_file(path, "FASTQ file")
        self.taken = 0
        self._raw = open(self.path, "rb")  # noqa: SIM115, closed in close()
        try:
            self._file = self._open(threads)
        except BaseException:
            self._raw.close()
            raise
        self._size = os.fstat(self._raw.fileno()).st_size
        self._text = np.zeros(0, np.uint8)
        self._newlines = np.zeros(0, np.int64)  # of the lines not yet taken
        self._begin = 0  # of the first line not yet taken
        self._ended = self._started = False
        self._cut_short = 0  # lines of a last record that is not whole

    def _open(self, threads: int):
        head = self._raw.peek(8)[:8]
        if not head:
            raise ValueError(f"FASTQ file is empty: {self.path!r}. Check its source.")
        for magic, name in _PACKED.items():
            if head.startswith(magic):
                self.refuse(f"is packed by {name}", "unpack it, or pack it by gzip")
        if not head.startswith(_GZIP):
            return self._raw
        xopen = require_extra("xopen", "genomics")
        return xopen.xopen(self._raw, "rb", threads=threads, format="gz")

    def close(self) -> None:
        """Close the file."""
        if self._file is not self._raw:
            self._file.close()
        self._raw.close()

    def refuse(self, what: str, hint: str) -> NoReturn:
        """Raise the error of this file."""
        raise ValueError(f"FASTQ file {self.path!r} {what}; {hint}.")

    def refuse_record(self, number: int, what: str, hint: str) -> NoReturn:
        """Raise the error of one of its records, counted from 0."""
        raise ValueError(
            f"FASTQ file {self.path!r}, record {number + 1:,}: {what}; {hint}."
        )

    @property
    def progress(self) -> float:
        """The share of the file's bytes that has been read, in [0, 1]."""
        if not self._size or not self._raw.seekable():
            return 0.0
        return min(self._raw.tell() / self._size, 1.0)

    def fill(self, records: int) -> int:
        """How many whole records wait, at most `records`; fewer at the end only."""
        while len(self._newlines) < 4 * records and not self._ended:
            self._read()
        count = min(len(self._newlines) // 4, records)
        if not count and self._cut_short:
            self.refuse_record(
                self.taken,
                f"the file ends after {self._cut_short} of 4 lines",
                "it was cut short",
            )
        return count

    def longest(self, records: int) -> np.ndarray:
        """The longest sequence among the first 1, 2, ... of the waiting records."""
        ends = self._newlines[: 4 * records]
        return np.maximum.accumulate(ends[1::4] - ends[0::4] - 1)

    def take(self, records: int) -> FastqLines:
        """The next records, which `fill` has seen."""
        newline = self._newlines[: 4 * records]
        stop = int(newline[-1]) + 1
        room = int(np.diff(newline, prepend=self._begin - 1).max()) + 32
        text = np.zeros(stop - self._begin + room, np.uint8)
        text[: stop - self._begin] = self._text[self._begin : stop]
        newline = newline - self._begin
        self._begin, self._newlines = stop, self._newlines[4 * records :]
        self.taken += records
        begin = np.concatenate([[0], newline[:-1] + 1])
        end = newline - ((newline > begin) & (text[newline - 1] == ord("\r")))
        shape = (records, 4)
        return FastqLines(
            text, begin.reshape(shape), end.reshape(shape), newline.reshape(shape)
        )

    def _read(self) -> None:
        chunk = self._next_chunk()
        if not self._started:
            self._started = True
            self._look(chunk)
        if chunk:
            rest = len(self._text) - self._begin
            text = np.empty(rest + len(chunk), np.uint8)
            text[:rest] = self._text[self._begin :]
            text[rest:] = np.frombuffer(chunk, np.uint8)
            found = np.flatnonzero(text[rest:] == ord("\n")) + rest
            self._newlines = np.concatenate([self._newlines - self._begin, found])
            self._text, self._begin = text, 0
            if len(text) > _LONGEST and len(self._newlines) < 4:
                self.refuse("has no line ends", "is it a text file?")
        else:
            self._finish()

    def _next_chunk(self) -> bytes:
        try:
            return self._file.read(_CHUNK)
        except Exception as error:  # each library for gzip has errors of its own
            what = "ends early" if isinstance(error, EOFError) else "is damaged"
            raise ValueError(
                f"FASTQ file {self.path!r}, near record "
                f"{self.taken + len(self._newlines) // 4 + 1:,}: the gzip data {what} "
                f"({error}); copy or download it again."
            ) from error

    def _look(self, head: bytes) -> None:
        """Refuse a file that is something else."""
        if not head.strip():
            raise ValueError(f"FASTQ file is empty: {self.path!r}. Check its source.")
        for magic, name in _KINDS.items():
            if head.startswith(magic):
                self.refuse("is not a FASTQ file", f"it looks like {name}")
        if head[:1] != b"@":
            self.refuse(
                f"is not a FASTQ file: it begins with {head[:10]!r}",
                "a record begins with '@' and its name",
            )
        if b"\n" not in head and b"\r" in head:
            self.refuse("has old Macintosh line ends", "`tr '\\r' '\\n'` changes them")

    def _finish(self) -> None:
        """The end of the file: a last line without a line feed, and blank lines."""
        self._ended = True
        if self._begin < len(self._text) and self._text[-1] != ord("\n"):
            self._newlines = np.append(self._newlines, len(self._text))
            self._text = np.append(self._text, np.uint8(ord("\n")))
        whole = len(self._newlines) // 4 * 4
        if whole == len(self._newlines):
            return
        begin = self._newlines[whole - 1] + 1 if whole else self._begin
        if self._text[begin:].tobytes().strip():
            self._cut_short = len(self._newlines) - whole
        self._newlines = self._newlines[:whole]
