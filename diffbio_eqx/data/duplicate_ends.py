"""Duplicates among aligned reads, found while a sorted file streams by."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped, UInt64

from diffbio_eqx.data.duplicate_groups import best_of_groups, group_numbers
from diffbio_eqx.data.umi_network import umi_families

PAIRED, UNMAPPED, MATE_UNMAPPED, REVERSE, FIRST, FAILED = 1, 4, 8, 16, 64, 512
WAITING, PAIR, FRAGMENT = 0, 1, 2
CLIP = 1 << 16
"""Longest clip before a read's first aligned base that is allowed for."""
_FAR = np.iinfo(np.int64).max


@dataclasses.dataclass(frozen=True)
class ReadEnds:
    """Primary alignments as arrays: all that decides about duplicates.

    `index` number of the record in the file; `name` hash and `text` bytes of its name;
    `contig`, `start` (0-based) as in the record; `first`, `last`: unclipped first and
    last base (1-based, last included); `flag`; `score` sum of the Phred values that
    are at least 15; `mate_contig`, `mate_start`; `library` number; `umi` bytes.

    The rest is filled in on the way: `state`, the mate's `other_*`, and `met`: a pair
    has an end at the place of this read.
    """

    index: Int[np.ndarray, " reads"]
    name: UInt64[np.ndarray, " reads"]
    text: Shaped[np.ndarray, " reads"]
    contig: Int[np.ndarray, " reads"]
    start: Int[np.ndarray, " reads"]
    first: Int[np.ndarray, " reads"]
    last: Int[np.ndarray, " reads"]
    flag: Int[np.ndarray, " reads"]
    score: Int[np.ndarray, " reads"]
    mate_contig: Int[np.ndarray, " reads"]
    mate_start: Int[np.ndarray, " reads"]
    library: Int[np.ndarray, " reads"]
    umi: Shaped[np.ndarray, " reads"]
    state: Int[np.ndarray, " reads"]
    met: Bool[np.ndarray, " reads"]
    other_contig: Int[np.ndarray, " reads"]
    other_first: Int[np.ndarray, " reads"]
    other_last: Int[np.ndarray, " reads"]
    other_reverse: Bool[np.ndarray, " reads"]
    other_score: Int[np.ndarray, " reads"]

    @staticmethod
    def from_records(**fields: np.ndarray) -> "ReadEnds":
        """Ends of new records, whose mates are not looked for yet."""
        count = len(fields["index"])
        zero = np.zeros(count, np.int64)
        names = ("state", "other_contig", "other_first", "other_last", "other_score")
        more = {name: zero.copy() for name in names}
        more |= {"met": np.zeros(count, bool), "other_reverse": np.zeros(count, bool)}
        return ReadEnds(**fields, **more)

    @staticmethod
    def concatenate(parts: Sequence["ReadEnds"]) -> "ReadEnds":
        """Successive ends as one table."""
        fields = [field.name for field in dataclasses.fields(ReadEnds)]
        join = lambda name: np.concatenate([getattr(part, name) for part in parts])
        return ReadEnds(**{name: join(name) for name in fields})

    def take(self, rows: np.ndarray) -> "ReadEnds":
        """Some of the rows."""
        return ReadEnds(**{name: value[rows] for name, value in vars(self).items()})

    def __len__(self) -> int:
        return len(self.index)

    @property
    def reverse(self) -> np.ndarray:
        return self.flag & REVERSE != 0


@dataclasses.dataclass(frozen=True)
class Decided:
    """Families that are complete: what is known of each of their reads.

    `index` (n,) number of the record; `family` (n,) numbers, unique in one call;
    `score` of the read and its mate; `best` the one that is kept; `beaten`: a
    fragment where a pair is, which never counts; `pair`.
    """

    index: Int[np.ndarray, " reads"]
    family: Int[np.ndarray, " reads"]
    score: Float32[np.ndarray, " reads"]
    best: Bool[np.ndarray, " reads"]
    beaten: Bool[np.ndarray, " reads"]
    pair: Bool[np.ndarray, " reads"]


