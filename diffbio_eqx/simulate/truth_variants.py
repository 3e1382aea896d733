"""Variants with exact truth, as arrays."""

import dataclasses

import numpy as np
from jaxtyping import Int8, Int64, UInt8


@dataclasses.dataclass(frozen=True)
class TruthVariants:
    """True variants of one diploid sample, sorted, none touching another.

    Record `v` is spelled as in a VCF (left-aligned, anchor base before an indel):
    its allele `a` is the slice `[allele_begin[v, a], allele_begin[v, a] +
    allele_length[v, a])` of `allele_bases`; allele 0 is the reference allele.

    - `start` (V,): 0-based position of the first base of the reference allele.
    - `allele_begin`, `allele_length` (V, 3): length 0 where a record has no allele 2.
    - `allele_bases` (B,): codes.
    - `genotype` (V, 2): allele of haplotype 0 and of haplotype 1.
    """

    start: Int64[np.ndarray, " variants"]
    allele_begin: Int64[np.ndarray, "variants 3"]
    allele_length: Int64[np.ndarray, "variants 3"]
    allele_bases: UInt8[np.ndarray, " bases"]
    genotype: Int8[np.ndarray, "variants 2"]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def is_snv(self) -> np.ndarray:
        """(V,) True where all alleles have one base."""
        return self.allele_length.max(axis=1) == 1

    def alleles(self, row: int) -> tuple[str, ...]:
        """The alleles of one record as text, the reference allele first."""
        text = np.frombuffer(b"ACGTN", np.uint8)[self.allele_bases].tobytes().decode()
        begin, length = self.allele_begin[row], self.allele_length[row]
        return tuple(
            text[b : b + n] for b, n in zip(begin, length, strict=True) if n > 0
        )
