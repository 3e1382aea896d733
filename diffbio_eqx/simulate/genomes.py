"""Diploid genomes: a reference, two haplotypes, and the exact truth between them."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from diffbio_eqx._checks import fail, require_range, require_shape
from diffbio_eqx.simulate.ragged import ragged_range
from diffbio_eqx.simulate.references import random_reference
from diffbio_eqx.simulate.truth_variants import TruthVariants
from diffbio_eqx.simulate.variant_drawing import draw_variants


@dataclasses.dataclass(frozen=True)
class Haplotype:
    """One chromosome copy and where its bases lie on the reference.

    - `bases` (H,): codes.
    - `to_reference` (H,): reference position of each base; for an inserted base, the
      position of the reference base right after the insertion.
    - `inserted` (H,): True for bases that are not on the reference.
    """

    bases: UInt8[np.ndarray, " bases"]
    to_reference: Int64[np.ndarray, " bases"]
    inserted: Bool[np.ndarray, " bases"]

    def __len__(self) -> int:
        return len(self.bases)


@dataclasses.dataclass(frozen=True)
class DiploidGenome:
    """A reference (codes), the true variants, and the two haplotypes they spell."""

    reference: UInt8[np.ndarray, " positions"]
    variants: TruthVariants
    haplotypes: tuple[Haplotype, Haplotype]


def spell_haplotype(
    reference: UInt8[np.ndarray, " positions"], variants: TruthVariants, copy: int
) -> Haplotype:
    """Haplotype `copy` (0 or 1): the reference with that copy's alleles put in.

    An allele's first base lies on the record's first reference base, the insertion or
    deletion follows it at once (left-aligned), then come any bases left.
    """
    row = np.arange(len(variants))
    allele = variants.genotype[:, copy].astype(np.int64)
    old = variants.allele_length[:, 0]
    new = variants.allele_length[row, allele]
    stop = variants.start + old
    # pieces: reference, allele, reference, ..., allele, reference
    begin = np.zeros(2 * len(row) + 1, np.int64)
    length = np.zeros_like(begin)
    begin[2::2] = stop
    begin[1::2] = len(reference) + variants.allele_begin[row, allele]
    length[0::2] = np.append(variants.start, len(reference)) - begin[0::2]
    length[1::2] = new
    source = ragged_range(begin, length)
    bases = np.concatenate([reference, variants.allele_bases])[source]

    within = ragged_range(np.zeros_like(length), length)
    piece = np.repeat(np.arange(len(length)), length)
    record = np.minimum(piece // 2, max(len(row) - 1, 0))
    if len(row) == 0:
        return Haplotype(bases, source, np.zeros(len(bases), bool))
    is_allele = piece % 2 == 1
    extra = (new - old)[record]
    after = within - np.maximum(extra, 0)  # index among the bases that are aligned
    inserted = is_allele & (within > 0) & (after <= 0)
    skipped = np.where(within > 0, np.maximum(-extra, 0), 0)
    aligned = np.where(inserted, 1, np.where(within == 0, 0, after + skipped))
    to_reference = np.where(is_allele, variants.start[record] + aligned, source)
    return Haplotype(bases, to_reference, inserted)


def simulate_genome(
    reference: UInt8[np.ndarray, " positions"] | int,
    *,
    seed: int,
    snv_rate: float = 1e-3,
    indel_rate: float = 1.5e-4,
    transitions: float = 2 / 3,
    repeat_share: float = 0.5,
    longest_indel: int = 30,
    het_share: float = 2 / 3,
    compound_share: float = 0.02,
    gap: int = 2,
) -> DiploidGenome:
    """A diploid genome with SNVs and indels whose truth is known to the base.

    **Arguments:**

    - `reference`: (L,) codes, or a length for `random_reference(length, seed=seed)`.
    - `seed`: everything follows from it.
    - `snv_rate`, `indel_rate`: expected variants per base. A few fewer come out:
      those that would touch another, or unknown bases, are left out.
    - `transitions`: share of transitions (2/3: ts/tv = 2).
    - `repeat_share`: share of indels that add or remove copies in a homopolymer or
      short tandem repeat; longer tracts change more often.
    - `longest_indel`: bases; lengths follow a mixture of two geometric laws.
    - `het_share`: share of heterozygous records (2/3: het:hom = 2:1).
    - `compound_share`: share of indel records with two different indel alleles (1|2).
    - `gap`: unchanged bases kept between two records.

    **Returns** the genome; indels are left-aligned. **Raises** `ValueError` when an
    argument is out of range or the reference is not a vector of codes 0-4.
    """
    for what, value, high in (
        ("snv_rate", snv_rate, 0.2),
        ("indel_rate", indel_rate, 0.1),
        ("transitions", transitions, 1.0),
        ("repeat_share", repeat_share, 1.0),
        ("het_share", het_share, 1.0),
        ("compound_share", compound_share, 1.0),
    ):
        require_range(what, value, 0.0, high)
    require_range("longest_indel", longest_indel, 4.0, 100.0)
    require_range("gap", gap, 1.0, 1000.0)
    if isinstance(reference, int):
        reference = random_reference(reference, seed=seed)
    require_shape("reference", reference.shape, ("positions",))
    if reference.dtype != np.uint8 or reference.max(initial=0) > 4:
        fail(
            "reference",
            expected="uint8 codes 0-3 = A C G T, 4 = N",
            got=f"{reference.dtype} up to {reference.max(initial=0)}",
        )
    shortest = float(2 * longest_indel + 2 * gap + 4)
    require_range("reference length", len(reference), shortest)
    variants = draw_variants(
        np.random.default_rng([seed, 2]),
        reference,
        snv_rate=snv_rate,
        indel_rate=indel_rate,
        transitions=transitions,
        repeat_share=repeat_share,
        longest=longest_indel,
        het_share=het_share,
        compound_share=compound_share,
        gap=gap,
    )
    first, second = (spell_haplotype(reference, variants, copy) for copy in (0, 1))
    return DiploidGenome(reference, variants, (first, second))
