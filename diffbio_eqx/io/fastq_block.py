"""A block of FASTQ records: arrays to compute with, and the text to write."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from diffbio_eqx._checks import require
from diffbio_eqx.data.reads import Reads

_LETTERS = np.frombuffer(b"ACGTN", np.uint8)
_OFFSET = 33


@dataclasses.dataclass(frozen=True)
class FastqBlock:
    """Records that follow one another in a file, or pairs of them.

    - `bases` (R, L) uint8: codes 0-3 = A C G T (either case, U as T), 4 = N and the
      other ambiguity codes, 7 = padding. L is a multiple of 32.
    - `qualities` (R, L) uint8: Phred, 0 in padding.
    - `lengths` (R,): bases of each read.
    - `first`: number of the first record (of the first pair), from 0.
    - `mate`: the block of second reads, row by row, or None.
    - `progress`: share of the file's bytes read so far, in [0, 1].
    - `text`, `begin`, `end`, `newline`: the records as bytes, and where their four
      lines are: `text[begin[r, k] : end[r, k]]` is line k of record r.
    """

    bases: UInt8[np.ndarray, "reads length"]
    qualities: UInt8[np.ndarray, "reads length"]
    lengths: Int[np.ndarray, " reads"]
    text: UInt8[np.ndarray, " bytes"]
    begin: Int[np.ndarray, "reads 4"]
    end: Int[np.ndarray, "reads 4"]
    newline: Int[np.ndarray, "reads 4"]
    first: int = 0
    mate: "FastqBlock | None" = None
    progress: float = 0.0

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def headers(self) -> list[bytes]:
        """The first line of each record without its `@`."""
        text = self.text.tobytes()
        spans = zip(self.begin[:, 0].tolist(), self.end[:, 0].tolist(), strict=True)
        return [text[begin + 1 : end] for begin, end in spans]

    @property
    def names(self) -> list[bytes]:
        """The first word of each header; a blank name is empty."""
        return [split_header(header)[0] for header in self.headers]

    @property
    def comments(self) -> list[bytes]:
        """What follows the name in each header, often nothing."""
        return [split_header(header)[1] for header in self.headers]

    def as_reads(self, rows: int | None = None) -> Reads:
        """A `Reads` of this block; `rows` pads it by rows whose `read_mask` is False.

        A fixed number of rows means one compilation for all blocks of a file.
        """
        count = len(self)
        rows = count if rows is None else rows
        require(rows >= count, "rows", expected=f"at least {count}", got=rows)
        more = ((0, rows - count), (0, 0))
        return Reads(
            np.pad(self.bases, more, constant_values=7),
            np.pad(self.qualities, more),
            np.arange(rows) < count,
            None,
            None if self.mate is None else self.mate.as_reads(rows),
        )

    def to_text(
        self,
        start: Int[np.ndarray, " reads"] | None = None,
        end: Int[np.ndarray, " reads"] | None = None,
        keep: Bool[np.ndarray, " reads"] | None = None,
        bases: UInt8[np.ndarray, "reads length"] | None = None,
        qualities: UInt8[np.ndarray, "reads length"] | None = None,
    ) -> UInt8[np.ndarray, " bytes"]:
        """The records as FASTQ text, cut to `[start, end)`, those with `keep` only.

        Header and `+` line stay as they were read. `bases` and `qualities`, where
        given, replace what differs from the block's own; everything else keeps its
        letters (lower case, ambiguity codes). Lines end in LF. The text is a
        subsequence of the one read, so one mask over its bytes makes it.
        """
        text, size = self.text, int(self.newline[-1, 3]) + 1 if len(self) else 0
        if bases is not None or qualities is not None:
            text = text.copy()
        if bases is not None:
            self._replace(text, 1, bases != self.bases, _LETTERS[np.minimum(bases, 4)])
        if qualities is not None:
            self._replace(text, 3, qualities != self.qualities, qualities + _OFFSET)
        text = text[:size]
        lengths = self.lengths
        start = np.zeros_like(lengths) if start is None else np.asarray(start)
        end = lengths if end is None else np.minimum(np.asarray(end), lengths)
        start = np.clip(start, 0, lengths)
        end = np.maximum(end, start)
        keep = np.ones(len(self), bool) if keep is None else np.asarray(keep, bool)
        carriage = self.end != self.newline
        cut = keep & ((start > 0) | (end < lengths) | carriage[:, [1, 3]].any(1))
        between = np.concatenate([[0], self.newline[:-1, 3] + 1])[: len(self)]
        apart = between < self.begin[:, 0]  # the mates lie there
        if not (cut.any() or apart.any() or carriage.any()) and keep.all():
            return text
        step = np.zeros(size + 1, np.int8)
        _remove(step, between[apart], self.begin[apart, 0])
        for line in (1, 3):
            begin = self.begin[cut, line]
            _remove(step, begin, begin + start[cut])
            _remove(step, begin + end[cut], self.newline[cut, line])
        _remove(step, self.begin[~keep, 0], self.newline[~keep, 3] + 1)
        kept = np.cumsum(step[:-1], dtype=np.int8) == 0
        for line in (0, 2):
            kept[self.end[carriage[:, line], line]] = False
        return text[kept]

    def _replace(self, text: Any, line: int, changed: Any, letters: Any) -> None:
        inside = np.arange(changed.shape[1]) < self.lengths[:, None]
        row, column = np.nonzero(changed & inside)
        text[self.begin[row, line] + column] = letters[row, column]


def split_header(header: bytes) -> tuple[bytes, bytes]:
    """Name and comment: parted by the first space or tab."""
    words = header.split(None, 1)
    if not words or header[:1].isspace():
        return b"", header.strip()
    return words[0], words[1] if len(words) == 2 else b""


def _remove(step: np.ndarray, begin: np.ndarray, end: np.ndarray) -> None:
    """Mark `[begin, end)` as removed; begins are distinct, and so are ends."""
    step[begin] -= 1
    step[end] += 1
