"""A file of one JSON line and then raw arrays; any damage is a `ValueError`.

The first line is a JSON object. Besides what the caller puts in, it lists name, dtype
and shape of every array, the length and SHA-256 of the payload, and a SHA-256 of the
line itself. The payload is the arrays' bytes, little-endian, C order, one after the
other. Nothing in it is imported, evaluated or unpickled.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from diffbio_eqx._checks import fail, require

FORMAT = "diffbio_eqx"
FORMAT_VERSION = 1
MAX_HEADER = 1 << 26
_START = b'{"format":"diffbio_eqx",'


def write(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Write header and arrays beside `path`, then rename: never half a file.

    **Raises:** `ValueError` if the header is no JSON or longer than 64 MiB.
    """
    path = Path(path)
    blobs = {name: _bytes(array) for name, array in arrays.items()}
    digest = hashlib.sha256()
    for blob in blobs.values():
        digest.update(blob)
    full = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **header,
        "arrays": [[name, str(a.dtype), list(a.shape)] for name, a in arrays.items()],
        "payload_bytes": sum(map(len, blobs.values())),
        "payload_sha256": digest.hexdigest(),
    }
    full["header_sha256"] = _header_digest(full)
    line = _dump(full) + b"\n"
    require(
        len(line) <= MAX_HEADER,
        f"header of {path}",
        expected=f"at most {MAX_HEADER} bytes",
        got=len(line),
        hint="keep large tables out of the metadata",
    )
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "wb") as file:
            file.write(line)
            for blob in blobs.values():
                file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header of a file, checked against its own digest.

    **Raises:** `ValueError` naming the file if it is no such file, damaged, or of
    another format version; `FileNotFoundError` if it does not exist.
    """
    with open(path, "rb") as file:
        return _header(path, file.readline(MAX_HEADER + 1))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a file, every byte checked. Raises as `read_header`."""
    with open(path, "rb") as file:
        header = _header(path, file.readline(MAX_HEADER + 1))
        payload = file.read(header["payload_bytes"] + 1)
    if len(payload) != header["payload_bytes"]:
        more = "more" if len(payload) > header["payload_bytes"] else f"{len(payload)}"
        _damaged(path, f"{header['payload_bytes']} bytes of arrays", more)
    if hashlib.sha256(payload).hexdigest() != header["payload_sha256"]:
        _damaged(path, "the checksum that it was written with", "another one")
    arrays, at = {}, 0
    for name, dtype_name, shape in header["arrays"]:
        dtype = jnp.dtype(dtype_name)
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(payload, dtype, count, at)
        arrays[name] = array.reshape(shape)
        at += array.nbytes
    return header, arrays


def _header(path: Any, line: bytes) -> dict[str, Any]:
    if not line.startswith(_START):
        fail(
            f"file {path}",
            expected="a diffbio_eqx checkpoint",
            got=f"a file that starts with {line[:16]!r}",
            hint="give a file written by diffbio_eqx.save or diffbio_eqx.fit",
        )
    try:
        header = json.loads(line)
        told = header.pop("header_sha256")
    except (ValueError, KeyError, RecursionError):
        _damaged(path, "one complete line of JSON", "a damaged one")
    if told != _header_digest(header):
        _damaged(path, "the header that it was written with", "another one")
    version = header["format_version"]
    require(
        version == FORMAT_VERSION,
        f"format version of {path}",
        expected=FORMAT_VERSION,
        got=version,
        hint=f"it was written by diffbio_eqx {header.get('package_version')}",
    )
    return header


def _damaged(path: Any, expected: str, got: str) -> None:
    hint = "the file is truncated or damaged; copy or write it again"
    fail(f"file {path}", expected=expected, got=got, hint=hint)


def _dump(header: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(header, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"checkpoint header: expected JSON values (text, finite numbers, lists, "
            f"dicts), got something else ({error}); convert it first."
        ) from error
    return text.encode()


def _header_digest(header: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(header)).hexdigest()


def _bytes(array: np.ndarray) -> bytes:
    array = np.ascontiguousarray(array)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.tobytes()


def _sync_folder(folder: Path) -> None:
    """Make the rename durable where the system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
