"""Text tables: unpacked, their delimiter found, and written whole or not at all."""

import contextlib
import csv
import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from diffbio_eqx._checks import fail
from diffbio_eqx.io._errors import need_file

_FOREIGN = {
    b"PK\x03\x04": "an Excel file or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"\x89HDF": "an HDF5 file (an h5ad ends in .h5ad)",
    b"\xff\xfe": "a text in UTF-16",
    b"\xfe\xff": "a text in UTF-16",
    b"BZh": "a file packed by bzip2",
    b"\xfd7zX": "a file packed by xz",
}


def table_text(path: str | os.PathLike, what: str) -> str:
    """The text of a table, unpacked if gzip packed it; line breaks are `\\n`.

    **Raises:** `ValueError` for a file that is not there, empty, damaged or no text.
    """
    name = need_file(path, what)
    with open(name, "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(
                f"{what} {name!r} is truncated or damaged. Copy it again."
            ) from error
    for magic, kind in _FOREIGN.items():
        if data.startswith(magic):
            fail(
                f"{what} {name!r}",
                expected="text with tabs or commas, plain or packed by gzip",
                got=kind,
                hint="save it as .tsv or .csv",
            )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        fail(f"{what} {name!r}", expected="a header and rows", got="an empty file")
    return text


def split_line(line: str, delimiter: str) -> list[str]:
    """The cells of one line, quotes taken off."""
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)]
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]


def delimiter_of(header: str) -> str:
    """Tab, comma, semicolon or space, whichever of these the header has first."""
    return next((mark for mark in "\t,;" if mark in header), " ")


def output_path(path: str | os.PathLike, what: str, ends: tuple[str, ...] = ()) -> Path:
    """`path`, if a file can be written there (looked at before the work)."""
    path = Path(path)
    if ends and not path.name.endswith(ends):
        fail(what, expected=f"a name that ends in {' or '.join(ends)}", got=path.name)
    if path.is_dir():
        fail(what, expected="the name of a file", got=f"the folder {str(path)!r}")
    if not path.parent.is_dir():
        fail(
            what,
            expected="a folder that exists",
            got=repr(str(path.parent)),
            hint="create it first",
        )
    return path


@contextlib.contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[IO[str]]:
    """A text file to write to, renamed to `path` at the end; `.gz` is packed.

    If the block ends by an exception, nothing is left and an older file stays.
    """
    path = Path(path)
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as raw:
            if path.suffix == ".gz":
                with (
                    gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
                    io.TextIOWrapper(packed, "utf-8", newline="\n") as file,
                ):
                    yield file
            else:
                with io.TextIOWrapper(raw, "utf-8", newline="\n") as file:
                    yield file
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
