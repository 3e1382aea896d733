"""ART read pairs as arrays: adapters, PCR copies, wrong qualities, binning.

ART draws errors from its qualities and knows neither adapters nor copies. These
functions take the pairs it wrote (bases, qualities, and the error-free bases of
`-ef`), change them as arrays, and write FASTQ again. Bases here are ASCII bytes.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

ADAPTERS = (
    b"AGATCGGAAGAGCACACGTCTGAACTCCAGTCACATCACGATCTCGTATGCCGTCTTCTGCTTG",
    b"AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGTAGATCTCGGTGGTCGCCGTATCATT",
)
_BASES = np.frombuffer(b"ACGT", np.uint8)
_COMPLEMENT = np.arange(256, dtype=np.uint8)
_COMPLEMENT[_BASES] = np.frombuffer(b"TGCA", np.uint8)
_CODE = np.zeros(256, np.uint8)
_CODE[_BASES] = np.arange(4)
# Illumina's eight bins: lowest quality of a bin -> reported quality
_BINS = ((0, 2), (2, 6), (10, 15), (20, 22), (25, 27), (30, 33), (35, 37), (40, 40))


@dataclasses.dataclass(frozen=True)
class Pairs:
    """`n` read pairs of one length: `names`, and (n, 2, length) uint8 arrays of
    `bases`, Phred `qualities` and error-free `origin` bases (None if not kept)."""

    names: list[bytes]
    bases: np.ndarray
    qualities: np.ndarray
    origin: np.ndarray | None

    def __len__(self) -> int:
        return len(self.names)


def _matrix(lines: list[bytes]) -> np.ndarray:
    text = np.frombuffer(b"".join(lines), np.uint8)
    return text.reshape(len(lines), -1).copy()


def read_pairs(prefix: str, *, error_free: bool) -> Pairs:
    """What ART wrote as `prefix`1.fq, `prefix`2.fq (and `prefix`_errFree.sam)."""
    bases, qualities, names = [], [], []
    for mate in "12":
        lines = Path(f"{prefix}{mate}.fq").read_bytes().split(b"\n")[:-1]
        names = [line[1:].rsplit(b"/", 1)[0] for line in lines[0::4]]
        bases.append(_matrix(lines[1::4]))
        qualities.append(_matrix(lines[3::4]) - 33)
    origin = None
    if error_free:
        text = Path(f"{prefix}_errFree.sam").read_bytes().split(b"\n")
        rows = [line.split(b"\t", 10) for line in text if line and line[:1] != b"@"]
        origin = _matrix([row[9] for row in rows])
        reverse = np.array([int(row[1]) & 16 for row in rows]) > 0
        origin[reverse] = _COMPLEMENT[origin[reverse, ::-1]]
        second = np.array([int(row[1]) & 128 for row in rows]) > 0
        origin = np.stack([origin[~second], origin[second]], axis=1)
        if [row[0] for row in rows][0::2] != names:
            raise ValueError(f"{prefix}_errFree.sam is not in the order of the FASTQ.")
    return Pairs(names, np.stack(bases, 1), np.stack(qualities, 1), origin)


def join(parts: list[Pairs]) -> Pairs:
    """All pairs of several runs."""
    origin = None
    if all(part.origin is not None for part in parts):
        origin = np.concatenate([part.origin for part in parts])
    return Pairs(
        [name for part in parts for name in part.names],
        np.concatenate([part.bases for part in parts]),
        np.concatenate([part.qualities for part in parts]),
        origin,
    )


def _other_base(rng: np.random.Generator, bases: np.ndarray) -> np.ndarray:
    return _BASES[(_CODE[bases] + rng.integers(1, 4, bases.shape)) % 4]


def _with_errors(rng, origin: np.ndarray, qualities: np.ndarray) -> np.ndarray:
    """`origin` with a wrong base at a rate of `10 ** (-quality / 10)`."""
    wrong = rng.random(origin.shape) < 10.0 ** (qualities / -10.0)
    return np.where(wrong, _other_base(rng, origin), origin)


def read_into_adapters(rng: np.random.Generator, pairs: Pairs, share: float) -> Pairs:
    """A `share` of the pairs with inserts of 40 to length - 1: both mates run on into
    the adapter, and mate 2 is the reverse complement of mate 1's insert."""
    length = pairs.bases.shape[2]
    rows = np.flatnonzero(rng.random(len(pairs)) < share)
    insert = rng.integers(40, length, len(rows))
    column = np.arange(length)
    first = pairs.origin[rows, 0]
    turned = _COMPLEMENT[
        np.take_along_axis(first, (insert[:, None] - 1 - column) % length, 1)
    ]
    origin = np.stack([first, turned], 1)
    after = column - insert[:, None]
    for mate, adapter in enumerate(ADAPTERS):
        tail = np.frombuffer(adapter + b"A" * length, np.uint8)
        origin[:, mate] = np.where(
            after >= 0, tail[np.maximum(after, 0)], origin[:, mate]
        )
    bases, whole = pairs.bases.copy(), pairs.origin.copy()
    bases[rows] = _with_errors(rng, origin, pairs.qualities[rows])
    whole[rows] = origin
    names = list(pairs.names)
    for row, size in zip(rows.tolist(), insert.tolist(), strict=True):
        names[row] += b":insert%d" % size
    return Pairs(names, bases, pairs.qualities, whole)


def add_copies(rng: np.random.Generator, pairs: Pairs, share: float) -> Pairs:
    """PCR copies so that a `share` of all pairs are copies: same fragment, qualities
    of another pair, errors drawn anew."""
    count = round(len(pairs) * share / (1 - share))
    rows = rng.integers(0, len(pairs), count)
    qualities = pairs.qualities[rng.integers(0, len(pairs), count)]
    origin = pairs.origin[rows]
    names = [pairs.names[r] + b":copy%d" % i for i, r in enumerate(rows.tolist())]
    copies = Pairs(names, _with_errors(rng, origin, qualities), qualities, origin)
    return join([pairs, copies])


def miscalibrate(
    rng: np.random.Generator, pairs: Pairs, true_error: Mapping[int, float]
) -> Pairs:
    """Bases reported at quality `q` made wrong at a rate of `true_error[q]`."""
    bases = pairs.bases.copy()
    for quality, error in true_error.items():
        at = np.flatnonzero(pairs.qualities.ravel() == quality)
        at = at[rng.random(len(at)) < error]
        bases.ravel()[at] = _other_base(rng, bases.ravel()[at])
    return dataclasses.replace(pairs, bases=bases)


def bin_qualities(pairs: Pairs) -> Pairs:
    """Qualities reported in Illumina's eight bins."""
    table = np.zeros(256, np.uint8)
    for low, reported in _BINS:
        table[low:] = reported
    return dataclasses.replace(pairs, qualities=table[pairs.qualities])


def write_fastq(pairs: Pairs, first: Path, second: Path) -> None:
    """Two FASTQ files."""
    for mate, path in enumerate((first, second)):
        bases = [row.tobytes() for row in pairs.bases[:, mate]]
        marks = [row.tobytes() for row in pairs.qualities[:, mate] + np.uint8(33)]
        path.write_bytes(
            b"".join(
                b"@%s/%d\n%s\n+\n%s\n" % (name, mate + 1, seq, mark)
                for name, seq, mark in zip(pairs.names, bases, marks, strict=True)
            )
        )
