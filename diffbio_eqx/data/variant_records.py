"""One variant record on the host, and the numbers a VCF derives from posteriors."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

MAXIMUM_PL = 9999
MAXIMUM_GQ = 99
MAXIMUM_QUAL = 999.0
_PHRED_PER_NAT = 10.0 / math.log(10.0)


@dataclasses.dataclass(frozen=True)
class VariantRecord:
    """One record of one sample (host side, not a pytree).

    - `contig`, `position` (0-based, of the first base of `ref`), `ref`, `alts`: as a
      VCF writes them, indels with their anchor base; `alts` may hold `*` (deleted by
      another record) or `<*>` (any allele not seen).
    - `qual`: Phred probability that the sample is homozygous reference, or None.
    - `filters`: labels; `("PASS",)` passed, `()` means no filter was applied.
    - `genotype`: one allele index per copy, None where missing; `phased` if ordered.
    - `gq`, `dp`: genotype quality (Phred) and depth; `ad` reads per allele, reference
      first; `pl`, `gp`: Phred-scaled likelihoods (smallest 0) and posteriors of the
      genotypes in VCF order; None where a file does not say.
    - `info`: further INFO entries; `END` (one past the last base, 0-based) and `DP`
      have a meaning to the writer.
    """

    contig: str
    position: int
    ref: str
    alts: tuple[str, ...]
    qual: int | float | None = None
    filters: tuple[str, ...] = ()
    genotype: tuple[int | None, ...] = ()
    gq: int | None = None
    dp: int | None = None
    ad: tuple[int, ...] | None = None
    pl: tuple[int, ...] | None = None
    gp: tuple[float, ...] | None = None
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    phased: bool = False

    @property
    def end(self) -> int:
        """One past the last reference base that the record speaks of."""
        return int(self.info.get("END", self.position + len(self.ref)))

    @property
    def label(self) -> str:
        """`contig:POS REF>ALT` with the 1-based position of the VCF, for messages."""
        alts = ",".join(self.alts) or "."
        return f"{self.contig}:{self.position + 1} {self.ref}>{alts}"


def genotypes(alleles: int, ploidy: int = 2) -> tuple[tuple[int, ...], ...]:
    """All genotypes in VCF order: of 3 alleles, diploid, 00 01 11 02 12 22.

    Raises `ValueError` for a ploidy other than 1 or 2.
    """
    if ploidy == 1:
        return tuple((a,) for a in range(alleles))
    if ploidy == 2:
        return tuple((a, b) for b in range(alleles) for a in range(b + 1))
    raise ValueError(
        f"ploidy must be 1 or 2, got {ploidy}; other ploidies are not supported."
    )


def genotype_index(genotype: tuple[int, ...]) -> int:
    """Place of a genotype in VCF order: b (b + 1) / 2 + a for a <= b, a if haploid."""
    if len(genotype) == 1:
        return genotype[0]
    if len(genotype) == 2:
        a, b = sorted(genotype)
        return b * (b + 1) // 2 + a
    raise ValueError(
        f"a genotype must have 1 or 2 alleles, got {genotype}; "
        "other ploidies are not supported."
    )


def phred_likelihoods(
    log_likelihoods: Float[np.ndarray, "*sites genotypes"],
    *,
    maximum: int = MAXIMUM_PL,
) -> Int[np.ndarray, "*sites genotypes"]:
    """PL = round(-10 log10 (L / max L)) of natural-log likelihoods.

    Integers; the smallest of each site is 0, none exceeds `maximum` (default 9999).
    """
    values = np.asarray(log_likelihoods, np.float64)
    phred = (values.max(axis=-1, keepdims=True) - values) * _PHRED_PER_NAT
    return np.rint(np.minimum(phred, maximum)).astype(np.int64)


def called_genotype(
    gp: Float[np.ndarray, "*sites genotypes"],
) -> Int[np.ndarray, "*sites"]:
    """GT as a place in VCF order: the genotype of largest posterior (first if tied)."""
    return np.asarray(np.asarray(gp).argmax(axis=-1))


def genotype_quality(
    gp: Float[np.ndarray, "*sites genotypes"], *, maximum: int = MAXIMUM_GQ
) -> Int[np.ndarray, "*sites"]:
    """GQ = -10 log10 P(genotype is not the called one), rounded, at most `maximum`.

    The probability is the sum of the other posteriors, so it keeps its precision where
    the called one rounds to 1. Not normalised posteriors are normalised.
    """
    values = np.asarray(gp, np.float64)
    best = values.argmax(axis=-1)[..., None]
    others = values.copy()
    np.put_along_axis(others, best, 0.0, axis=-1)
    phred = _phred(others.sum(axis=-1) / values.sum(axis=-1), maximum)
    return np.asarray(np.rint(phred), np.int64)


def variant_quality(
    gp: Float[np.ndarray, "*sites genotypes"], *, maximum: int | float = MAXIMUM_QUAL
) -> Float[np.ndarray, "*sites"]:
    """QUAL = -10 log10 P(homozygous reference), at most `maximum` (default 999)."""
    values = np.asarray(gp, np.float64)
    return np.asarray(_phred(values[..., 0] / values.sum(axis=-1), maximum))


def _phred(probability, maximum):
    floor = 10.0 ** (-float(maximum) / 10.0)
    clipped = np.clip(probability, floor, 1.0)
    return np.minimum(np.abs(-10.0 * np.log10(clipped)), float(maximum))
