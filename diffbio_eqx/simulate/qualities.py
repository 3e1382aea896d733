"""Base qualities as an Illumina instrument reports them."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diffbio_eqx._checks import require_range

# Illumina's eight bins: lowest quality of a bin, reported quality
_BINS = ((0, 2), (3, 6), (10, 15), (20, 22), (25, 27), (30, 33), (35, 37), (40, 40))
HIGHEST_PHRED = 93


@dataclasses.dataclass(frozen=True)
class QualityProfile:
    """Phred qualities that fall along a read.

    The quality of cycle c is `highest - drop(c) * read * e`, rounded and kept in
    [2, highest]: `e` is exponential (mean 1, per base), `read` log-normal with
    deviation `read_spread` on the log scale (per read), and `drop(c)` is the mean
    distance from the highest quality: `start_drop` at the first cycle, falling to
    `middle_drop` within ten cycles, growing to `end_drop` at the last; times
    `second_mate` for mate 2. In a share `tails` of the reads everything from some
    cycle of the second half on is Q2. The defaults follow ART's HiSeq 2500 profile
    (Huang et al. 2012, doi:10.1093/bioinformatics/btr708). `binned` reports Illumina's
    eight bins.
    """

    highest: int = 41
    start_drop: float = 8.0
    middle_drop: float = 2.5
    end_drop: float = 6.0
    second_mate: float = 1.12
    read_spread: float = 0.15
    tails: float = 0.005
    binned: bool = False

    def __post_init__(self) -> None:
        require_range("highest (Phred)", self.highest, 3.0, float(HIGHEST_PHRED))
        for name in ("start_drop", "middle_drop", "end_drop", "second_mate"):
            require_range(name, getattr(self, name), 0.0, 100.0)
        require_range("read_spread", self.read_spread, 0.0, 3.0)
        require_range("tails", self.tails, 0.0, 1.0)

    def drop(self, length: int) -> Float32[np.ndarray, " cycles"]:
        """Mean distance from the highest quality at each cycle of mate 1."""
        cycle = np.arange(length)
        ramp = np.maximum(1.0 - cycle / 10.0, 0.0)
        rise = (cycle / max(length - 1, 1)) ** 1.5
        fall = self.middle_drop + (self.end_drop - self.middle_drop) * rise
        return (fall + (self.start_drop - self.middle_drop) * ramp).astype(np.float32)


def draw_qualities(
    rng: np.random.Generator,
    profile: QualityProfile,
    length: int,
    second: Bool[np.ndarray, " reads"],
) -> UInt8[np.ndarray, "reads cycles"]:
    """Reported qualities (reads, length) in the order of sequencing."""
    count = len(second)
    read = np.exp(profile.read_spread * rng.standard_normal(count))
    scale = (read * np.where(second, profile.second_mate, 1.0)).astype(np.float32)
    value = rng.standard_exponential((count, length), dtype=np.float32)
    value *= profile.drop(length)
    value *= -scale[:, None]
    value += np.float32(profile.highest + 0.5)
    np.maximum(value, np.float32(2.0), out=value)
    quality = value.astype(np.uint8)
    tail = np.flatnonzero(rng.random(count) < profile.tails)
    begin = rng.integers(length // 2, length, len(tail))
    quality[tail] = np.where(np.arange(length) >= begin[:, None], 2, quality[tail])
    if profile.binned:
        table = np.zeros(HIGHEST_PHRED + 1, np.uint8)
        for low, reported in _BINS:
            table[low:] = reported
        quality = table[quality]
    return quality


def error_table(
    miscalibration: Mapping[int, float] | None = None,
) -> Float32[np.ndarray, " phreds"]:
    """(94,) true probability of a wrong base for each reported quality.

    `10 ** (-q / 10)` (at most 3/4, a random base), except where `miscalibration`
    says otherwise. **Raises** `ValueError` for a quality outside of 0-93 or an error
    outside of [0, 1].
    """
    table = np.minimum(10.0 ** (np.arange(HIGHEST_PHRED + 1) / -10.0), 0.75)
    for quality, error in (miscalibration or {}).items():
        require_range(
            "miscalibration (reported Phred)", quality, 0.0, float(HIGHEST_PHRED)
        )
        require_range("miscalibration (true error)", error, 0.0, 1.0)
        table[int(quality)] = error
    return table.astype(np.float32)


def substitute(
    rng: np.random.Generator,
    bases: UInt8[np.ndarray, "reads cycles"],
    qualities: UInt8[np.ndarray, "reads cycles"],
    table: Float32[np.ndarray, " phreds"],
) -> tuple[UInt8[np.ndarray, "reads cycles"], Bool[np.ndarray, "reads cycles"]]:
    """Bases with substitution errors (each other base equally likely), and where."""
    wrong = rng.random(bases.shape, dtype=np.float32) < table[qualities]
    wrong &= bases < 4
    at = np.flatnonzero(wrong)
    flat = bases.ravel().copy()
    flat[at] = (flat[at] + rng.integers(1, 4, len(at), dtype=np.uint8)) % 4
    return flat.reshape(bases.shape), wrong
