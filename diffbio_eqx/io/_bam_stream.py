"""BAM bytes from any alignment file, in chunks of whole records."""

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator

import numpy as np

from diffbio_eqx.io import _bam_records
from diffbio_eqx.io._errors import import_pysam, quiet

CHUNK = 1 << 22
_SLACK = 1 << 16  # zero bytes behind a chunk, so that row gathers stay inside
_BAM_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_CRAM_END = (
    bytes.fromhex(  # version 3
        "0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b"
    ),
    bytes.fromhex("0b000000ffffffff0fe0454f460000000001000606010001000100"),  # 2.1
)


def check_end(path: str, kind: str) -> None:
    """Raise if a BAM or CRAM file lacks its end marker: it was cut short."""
    if kind not in ("BAM", "CRAM"):
        return
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 64))
        tail = file.read()
    ends = (_BAM_END,) if kind == "BAM" else _CRAM_END
    if not any(tail.rstrip(b"\0").endswith(end.rstrip(b"\0")) for end in ends):
        raise truncated(path, kind)


def truncated(path: str, kind: str) -> ValueError:
    """The error for a file that was cut short or damaged."""
    return ValueError(
        f"{kind} file {path!r} is truncated or damaged. Copy or make it again; "
        "'samtools quickcheck' tells when its end is there."
    )


def bam_chunks(
    path: str, offset: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Buffers with the offsets of the records in them, from a virtual file offset.

    `offset=None` begins at the first record. Each buffer ends in zeros, so that
    fields can be gathered with room to spare.
    """
    pysam = import_pysam()
    with quiet():
        try:
            file = pysam.BGZFile(path, "rb")
        except OSError as error:
            raise truncated(path, "BAM") from error
    try:
        if offset is None:
            _skip_header(file, path)
        else:
            file.seek(offset)
        rest, slack = b"", _SLACK
        while True:
            try:
                with quiet():
                    read = file.read(CHUNK)
            except (OSError, EOFError) as error:
                raise truncated(path, "BAM") from error
            if not read:
                break
            size = len(rest) + len(read)
            data = b"".join((rest, read, bytes(slack)))
            try:
                offsets, used = _bam_records.record_offsets(data, size)
            except ValueError as error:
                raise truncated(path, "BAM") from error
            rest = data[used:size]
            longest = int(np.diff(offsets, append=used).max(initial=0))
            if longest + _SLACK > slack:  # zeros enough for the longest read, too
                slack = 2 * longest + _SLACK
                data = b"".join((data[:size], bytes(slack)))
            if len(offsets):
                yield np.frombuffer(data, np.uint8), offsets
        if rest:
            raise truncated(path, "BAM")
    finally:
        with contextlib.suppress(OSError):  # a damaged file is told of once
            file.close()


def _skip_header(file, path):
    head = file.read(8)
    if len(head) < 8 or head[:4] != b"BAM\1":
        raise ValueError(f"{path!r} is not a BAM file. Give BAM, CRAM or SAM.")
    file.read(struct.unpack("<i", head[4:])[0])
    (contigs,) = struct.unpack("<i", file.read(4))
    for _ in range(contigs):
        (size,) = struct.unpack("<i", file.read(4))
        file.read(size + 4)


def converted_chunks(
    path: str, arguments: list[str], kind: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of what `samtools view` with these arguments gives, by a scratch file."""
    pysam = import_pysam()
    with tempfile.TemporaryDirectory(prefix="diffbio_eqx-") as folder:
        scratch = os.path.join(folder, "reads.bam")
        try:
            with quiet():
                pysam.view("-u", "-o", scratch, *arguments, catch_stdout=False)
        except pysam.SamtoolsError as error:
            if kind == "CRAM":
                raise ValueError(
                    f"CRAM file {path!r} could not be decoded. Give the reference "
                    "FASTA it was written with; if it is that one, the file is damaged."
                ) from error
            raise truncated(path, kind) from error
        yield from bam_chunks(scratch, None)
