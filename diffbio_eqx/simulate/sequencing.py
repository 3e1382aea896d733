"""A block of fragments sequenced: bases, qualities, errors and alignments."""

import dataclasses

import numpy as np

from diffbio_eqx.simulate.fragments import Fragments
from diffbio_eqx.simulate.haplotype_tables import HaplotypeTables
from diffbio_eqx.simulate.qualities import draw_qualities, error_table, substitute
from diffbio_eqx.simulate.ragged import ragged_range
from diffbio_eqx.simulate.read_cigars import MATCH, spell_cigars
from diffbio_eqx.simulate.read_options import ReadOptions

_MARGIN = 8  # no sequencing indel so close to a read's end
_ADAPTERS = (
    "AGATCGGAAGAGCACACGTCTGAACTCCAGTCACATCACGATCTCGTATGCCGTCTTCTGCTTG",
    "AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGTAGATCTCGGTGGTCGCCGTATCATT",
)
_CODES = {"A": 0, "C": 1, "G": 2, "T": 3}
_COMPLEMENT = np.array([3, 2, 1, 0, 4], np.uint8)


@dataclasses.dataclass(frozen=True)
class Block:
    """Reads of some fragments (mates in turn), arrays as in `SimulatedReads`."""

    bases: np.ndarray
    qualities: np.ndarray
    wrong: np.ndarray
    start: np.ndarray
    end: np.ndarray
    operation: np.ndarray
    length: np.ndarray
    operations: np.ndarray
    haplotype_start: np.ndarray
    indel: np.ndarray


def _adapter_tails(bases, insert, reverse, second):
    """Write the adapter (then poly-A) over the bases beyond the insert, in place."""
    rows, width = bases.shape
    column = np.arange(width)
    cycle = np.where(reverse[:, None], width - 1 - column, column)
    beyond = cycle - insert[:, None]
    tails = np.zeros((2, width), np.uint8)
    for mate, text in enumerate(_ADAPTERS):
        codes = [_CODES[base] for base in text[:width]]
        tails[mate, : len(codes)] = codes
    tail = tails[second.astype(int)[:, None], np.maximum(beyond, 0)]
    tail = np.where(reverse[:, None], _COMPLEMENT[tail], tail)
    bases[:] = np.where(beyond >= 0, tail, bases)


def _sequencing_indels(rng, tables, low, high, width):
    """Signed length (+ insertion, 0 none) and flat place of each read's indel."""
    rate = tables.indel_rate
    inner_low, inner_high = low + _MARGIN, np.maximum(high - _MARGIN, low + _MARGIN)
    inner_low, inner_high = (
        np.minimum(edge, len(rate) - 1) for edge in (inner_low, inner_high)
    )
    aim = rate[inner_low] + rng.standard_exponential(len(low))
    rows = np.flatnonzero(aim < rate[inner_high])
    place = np.searchsorted(rate, aim[rows], side="right") - 1
    size = np.minimum(rng.geometric(0.8, len(rows)), tables.run[place])
    size = np.minimum(size, _MARGIN // 2)
    signed = np.where(rng.random(len(rows)) < 0.5, size, -size)
    keep = size > 0
    return rows[keep], place[keep], signed[keep]


def _shift(index, columns, place, signed, reverse):
    """Flat indices of the bases of reads with a sequencing indel; which are inserted.

    The end where sequencing began stays where it is.
    """
    at = (place - index[:, 0])[:, None]  # column of the first base of the run
    size, signed = np.abs(signed)[:, None], signed[:, None]
    reverse = reverse[:, None]
    forward_deletion = np.where(columns >= at, size, 0)
    reverse_deletion = np.where(columns < at + size, -size, 0)
    deletion = np.where(reverse, reverse_deletion, forward_deletion)
    first = np.where(reverse, at - size, at)
    inside = (columns >= first) & (columns < first + size) & (signed > 0)
    forward_insertion = np.where(columns >= at + size, -size, 0)
    reverse_insertion = np.where(columns < at - size, size, 0)
    insertion = np.where(reverse, reverse_insertion, forward_insertion)
    moved = index + np.where(signed > 0, insertion, deletion)
    return np.where(inside, place[:, None], moved), inside


def sequence_block(
    rng: np.random.Generator,
    tables: HaplotypeTables,
    fragments: Fragments,
    chosen: np.ndarray,
    options: ReadOptions,
) -> Block:
    """Both mates of the fragments `chosen` (indices)."""
    width = options.read_length
    rows = np.repeat(chosen, 2)
    second = np.arange(len(rows)) % 2 == 1
    reverse = fragments.first_reverse[rows] ^ second
    insert, haplotype = fragments.insert[rows], fragments.haplotype[rows]
    local = fragments.start[rows] + np.where(reverse, insert - width, 0)
    low, high = tables.offset[haplotype], tables.offset[haplotype + 1]
    columns = np.arange(width)
    left = low + local
    whole = (left >= low) & (left + width <= high)
    index = left[:, None] + columns
    index[~whole] = np.clip(index[~whole], low[~whole, None], high[~whole, None] - 1)

    short = insert < width
    able = np.flatnonzero(~short & whole)
    hit, place, signed = _sequencing_indels(
        rng, tables, left[able], left[able] + width, width
    )
    hit = able[hit]
    signed_all = np.zeros(len(rows), np.int8)
    signed_all[hit] = signed
    extra = np.zeros((len(hit), width), bool)
    index[hit], extra = _shift(index[hit], columns, place, signed, reverse[hit])
    index[hit] = np.clip(index[hit], low[hit, None], high[hit, None] - 1)

    bases = tables.bases[index]
    wrong_place = np.flatnonzero(fragments.mismapped[rows])
    bases[wrong_place] = tables.diverged[index[wrong_place]]
    tailed = np.flatnonzero(short)
    if len(tailed):
        part = bases[tailed]
        _adapter_tails(part, insert[tailed], reverse[tailed], second[tailed])
        bases[tailed] = part
    qualities = draw_qualities(rng, options.quality, width, second)
    qualities[reverse] = qualities[reverse, ::-1]
    qualities[bases > 3] = 2
    table = error_table(options.miscalibration)
    bases, wrong = substitute(rng, bases, qualities, table)

    beyond = np.maximum(width - insert, 0)
    clip = np.where((beyond > options.adapter_kept) | ~whole, beyond, 0)
    irregular = tables.irregular[index[:, -1]] != tables.irregular[index[:, 0]]
    irregular |= tables.inserted[index[:, 0]] | (clip > 0)
    irregular[hit] = True
    hard = np.flatnonzero(irregular)
    inserted = tables.inserted[index[hard]]
    inserted[np.searchsorted(hard, hit)] |= extra
    start, end = tables.to_reference[index[:, 0]], tables.to_reference[index[:, -1]] + 1
    spelled = spell_cigars(
        tables.to_reference[index[hard]],
        inserted,
        np.where(reverse, clip, 0)[hard],
        np.where(reverse, 0, clip)[hard],
        clip_within=options.clip_within,
    )
    start[hard], end[hard], operation, length, counts = spelled
    operations = np.ones(len(rows), np.int64)
    operations[hard] = counts
    begin = np.cumsum(operations) - operations
    flat_operation = np.full(int(operations.sum()), MATCH, np.uint8)
    flat_length = np.full(len(flat_operation), width)
    at = ragged_range(begin[hard], counts)
    flat_operation[at], flat_length[at] = operation, length
    return Block(
        bases, qualities, wrong, start, end, flat_operation, flat_length,
        operations, local, signed_all,
    )  # fmt: skip