class DuplicateStream:
    """Families of aligned reads, decided as soon as no later read can join them.

    The rules of `samtools markdup` (template mode) after `samtools fixmate`:

    - Pairs are copies where both ends agree: contig, unclipped outer position,
      orientation, library and UMI. The pair with the highest sum of base qualities
      (those >= 15, both mates) stays; of equal ones the first name in byte order.
    - A read without a mapped mate (or whose mate is not in the file) is a fragment. It
      is a copy where an end of any pair begins at its place (contig, unclipped 5' end,
      strand, library, UMI), else fragments compete; of equal ones the first stays.
    - Reads that failed quality checks are no copies and have none.

    Libraries are kept apart, as Picard does and samtools 1.16 does not. With `umi`
    "directional", UMIs that differ by one error are one, see `umi_families`; "equal"
    needs them equal; None leaves them out. Of equal fragments of one start, the first
    by name (numbers by value) stays with `by_name`, as after `samtools sort -n`.

    Add records in file order with `add`, which returns what is decided by then;
    `close` returns the rest. Memory: the reads within 65,536 bases, and those whose
    mates lie further on, at about 250 bytes each.

    **Attributes:** `orphans`, how many reads had a mapped mate that is not there;
    `by_name`.
    """

    def __init__(self, umi: str | None = None, *, by_name: bool = False):
        self._umi, self._kept, self.orphans = umi, None, 0
        self.by_name = by_name

    def add(self, ends: ReadEnds, contig: int, start: int) -> Decided:
        """Decide what later records, from `(contig, start)` on, cannot change."""
        return self._resolve(ends, contig, start)

    def close(self) -> Decided | None:
        """Decide all that is left."""
        if self._kept is None:
            return None
        return self._resolve(self._kept.take(np.zeros(0, np.int64)), _FAR, _FAR)

    def _resolve(self, ends, contig, start):
        if self._kept is not None:
            ends = ReadEnds.concatenate([self._kept, ends])
        self._match(ends, contig, start)
        pairs = _pair_columns(ends)
        behind = lambda c, x: (c < contig) | ((c == contig) & (x < start - CLIP))
        both = behind(pairs[0], pairs[1]) & behind(pairs[2], pairs[3])
        done_pairs = both & (ends.state == PAIR)
        place = np.where(ends.reverse, ends.last, ends.first)
        done_fragments, place_family = self._fragments(
            ends, place, behind(ends.contig, place)
        )
        failed = ends.flag & FAILED != 0
        drop = np.where(ends.state == PAIR, both, done_fragments | failed)
        drop &= ends.state != WAITING
        done_pairs &= ~failed
        parts = [
            self._decide_pairs(ends.take(done_pairs), [c[done_pairs] for c in pairs]),
            self._decide_fragments(
                ends.take(done_fragments), place_family[done_fragments]
            ),
        ]
        self._kept = ends.take(~drop)
        pairs_part, other = parts
        shift = len(ends)
        return Decided(
            np.concatenate([pairs_part.index, other.index]),
            np.concatenate([pairs_part.family, other.family + shift]),
            np.concatenate([pairs_part.score, other.score]),
            np.concatenate([pairs_part.best, other.best]),
            np.concatenate([pairs_part.beaten, other.beaten]),
            np.concatenate([pairs_part.pair, other.pair]),
        )

    def _match(self, ends, contig, start):
        """Put each other's ends into both mates; reads without one are fragments.

        A name is looked at once all its mates must have come. Its reads are paired in
        order, first reads before second ones: one with two, three with four. So does
        `samtools fixmate`, which matters where a record is in the file twice.
        """
        open_ = ends.state == WAITING
        single = (ends.flag & PAIRED == 0) | (ends.flag & MATE_UNMAPPED != 0)
        ends.state[open_ & single] = FRAGMENT
        rows = np.flatnonzero(open_ & ~single)
        if not len(rows):
            return
        second = ends.flag[rows] & FIRST == 0
        rows = rows[np.lexsort((ends.index[rows], second, ends.name[rows]))]
        name, to = ends.name[rows], ends.mate_contig[rows]
        passed = (to < contig) | ((to == contig) & (ends.mate_start[rows] < start))
        opens = np.ones(len(rows), bool)
        opens[1:] = name[1:] != name[:-1]
        run = np.cumsum(opens) - 1
        ready = np.logical_and.reduceat(passed, np.flatnonzero(opens))[run]
        number = np.arange(len(rows)) - np.flatnonzero(opens)[run]
        follows = np.flatnonzero(~opens & ready & (number % 2 == 1))
        one, two = rows[follows - 1], rows[follows]
        ends.state[rows[ready]] = FRAGMENT
        for own, other in ((one, two), (two, one)):
            ends.state[own] = PAIR
            ends.other_contig[own] = ends.contig[other]
            ends.other_first[own] = ends.first[other]
            ends.other_last[own] = ends.last[other]
            ends.other_reverse[own] = ends.reverse[other]
            ends.other_score[own] = ends.score[other]
        self.orphans += int(ready.sum()) - 2 * len(one)

    def _decide_pairs(self, ends, columns):
        group = _groups(self._umi, [*columns, ends.library], ends.umi)
        score = ends.score + ends.other_score
        best = best_of_groups(group, score, ends.text)
        no, yes = np.zeros(len(ends), bool), np.ones(len(ends), bool)
        return Decided(ends.index, group, score.astype(np.float32), best, no, yes)

    def _decide_fragments(self, ends, group):
        order = _order_by_name(ends, group) if self.by_name else ends.index
        best = best_of_groups(group, ends.score, order) & ~ends.met
        score = ends.score.astype(np.float32)
        no = np.zeros(len(ends), bool)
        return Decided(ends.index, group, score, best, ends.met, no)

    def _fragments(self, ends, place, behind):
        """Fragments that can be decided, and the family of each place."""
        group = np.full(len(ends), -1)
        good = np.flatnonzero(ends.flag & FAILED == 0)
        columns = [ends.contig, place, ends.reverse, ends.library]
        found = _groups(self._umi, [c[good] for c in columns], ends.umi[good])
        if not len(good):
            return np.zeros(len(ends), bool), group
        group[good] = found
        size = int(found.max()) + 1
        state = ends.state[good]
        pair_there = np.zeros(size, bool)
        pair_there[found[state == PAIR]] = True
        ends.met[good] |= pair_there[found]
        waits = np.zeros(size, bool)
        waits[found[state == WAITING]] = True
        done = np.zeros(len(ends), bool)
        done[good] = (state == FRAGMENT) & behind[good]
        done[good] &= ends.met[good] | ~waits[found]
        if self._umi == "directional":  # a network needs all the reads of its place
            whole = group_numbers([c[good] for c in columns])
            held = np.zeros(int(whole.max()) + 1, bool)
            held[whole[state == WAITING]] = True
            done[good] &= ~held[whole]
        return done, group


