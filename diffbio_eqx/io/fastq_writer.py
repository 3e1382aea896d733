"""FASTQ files out: whole or not at all."""

import os
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Bool, Int, UInt8

from diffbio_eqx._checks import fail, require, require_extra
from diffbio_eqx.io.fastq_block import FastqBlock

_Places = Int[np.ndarray, " reads"] | None
_Codes = UInt8[np.ndarray, "reads length"] | None


class FastqWriter:
    """Writes blocks of reads or of pairs; a context manager.

    A name that ends in `.gz` is packed by gzip. Everything goes to files that end in
    `.part`, renamed when the `with` block ends; if it ends by an exception they are
    removed and older files of these names stay as they were.

    **Arguments:**

    - `path`: the file of the (first) reads.
    - `path2`: the file of the second reads; without it, pairs alternate in the first.
    - `level`: of gzip, 0 to 9; 1 is fast, 5 about a tenth smaller.
    - `threads`: 1 packs gzip in a thread of its own.

    **Attributes:** `reads` and `bases` written so far.

    ```python
    with FastqWriter("clean.fq.gz") as out:
        for reads in read_fastq_blocks("raw.fq.gz"):
            out.write(reads, end=np.minimum(reads.lengths, 100))
    ```
    """

    def __init__(
        self,
        path: str | os.PathLike,
        path2: str | os.PathLike | None = None,
        *,
        level: int = 1,
        threads: int = 0,
    ):
        require(0 <= level <= 9, "level of gzip", expected="0 to 9", got=level)
        self.paths = [Path(path)] + ([] if path2 is None else [Path(path2)])
        if len({p.absolute() for p in self.paths}) < len(self.paths):
            fail("output files", expected="two names", got=f"{path!s} twice")
        for one in self.paths:
            require(
                one.parent.is_dir(),
                "folder of the output file",
                expected="a folder that exists",
                got=repr(str(one.parent)),
                hint="create it first",
            )
            require(
                not one.is_dir(),
                "output file",
                expected="the name of a file",
                got=f"a folder, {str(one)!r}",
            )
        self.reads = self.bases = 0
        self._parts = [one.with_name(one.name + ".part") for one in self.paths]
        self._files: list = []
        try:
            for one, part in zip(self.paths, self._parts, strict=True):
                self._files.append(_open(one, part, level, threads))
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> "FastqWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(
        self,
        block: FastqBlock,
        start: _Places = None,
        end: _Places = None,
        keep: Bool[np.ndarray, " reads"] | None = None,
        *,
        bases: _Codes = None,
        qualities: _Codes = None,
        mate_start: _Places = None,
        mate_end: _Places = None,
        mate_bases: _Codes = None,
        mate_qualities: _Codes = None,
    ) -> None:
        """Write the bases `[start, end)` of the reads with `keep`, in their order.

        All of them by default; a read of which nothing is left but that is kept is
        written with empty lines. `bases` and `qualities` (R, L) replace the block's
        own. The `mate_` arguments are those of `block.mate`; a pair is kept or left
        out as a whole.
        """
        mate = block.mate
        require(
            mate is not None or len(self.paths) == 1,
            "block for two files",
            expected="pairs of reads",
            got="single reads",
        )
        texts = [block.to_text(start, end, keep, bases, qualities)]
        self._count(block, start, end, keep)
        if mate is not None:
            own = (mate_start, mate_end, keep, mate_bases, mate_qualities)
            texts.append(mate.to_text(*own))
            self._count(mate, mate_start, mate_end, keep)
        if len(texts) > len(self._files):
            texts = [_alternate(*texts)]
        for file, text in zip(self._files, texts, strict=True):
            file.write(text.data)

    def close(self) -> None:
        """Finish the files and give them their names."""
        try:
            while self._files:
                self._files.pop(0).close()
        except BaseException:
            self.abort()
            raise
        for part, path in zip(self._parts, self.paths, strict=True):
            os.replace(part, path)

    def abort(self) -> None:
        """Remove what was written."""
        while self._files:
            try:
                self._files.pop().close()
            except (OSError, ValueError):  # a full disk: removed below all the same
                continue
        for part in self._parts:
            part.unlink(missing_ok=True)

    def _count(self, block, start, end, keep):
        end = block.lengths if end is None else np.minimum(end, block.lengths)
        left = np.maximum(end - (0 if start is None else start), 0)
        keep = slice(None) if keep is None else np.asarray(keep, bool)
        self.reads += len(left[keep])
        self.bases += int(left[keep].sum())


def _open(path: Path, part: Path, level: int, threads: int):
    if path.suffix != ".gz":
        return open(part, "wb")
    xopen = require_extra("xopen", "genomics")
    options = {"threads": threads, "format": "gz", "compresslevel": level}
    return xopen.xopen(part, "wb", **options)


def _alternate(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Records of two texts in turn."""
    pieces = []
    for text in (one, two):
        ends = np.flatnonzero(text == ord("\n"))[3::4] + 1
        whole, begin = text.tobytes(), 0
        parts = []
        for end in ends.tolist():
            parts.append(whole[begin:end])
            begin = end
        pieces.append(parts)
    pairs = zip(*pieces, strict=True)
    return np.frombuffer(b"".join([a + b for a, b in pairs]), np.uint8)
