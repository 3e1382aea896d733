"""Which kit's adapters are in these reads, and how often?"""

from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from diffbio_eqx.io.fastq_block import FastqBlock
from diffbio_eqx.operators.reads.adapter_estimate import estimate_adapters
from diffbio_eqx.operators.reads.adapter_removal import TRUSEQ, TRUSEQ_2

SAMPLE = 4096
"""Reads, the first ones of the file, that adapters are told from."""
_SEED, _LEAST_READS, _LEAST_SHARE = 12, 8, 1e-3


class Kit(NamedTuple):
    """What reads 1 and reads 2 run into after a short insert."""

    name: str
    first: str
    second: str


KITS = (
    Kit("TruSeq", TRUSEQ, TRUSEQ_2),
    Kit("Nextera", "CTGTCTCTTATACACATCT", "CTGTCTCTTATACACATCT"),
    Kit("small RNA", "TGGAATTCTCGGGTGCCAAGG", "GATCGTCGGACTGTAGAACTCTGAAC"),
    Kit(
        "MGI",
        "AAGTCGGAGGCCAAGCGGTCTTAGGAAGACAA",
        "AAGTCGGATCGTAGCCATGTCGTTCTGTGAGCCAAGGAGTTG",
    ),
    Kit("QIAseq miRNA", "AACTGTAGGCACCATCAAT", "GATCGTCGGACTGTAGAACTCTGAAC"),
)


class FoundKit(NamedTuple):
    """The kit, how many of `looked` reads have its adapter's first bases, exactly."""

    kit: Kit
    reads: int
    looked: int

    @property
    def sure(self) -> bool:
        """Is there evidence, or is this the default?"""
        return self.reads >= max(_LEAST_READS, _LEAST_SHARE * self.looked)


def find_kit(block: FastqBlock) -> FoundKit:
    """The kit whose adapter most reads have; TruSeq where there is no evidence.

    Counts exact copies of the first 12 bases of each adapter in reads 1 (a chance
    match needs 17 million bases).
    """
    bases = block.bases[:SAMPLE]
    text = bases.tobytes()
    counts = [text.count(_codes(kit.first[:_SEED])) for kit in KITS]
    best = FoundKit(KITS[int(np.argmax(counts))], max(counts), len(bases))
    return best if best.sure else FoundKit(KITS[0], counts[0], len(bases))


def with_estimates(pipeline: Any, block: FastqBlock) -> Any:
    """The pipeline with shares and background of its adapters taken from the reads."""
    sides = (("adapter_removal", block), ("mate_adapter_removal", block.mate))
    for name, side in sides:
        removal = getattr(pipeline, name)
        if removal is None or side is None:
            continue
        new = estimate_adapters(
            removal, side.bases[:SAMPLE], side.qualities[:SAMPLE], rounds=2
        )
        where = lambda p, name=name: getattr(p, name)
        pipeline = eqx.tree_at(where, pipeline, new)
    return pipeline


def _codes(letters: str) -> bytes:
    return letters.translate(str.maketrans("ACGT", "\0\1\2\3")).encode()
