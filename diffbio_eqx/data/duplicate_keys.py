"""Duplicates among reads without alignment: keys, sketches and families."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt64

from diffbio_eqx._checks import require_range
from diffbio_eqx.data.duplicate_families import DuplicateFamilies
from diffbio_eqx.data.duplicate_groups import (
    best_of_groups,
    connected_groups,
    group_numbers,
)
from diffbio_eqx.data.reads import Reads

KEYS = 4
"""Keys of a read: from disjoint stretches, so that one error spoils one key."""
NEIGHBOURS = 8
"""How many of the next reads in the order of a key are compared."""
MIN_QUALITY = 15
"""Lowest Phred that counts for the quality of a read, as in samtools and Picard."""
_SINGLE, _PAIRED = 24, 12  # bases of a mate in a key
_FAR = 32  # bits: half of what unrelated sketches differ in
_WORD = 32  # bases in 64 bits
_BLOCK = 1024  # reads whose bytes stay in cache
_ROUNDS = 64


@dataclasses.dataclass(frozen=True)
class ReadKeys:
    """What is kept of each read (or pair) to find its duplicates: 60 bytes.

    - `keys` (R, 4): hashes of four stretches of the read; of a pair, of both mates.
    - `sketch` (R, 2): 128 bits. The read in 2 bits a base, folded by exclusive or:
      sketches of two reads with e mismatches differ in about 4/3 e bits, those of
      unrelated reads in 64.
    - `exact` (R,): hash of the whole sequence.
    - `length` (R,): bases, of both mates.
    """

    keys: UInt64[np.ndarray, "reads 4"]
    sketch: UInt64[np.ndarray, "reads 2"]
    exact: UInt64[np.ndarray, " reads"]
    length: Int32[np.ndarray, " reads"]

    @staticmethod
    def concatenate(parts: Sequence["ReadKeys"]) -> "ReadKeys":
        """The keys of successive blocks as one."""
        names = [field.name for field in dataclasses.fields(ReadKeys)]
        join = lambda name: np.concatenate([getattr(part, name) for part in parts])
        return ReadKeys(*map(join, names))

    def take(self, rows: np.ndarray) -> "ReadKeys":
        """Some of the reads."""
        values = (self.keys, self.sketch, self.exact, self.length)
        return ReadKeys(*(value[rows] for value in values))

    def __len__(self) -> int:
        return len(self.exact)


def read_keys(reads: Reads) -> ReadKeys:
    """Keys of a block of reads, or of pairs where `reads.mate` is there.

    Copies of one molecule begin at the same base, so stretches at fixed places are
    compared: the first, second, third and fourth 24 bases (12 of each mate of a pair;
    a quarter of a shorter read). N counts as A. Take reads before quality trimming,
    which leaves copies of different lengths.
    """
    parts = []
    for low in range(0, max(1, len(reads.bases)), _BLOCK):
        mates = [np.asarray(reads.bases[low : low + _BLOCK])]
        if reads.mate is not None:
            mates.append(np.asarray(reads.mate.bases[low : low + _BLOCK]))
        parts.append(_block_keys(mates))
    return ReadKeys.concatenate(parts)


def read_quality(reads: Reads) -> Float[np.ndarray, " reads"]:
    """Sum of the Phred values that are at least 15, over both mates."""
    total = np.zeros(len(reads.bases))
    for low in range(0, len(total), _BLOCK):
        q = np.asarray(reads.qualities[low : low + _BLOCK])
        sums = np.where(q >= MIN_QUALITY, q, 0).sum(1, dtype=np.float32)
        total[low : low + _BLOCK] = sums
    return total if reads.mate is None else total + read_quality(reads.mate)


def duplicate_families(
    keys: ReadKeys,
    quality: Float[np.ndarray, " reads"],
    *,
    least_similarity: float = 0.9,
    neighbours: int = NEIGHBOURS,
) -> DuplicateFamilies:
    """Families of reads that may be copies of one molecule.

    1. Reads of one sequence are one entry, however many.
    2. Entries are sorted by each of the four keys, and each is compared with its next
       `neighbours` of the same key; sketches of at least `least_similarity` link them.
    3. Of linked entries, the one with most copies (then the best quality) is the
       centre; those alike to it are its family, and the rest starts again with a
       centre of its own.

    A family deeper than `neighbours` holds together through its chain of links, so
    nothing is under-counted. Cost: five sorts, else linear in reads. A threshold of
    `DuplicateWeighting` below `least_similarity` finds nothing more.

    **Arguments:** `keys` (R,); `quality` (R,), see `read_quality`.

    **Returns** a `DuplicateFamilies` of R reads; `order` is theirs in the file.

    **Raises** `ValueError` for `least_similarity` outside [0.5, 1].
    """
    require_range("least_similarity", least_similarity, 0.5, 1.0)
    count = len(keys)
    entry = group_numbers([keys.exact])
    copies = np.bincount(entry, minlength=1)
    first = np.empty(len(copies) if count else 0, np.int64)
    first[entry[::-1]] = np.arange(count)[::-1]
    one, two = _links(keys.take(first), least_similarity, neighbours)
    family = np.arange(len(first))
    similarity = np.ones(len(first), np.float32)
    has_link = np.zeros(len(first), bool)
    has_link[one] = has_link[two] = True
    linked = np.flatnonzero(has_link)
    if len(linked):
        best = np.zeros(len(first))
        np.maximum.at(best, entry, quality)
        place = np.cumsum(has_link) - 1
        inner, close = _stars(
            keys.take(first[linked]),
            connected_groups(len(linked), place[one], place[two]),
            copies[linked],
            best[linked],
            least_similarity,
        )
        family[linked] = linked[inner]
        similarity[linked] = close
    similarity = similarity[entry]
    return DuplicateFamilies(
        family[entry].astype(np.int32),
        similarity,
        (family == np.arange(len(first)))[entry],
        quality.astype(np.float32),
        np.arange(count, dtype=np.int32),
        np.ones(count, bool),
    )


def sketch_similarity(
    sketch: UInt64[np.ndarray, "pairs 2"],
    other: UInt64[np.ndarray, "pairs 2"],
    length: Int32[np.ndarray, " pairs"],
    other_length: Int32[np.ndarray, " pairs"],
) -> Float[np.ndarray, " pairs"]:
    """Identity estimated from sketches: `1 - e / length`.

    `e = -48 log(1 - d / 64)` mismatches are expected where d bits differ; what one
    read is longer than the other counts as mismatches.
    """
    bits = np.bitwise_count(sketch ^ other).sum(1, dtype=np.int64)
    near = np.minimum(bits, 63)
    mismatches = -48.0 * np.log1p(-near / 64.0)
    longer = np.maximum(length, other_length)
    mismatches = np.where(bits > _FAR, longer, mismatches)
    mismatches = mismatches + np.abs(length - other_length)
    return np.maximum(0.0, 1.0 - mismatches / np.maximum(longer, 1))


def _block_keys(mates):
    count = len(mates[0])
    width = _SINGLE if len(mates) == 1 else _PAIRED
    keys = np.zeros((count, KEYS), np.uint64)
    sketch = np.zeros((count, 2), np.uint64)
    exact = np.zeros(count, np.uint64)
    total = np.zeros(count, np.int32)
    turn = 0
    for bases in mates:
        length = (bases != 7).sum(1)
        words = _packed(bases)
        stretch = np.minimum(width, length // KEYS)
        for k in range(KEYS):
            piece = _stretch(words, k * stretch, stretch)
            keys[:, k] = _mixed(keys[:, k] ^ _mixed(piece, stretch), k + 1)
        for column in range(words.shape[1]):
            word = words[:, column]
            sketch[:, turn % 2] ^= _turned(word, 14 * (turn // 2) % 64)
            exact = _mixed(exact ^ word, column)
            turn += 1
        exact = _mixed(exact, length)
        total += length.astype(np.int32)
    return ReadKeys(keys, sketch, exact, total)


def _packed(bases):
    """(n, words) of 32 bases each, two bits a base."""
    count, length = bases.shape
    words = max(3, -(-length // _WORD))
    codes = np.zeros((count, words * _WORD), np.uint8)
    np.multiply(bases, bases < 4, out=codes[:, :length])
    quads = codes[:, 0::4] | (codes[:, 1::4] << 2)
    quads |= codes[:, 2::4] << 4
    quads |= codes[:, 3::4] << 6
    return quads.view("<u8")


def _turned(word, shift):
    """Bits moved round, so that equal words of a read do not cancel in the sketch."""
    if not shift:
        return word
    return (word << np.uint64(shift)) | (word >> np.uint64(64 - shift))


def _stretch(words, begin, length):
    """`length` (at most 24) bases from base `begin` on, as one number each."""
    word, bit = begin // _WORD, (2 * (begin % _WORD)).astype(np.uint64)
    rows = np.arange(len(words))
    low = words[rows, word] >> bit
    after = words[rows, np.minimum(word + 1, words.shape[1] - 1)]
    high = np.where(bit > 0, after << ((np.uint64(64) - bit) & np.uint64(63)), 0)
    mask = (np.uint64(1) << (2 * length).astype(np.uint64)) - np.uint64(1)
    return (low | high) & mask


def _mixed(value, salt):
    """Well-spread 64 bits of a number and a salt (the finaliser of MurmurHash3)."""
    salt = np.asarray(salt).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = value ^ (salt + np.uint64(0x7F4A7C15))
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


def _alike(keys, one, two, least) -> Bool[np.ndarray, " pairs"]:
    return _similarity(keys, one, two) >= least


def _similarity(keys, one, two):
    sketches = keys.sketch[one], keys.sketch[two]
    return sketch_similarity(*sketches, keys.length[one], keys.length[two])


def _links(keys, least, neighbours):
    """Pairs of entries that share a key and are alike."""
    ones, twos = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for k in range(KEYS):
        key = keys.keys[:, k]
        order = np.argsort(key)
        ordered = key[order]
        same = ordered[1:] == ordered[:-1]
        if not same.any():
            continue
        # Only entries that share their key go on; there, sort by the next key too.
        shared = np.zeros(len(order), bool)
        shared[1:] = same
        shared[:-1] |= same
        rows = order[shared]
        rows = rows[np.lexsort((keys.keys[rows, (k + 1) % KEYS], key[rows]))]
        ordered = key[rows]
        for step in range(1, neighbours + 1):
            at = np.flatnonzero(ordered[step:] == ordered[:-step])
            if not len(at):
                break
            one, two = rows[at], rows[at + step]
            near = _alike(keys, one, two, least)
            ones.append(one[near])
            twos.append(two[near])
    return np.concatenate(ones), np.concatenate(twos)


def _stars(keys, component, copies, quality, least):
    """The centre of each entry, and how alike it is to it."""
    count = len(component)
    centre, similarity = np.arange(count), np.ones(count, np.float32)
    left = np.arange(count)
    for _ in range(_ROUNDS):  # one family of each component in a round
        if not len(left):
            break
        group = group_numbers([component[left]])
        rank = np.empty(len(left), np.int64)
        by_rank = np.lexsort((-left, quality[left], copies[left]))
        rank[by_rank] = np.arange(len(left))
        best = best_of_groups(group, rank, rank)
        of_group = np.empty(group.max() + 1, np.int64)
        of_group[group[best]] = left[best]
        chosen = of_group[group]
        close = _similarity(keys, left, chosen)
        inside = (close >= least) | (left == chosen)
        centre[left[inside]] = chosen[inside]
        similarity[left[inside]] = close[inside]
        left = left[~inside]
    return centre, similarity
