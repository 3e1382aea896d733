"""What all reads of a file say about each one, found on the host."""

import dataclasses

import numpy as np

from diffbio_eqx.data.duplicate_keys import (
    duplicate_families,
    read_keys,
    read_quality,
)
from diffbio_eqx.data.kmer_spectrum import KmerSpectrum
from diffbio_eqx.data.kmer_table import KmerTable
from diffbio_eqx.data.reads import PADDING, Reads


def prepare_reads(
    reads: Reads,
    *,
    duplicates: bool = True,
    spectrum: KmerSpectrum | None = None,
    table: KmerTable | None = None,
    least_similarity: float = 0.9,
) -> Reads:
    """`reads` with what the Preprocessing pipeline needs beyond each read by itself.

    **Arguments:**

    - `reads`: a block, as it came from the sequencer.
    - `duplicates`: whether to look for copies of a molecule among the reads of this
      block; see `duplicate_families`, which takes `least_similarity`.
    - `spectrum`: word counts of the whole set, from a `KmerCounter`; None leaves
      errors alone. `table`: its look-up table, if there is one already.

    **Returns:** the same reads with `families` and `support` filled in. Support takes
    8 k bytes a base: give blocks of 100 to 1,000 reads.
    """
    families = reads.families
    if duplicates:
        keys, quality = read_keys(reads), read_quality(reads)
        families = duplicate_families(keys, quality, least_similarity=least_similarity)
        real = np.asarray(reads.read_mask, bool)
        families = dataclasses.replace(families, read_mask=real)
    if spectrum is None:
        return dataclasses.replace(reads, families=families)
    table = spectrum.table() if table is None else table
    supported = lambda r: dataclasses.replace(r, support=_support(r, spectrum, table))
    mate = None if reads.mate is None else supported(reads.mate)
    return dataclasses.replace(supported(reads), families=families, mate=mate)


def _support(reads, spectrum, table):
    real = np.asarray(reads.read_mask)[:, None]
    bases = np.where(real, np.asarray(reads.bases), np.uint8(PADDING))
    return spectrum.support(bases, table)
