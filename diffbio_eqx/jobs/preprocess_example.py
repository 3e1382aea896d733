"""A small simulated pair of files, to try the command with."""

import gzip
import os
from pathlib import Path

import numpy as np

from diffbio_eqx.operators.reads.adapter_removal import TRUSEQ, TRUSEQ_2

_LETTERS = np.frombuffer(b"ACGT", np.uint8)
_LENGTH = 100


def write_preprocess_example(
    folder: str | os.PathLike, *, pairs: int = 3000, seed: int = 0
) -> np.ndarray:
    """Write `r1.fq.gz` and `r2.fq.gz`: 100 bases of a genome of 20 kb.

    Inserts are 160 bases long in the mean (60 of standard deviation), so many reads
    run into TruSeq adapters; errors at the rate of their qualities, which fall along
    the read; one pair in ten is a copy.

    **Returns** the true insert lengths. **Raises** `ValueError` if the folder exists
    and is not empty.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"folder {str(folder)!r} must be new or empty.")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    genome = rng.integers(0, 4, 20000).astype(np.uint8)
    insert = np.clip(rng.normal(160, 60, pairs).astype(int), 30, 400)
    start = rng.integers(0, len(genome) - 400, pairs)
    flip = rng.random(pairs) < 0.5
    copies = np.flatnonzero(rng.random(pairs) < 0.1)
    of = rng.integers(0, pairs, len(copies))
    for values in (insert, start, flip):
        values[copies] = values[of]
    ends = []
    for mate, adapter in enumerate((TRUSEQ, TRUSEQ_2)):
        tail = np.array(["ACGT".index(x) for x in adapter.ljust(_LENGTH, "A")])
        cycle = np.arange(_LENGTH)
        forward = flip == bool(mate)
        place = np.where(
            forward[:, None],
            start[:, None] + cycle,
            (start + insert)[:, None] - 1 - cycle,
        )
        bases = genome[np.clip(place, 0, len(genome) - 1)]
        bases = np.where(forward[:, None], bases, 3 - bases)
        beyond = cycle - insert[:, None]
        bases = np.where(beyond >= 0, tail[np.maximum(beyond, 0)], bases)
        quality = 38 - 14 * (cycle / _LENGTH) ** 3 + rng.normal(0, 4, bases.shape)
        quality = np.clip(quality, 2, 41).astype(int)
        wrong = rng.random(bases.shape) < 10 ** (-quality / 10)
        bases = np.where(wrong, (bases + rng.integers(1, 4, bases.shape)) % 4, bases)
        ends.append((bases, quality))
    for number, (bases, quality) in enumerate(ends, 1):
        with gzip.GzipFile(folder / f"r{number}.fq.gz", "wb", 6, mtime=0) as file:
            rows = zip(_LETTERS[bases], (quality + 33).astype(np.uint8), strict=True)
            for i, (letters, marks) in enumerate(rows):
                name = f"@pair{i + 1}/{number}".encode()
                file.write(
                    b"\n".join([name, letters.tobytes(), b"+", marks.tobytes(), b""])
                )
    return insert
