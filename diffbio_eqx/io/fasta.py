"""Reference sequences from FASTA files, as base codes."""

import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import UInt8

from diffbio_eqx.io._errors import import_pysam, need_file, quiet, unknown_contig

_CODES = np.full(256, 4, np.uint8)
for _code, _letters in enumerate((b"Aa", b"Cc", b"Gg", b"Tt")):
    _CODES[list(_letters)] = _code

_LETTERS = np.frombuffer(b"ACGTN", np.uint8)


class Fasta:
    """A FASTA file, plain or compressed by bgzip, read by region.

    The index (`.fai`, and `.gzi` of a compressed file) is made where it is missing:
    beside the file, or in a temporary folder, with a warning, if that cannot be
    written.

    **Attributes:** `path`; `lengths`, contig to length in file order (contigs without
    a base are left out by the index).

    **Raises** `ValueError`, one line, where the file is missing, empty, no FASTA, or
    compressed by plain gzip (which has no random access).
    """

    def __init__(self, path: str | os.PathLike):
        self.path = need_file(path, "reference FASTA")
        _check_kind(self.path)
        readable, self._folder = _indexed(self.path)
        pysam = import_pysam()
        try:
            with quiet():
                self._file = pysam.FastaFile(readable)
        except (OSError, ValueError) as error:
            raise _damaged(self.path) from error
        self.lengths: dict[str, int] = dict(
            zip(self._file.references, self._file.lengths, strict=True)
        )
        if not self.lengths:
            raise ValueError(f"{self.path!r} holds no sequences. Give a FASTA file.")

    def __enter__(self) -> "Fasta":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def codes(
        self, contig: str, start: int = 0, end: int | None = None
    ) -> UInt8[np.ndarray, " bases"]:
        """Codes of `[start, end)`, 0-based: A C G T are 0-3, all else is N (4).

        Lower case (masked repeats) reads as upper case. Raises `ValueError` for an
        unknown contig or a range outside of it.
        """
        if contig not in self.lengths:
            raise unknown_contig(contig, self.lengths, f"the reference {self.path!r}")
        length = self.lengths[contig]
        end = length if end is None else end
        if not 0 <= start <= end <= length:
            raise ValueError(
                f"a range of {contig} must satisfy 0 <= start <= end <= {length}, got "
                f"{start} and {end}."
            )
        if start == end:
            return np.zeros(0, np.uint8)
        try:
            with quiet():
                text = self._file.fetch(contig, start, end)
        except (OSError, ValueError) as error:
            raise _damaged(self.path) from error
        codes = _CODES[np.frombuffer(text.encode("latin-1"), np.uint8)]
        if len(codes) != end - start:
            raise _damaged(self.path)
        return codes

    def text(self, contig: str, start: int, end: int) -> str:
        """Bases of `[start, end)` as capital letters; fewer at the contig's ends."""
        low, high = max(start, 0), min(end, self.lengths.get(contig, 0))
        if high <= low:
            return ""
        return _LETTERS[self.codes(contig, low, high)].tobytes().decode("ascii")

    def check(
        self,
        lengths: Mapping[str, int],
        contigs: Iterable[str] | None = None,
        *,
        where: str = "the reads",
    ) -> None:
        """Raise unless the contigs of another file are here, with the same lengths.

        `lengths` are the other file's (`where` names it); `contigs`, those that will
        be used (all by default). A contig that is missing, or called chr20 here and
        20 there, or of another length, means another reference.
        """
        for contig in lengths if contigs is None else contigs:
            if contig not in self.lengths:
                raise unknown_contig(
                    contig, self.lengths, f"the reference {self.path!r}"
                )
            here, there = self.lengths[contig], lengths[contig]
            if here != there:
                raise ValueError(
                    f"contig {contig!r} has {here} bases in the reference "
                    f"{self.path!r} and {there} in {where}. Use the reference that "
                    "the reads were aligned to."
                )


def _check_kind(path):
    """Raise for files that the index builder would choke on or misread."""
    with open(path, "rb") as file:
        head = file.read(18)
    if not head:
        raise ValueError(f"reference FASTA {path!r} is empty. Make it again.")
    if head[:2] == b"\x1f\x8b":
        # bgzip marks its blocks by an extra field "BC".
        if len(head) < 18 or not head[3] & 4 or head[12:14] != b"BC":
            raise ValueError(
                f"reference FASTA {path!r} is compressed by gzip, which has no random "
                "access. Compress it by bgzip: gunzip -c FILE | bgzip > NEW.fa.gz"
            )
    elif head.lstrip()[:1] != b">":
        raise ValueError(
            f"{path!r} is not a FASTA file: it begins with {head[:1]!r}, not '>'."
        )


def _indexed(path):
    """A path that has its index, and the temporary folder that holds it (or None)."""
    compressed = path.endswith(".gz") or _is_gzip(path)
    needed = [path + ".fai"] + ([path + ".gzi"] if compressed else [])
    if all(os.path.exists(name) for name in needed):
        if os.path.getmtime(path + ".fai") < os.path.getmtime(path):
            warnings.warn(
                f"the index {path + '.fai'!r} is older than the FASTA. If bases "
                "changed, delete it: it is made anew.",
                stacklevel=4,
            )
        return path, None
    pysam = import_pysam()
    folder = None
    if not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK):
        folder = tempfile.mkdtemp(prefix="diffbio_eqx-")
        link = os.path.join(folder, os.path.basename(path))
        os.symlink(os.path.abspath(path), link)
        warnings.warn(
            f"the folder of {path!r} cannot be written, so its index is made for this "
            "run only. 'samtools faidx' on a copy keeps it.",
            stacklevel=4,
        )
        path = link
    try:
        with quiet():
            pysam.faidx(path, catch_stdout=False)
    except pysam.SamtoolsError as error:
        raise _damaged(path) from error
    return path, None if folder is None else _Folder(folder)


class _Folder:
    """A temporary folder that goes with its owner."""

    def __init__(self, path):
        self._finalizer = weakref.finalize(
            self, shutil.rmtree, path, ignore_errors=True
        )


def _is_gzip(path):
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _damaged(path):
    return ValueError(
        f"reference FASTA {path!r} or its index is damaged. Delete the .fai (and .gzi) "
        "beside it, or make the file again."
    )