def _order_by_name(ends, group):
    """Order of fragments by start and name; names only where scores are equal."""
    order = ends.index.copy()
    equal = group_numbers([group, ends.score, ends.start])
    tied = np.flatnonzero(np.bincount(equal)[equal] > 1) if len(equal) else equal
    keys = [_natural(name) for name in ends.text[tied].tolist()]
    rows = sorted(range(len(tied)), key=lambda i: (equal[tied[i]], keys[i]))
    # The same places of the order, dealt out by name within each start.
    places = np.lexsort((ends.index[tied], equal[tied]))
    order[tied[rows]] = ends.index[tied[places]]
    return order


def _natural(name):
    """A key by which names sort as in `samtools sort -n`."""
    parts = re.split(rb"(\d+)", name)
    last = len(parts) - 1
    return [
        int(part) if at % 2 else part + (b"0" if at < last else b"")
        for at, part in enumerate(parts)
    ]


def _groups(umi, columns, letters):
    if umi is None:
        return group_numbers(columns)
    return umi_families(group_numbers(columns), letters, mismatch=umi == "directional")


def _pair_columns(ends):
    """What pairs must have in common: contigs, outer positions, side, orientation.

    Template mode of `samtools markdup`: of mates on one strand, the left one counts by
    its first base and the right one by its last.
    """
    own, other = ends.reverse, ends.other_reverse
    same = own == other
    forward = ~own
    leftmost = np.where(
        same,
        np.where(forward, ends.first <= ends.other_first, ends.last <= ends.other_last),
        np.where(forward, ends.first <= ends.other_last, ends.last <= ends.other_first),
    )
    apart = ends.contig != ends.other_contig
    leftmost = np.where(apart, ends.contig < ends.other_contig, leftmost)
    own_last = np.where(same, ~leftmost, own)
    other_last = np.where(same, leftmost, other)
    here = np.where(own_last, ends.last, ends.first)
    there = np.where(other_last, ends.other_last, ends.other_first)
    is_first = ends.flag & FIRST != 0
    # FF 0, RR 1 (as seen from the first read), FR 2, RF 3.
    rr = np.where(leftmost, is_first == own, is_first != own)
    strands = np.where(same, rr.astype(np.int64), np.where(leftmost == forward, 2, 3))
    return [ends.contig, here, ends.other_contig, there, leftmost, strands]
