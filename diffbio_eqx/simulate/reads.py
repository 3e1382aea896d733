"""Paired reads of a diploid genome, aligned by construction."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int8, Int32, Int64, UInt8, UInt16

from diffbio_eqx.simulate.fragments import draw_fragments
from diffbio_eqx.simulate.genomes import DiploidGenome
from diffbio_eqx.simulate.haplotype_tables import haplotype_tables
from diffbio_eqx.simulate.read_cigars import take_cigars
from diffbio_eqx.simulate.read_options import ReadOptions
from diffbio_eqx.simulate.sequencing import Block, sequence_block

_FRAGMENTS_AT_ONCE = 8192


@dataclasses.dataclass(frozen=True)
class SimulatedReads:
    """`R` reads of one length `L`, sorted by `start`, with what really happened.

    As a BAM file has them (bases of reverse reads are reverse-complemented):

    - `bases`, `qualities` (R, L): codes and reported Phred qualities.
    - `start`, `end` (R,): aligned reference interval, 0-based and half-open.
    - `cigar_operation`, `cigar_length` (C,), `cigar_begin` (R + 1,): flat CIGARs, read
      `r` owns `[cigar_begin[r], cigar_begin[r + 1])`; codes M 0, I 1, D 2, S 4.
    - `flag`, `mapping_quality` (R,); `mate` (R,) row of the mate; `template_length`.
    - `fragment` (R,): the number that names the pair.

    Truth: `wrong` (R, L) where a base was substituted; `haplotype` (R,) of origin and
    `haplotype_start` (R,), the place of column 0 on it when the read has no
    sequencing indel; `sequencing_indel` (R,) its signed length; `insert` (R,) size;
    `copy_of` (R,) the fragment this pair is a PCR copy of, or -1; `mismapped` (R,).
    """

    bases: UInt8[np.ndarray, "reads cycles"]
    qualities: UInt8[np.ndarray, "reads cycles"]
    start: Int64[np.ndarray, " reads"]
    end: Int64[np.ndarray, " reads"]
    cigar_operation: UInt8[np.ndarray, " operations"]
    cigar_length: Int32[np.ndarray, " operations"]
    cigar_begin: Int64[np.ndarray, " reads_and_one"]
    flag: UInt16[np.ndarray, " reads"]
    mapping_quality: UInt8[np.ndarray, " reads"]
    mate: Int64[np.ndarray, " reads"]
    template_length: Int64[np.ndarray, " reads"]
    fragment: Int64[np.ndarray, " reads"]
    wrong: Bool[np.ndarray, "reads cycles"]
    haplotype: Int8[np.ndarray, " reads"]
    haplotype_start: Int64[np.ndarray, " reads"]
    sequencing_indel: Int8[np.ndarray, " reads"]
    insert: Int64[np.ndarray, " reads"]
    copy_of: Int64[np.ndarray, " reads"]
    mismapped: Bool[np.ndarray, " reads"]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def mate_start(self) -> Int64[np.ndarray, " reads"]:
        """Where the mate's alignment begins."""
        return self.start[self.mate]

    @property
    def reverse(self) -> Bool[np.ndarray, " reads"]:
        """Whether the read is of the reverse strand."""
        return (self.flag & 16) > 0


def _template_lengths(start, end, mapped):
    """Signed template lengths of pairs (rows 2i and 2i + 1)."""
    starts, ends = start.reshape(-1, 2), end.reshape(-1, 2)
    size = ends.max(axis=1) - starts.min(axis=1)
    size = np.where(mapped.reshape(-1, 2).all(axis=1), size, 0)
    sign = np.where(starts[:, 0] <= starts[:, 1], 1, -1)
    return np.stack([sign * size, -sign * size], axis=1).ravel()


def simulate_reads(
    genome: DiploidGenome, options: ReadOptions | None = None, *, seed: int
) -> SimulatedReads:
    """Paired reads of both haplotypes, sorted by position; `options` say how.

    The alignment is the true one, up to soft clips (`ReadOptions.clip_within`,
    adapters): no aligner runs, so there are no mapping errors but those asked for. A
    read that lies inside one long insertion has no aligned base: it is flagged as
    unmapped and stands where the insertion does.

    **Raises** `ValueError` when the genome is shorter than an insert.
    """
    options = ReadOptions() if options is None else options
    rng = np.random.default_rng([seed, 3])
    fragments = draw_fragments(rng, genome, options)
    tables = haplotype_tables(
        rng,
        genome,
        indel_error=options.indel_error,
        run_growth=options.run_growth,
    )
    count = len(fragments.start)
    # in the order of the genome, so that the tables stay in the cache
    order = np.argsort(fragments.start, kind="stable")
    # one block at least, so that an empty run has typed arrays
    edges = range(0, max(count, 1), _FRAGMENTS_AT_ONCE)
    blocks = [
        sequence_block(
            rng, tables, fragments, order[edge : edge + _FRAGMENTS_AT_ONCE], options
        )
        for edge in edges
    ]
    joined = {
        field.name: np.concatenate([getattr(block, field.name) for block in blocks])
        for field in dataclasses.fields(Block)
    }
    row = np.repeat(order, 2)
    second = np.arange(2 * count) % 2 == 1
    reverse = fragments.first_reverse[row] ^ second
    mapped = joined["operations"] > 0
    other = np.arange(2 * count) ^ 1
    flag = 1 + 16 * reverse + 32 * reverse[other] + np.where(second, 128, 64)
    flag += 2 * (mapped & mapped[other]) + 4 * ~mapped + 8 * ~mapped[other]
    flag += 1024 * fragments.marked[row]
    low = rng.integers(0, 41, count)[row]
    mapping_quality = np.where(fragments.mismapped[row], low, 60) * mapped
    template = _template_lengths(joined["start"], joined["end"], mapped)

    by_start = np.argsort(joined["start"], kind="stable")
    place = np.empty_like(by_start)
    place[by_start] = np.arange(len(by_start))
    operation, length, counts = take_cigars(
        joined["operation"], joined["length"], joined["operations"], by_start
    )
    row = row[by_start]
    return SimulatedReads(
        bases=joined["bases"][by_start],
        qualities=joined["qualities"][by_start],
        start=joined["start"][by_start],
        end=joined["end"][by_start],
        cigar_operation=operation,
        cigar_length=length.astype(np.int32),
        cigar_begin=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        flag=flag[by_start].astype(np.uint16),
        mapping_quality=mapping_quality[by_start].astype(np.uint8),
        mate=place[other[by_start]],
        template_length=template[by_start],
        fragment=row,
        wrong=joined["wrong"][by_start],
        haplotype=fragments.haplotype[row],
        haplotype_start=joined["haplotype_start"][by_start],
        sequencing_indel=joined["indel"][by_start],
        insert=fragments.insert[row],
        copy_of=fragments.copy_of[row],
        mismapped=fragments.mismapped[row],
    )
