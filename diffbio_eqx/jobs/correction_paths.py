"""The likeliest sequence of each read through the trusted words: a beam search."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8, UInt64

_SKIPPED = np.uint8(255)
_BASES = np.arange(4)
_LOG_QUARTER = np.float32(np.log(0.25))

Trusted = Callable[[UInt64[np.ndarray, "*s"], UInt64[np.ndarray, "*s"]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class PathCosts:
    """What a path pays, in nats (see `ErrorCorrection` for where they come from).

    - `same`, `other` (256,): log probability to read the path's base, or one other
      base, by Phred.
    - `leave`, `stay`: for the first word of a stretch without trust, and for each.
    - `margin`: a change that beats the next best by less is not made.
    - `doubt`: other bases are tried where the read's own gives a word without trust,
      or has a Phred of at most this.
    - `beam`: paths kept for a read. `drop`: a path this far below the best is given
      up. `back`: how many bases before the end of a trusted stretch a path begins, so
      that it can leave a stretch that is trusted by accident.
    """

    same: Float[np.ndarray, "256"]
    other: Float[np.ndarray, "256"]
    leave: float
    stay: float
    margin: float = 1.0
    beam: int = 4
    drop: float = 40.0
    back: int = 12
    doubt: int = 30

    @property
    def leave_and_stay(self) -> float:
        """The first word without trust."""
        return self.leave + self.stay


@dataclasses.dataclass(frozen=True)
class ReadWords:
    """Reads with the codes of their words of `k` bases and whether these are trusted.

    `end` (n,): the column after the last base that may be changed.
    """

    k: int
    bases: UInt8[np.ndarray, "n length"]
    phred: UInt8[np.ndarray, "n length"]
    forward: UInt64[np.ndarray, "n words"]
    reverse: UInt64[np.ndarray, "n words"]
    good: Bool[np.ndarray, "n words"]
    end: Integer[np.ndarray, " n"]

    def flipped(self, start: Integer[np.ndarray, " n"]) -> "ReadWords":
        """The other strand; `start` (n,) is the first column that may be changed."""
        turn = lambda x: np.ascontiguousarray(x[:, ::-1])
        return ReadWords(
            self.k,
            complement(turn(self.bases)),
            turn(self.phred),
            turn(self.reverse),
            turn(self.forward),
            turn(self.good),
            self.bases.shape[1] - start,
        )


def complement(bases: UInt8[np.ndarray, "*s"]) -> UInt8[np.ndarray, "*s"]:
    """The other strand's base; codes above 3 stay."""
    return np.where(bases < 4, np.uint8(3) - bases, bases)


def longest_runs(
    good: Bool[np.ndarray, "n words"],
) -> tuple[Integer[np.ndarray, " n"], Integer[np.ndarray, " n"]]:
    """First word and number of words of the longest trusted stretch of each row."""
    column = np.arange(good.shape[1])
    untrusted = np.maximum.accumulate(np.where(good, -1, column), axis=1)
    size = np.where(good, column - untrusted, 0)
    last = size.argmax(1)
    most = size[np.arange(len(good)), last]
    return last - most + 1, most


def extend_right(
    trusted: Trusted,
    reads: ReadWords,
    island: Integer[np.ndarray, " n"],
    costs: PathCosts,
) -> UInt8[np.ndarray, "n length"]:
    """The bases of the best path of each read from an island to the read's end.

    A path is a sequence of bases, aligned with the read without gaps. It pays for
    every base that differs from the read, by quality, and for words that are not
    trusted. A path may change a base only if that gives a trusted word. All reads take
    a step together; a read whose one path is back on trusted words of its own moves on
    to where these end.

    **Arguments:** `trusted(forward, reverse)`, which words are trusted; `island` (n,),
    a trusted word of each read.
    """
    n, length = reads.bases.shape
    k, last_word = reads.k, reads.end - reads.k
    run_end = _run_ends(reads.good)
    history = np.full((n, length, costs.beam), _SKIPPED, np.uint8)
    doubtful = np.zeros((n, length), bool)
    every = np.arange(n)
    begin = np.maximum(run_end[every, island] - costs.back, island)
    begin = np.where(run_end[every, island] >= last_word, last_word, begin)
    at = begin + k  # the next column of each read
    paths = _Paths(
        row=every,
        forward=reads.forward[every, begin],
        reverse=reads.reverse[every, begin],
        score=np.zeros(n, np.float32),
        outside=np.zeros(n, bool),
        unknown=np.zeros(n, np.int8),
        slot=np.zeros(n, np.uint8),
    )
    paths = paths.take(at < reads.end)
    while len(paths.row):
        children, base = _children(trusted, reads, paths, at, costs)
        children, base = _best(children, base, at, k, costs, doubtful)
        first = np.searchsorted(children.row, children.row)
        rank = (np.arange(len(first)) - first).astype(np.uint8)
        column = at[children.row]
        history[children.row, column, rank] = children.slot * 8 + base
        paths = dataclasses.replace(children, slot=rank)
        rows = paths.row[rank == 0]
        at[rows] += 1
        over = at[paths.row] >= reads.end[paths.row]
        if over.any():
            _doubt_at_end(paths.take(over), at, k, costs, doubtful)
            paths = paths.take(~over)
        _move_on(reads, paths, at, run_end, last_word, costs.back)
        paths = paths.take(at[paths.row] < reads.end[paths.row])
    return _trace(reads.bases, history, doubtful)


@dataclasses.dataclass(frozen=True)
class _Paths:
    """Paths under way, sorted by read; those of a read from the best to the worst.

    `outside`: the last word is not trusted. `unknown`: words until an N that was kept
    is left behind. `slot`: the path's number, or for a child its parent's.
    """

    row: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray
    score: np.ndarray
    outside: np.ndarray
    unknown: np.ndarray
    slot: np.ndarray

    def fields(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def take(self, which):
        return _Paths(*(field[which] for field in self.fields()))


def _children(trusted, reads, paths, at, costs):
    """Every path with one more base: the read's own, or another that is trusted."""
    k, column = reads.k, at[paths.row]
    read, phred = reads.bases[paths.row, column], reads.phred[paths.row, column]
    called = read < 4
    unknown = np.maximum(paths.unknown - 1, 0)
    clear = unknown == 0
    forward, reverse = _next_words(paths, np.where(called, read, np.uint8(0)), k)
    good = trusted(forward, reverse) & clear & called  # N is written as A
    away = np.where(good, 0, np.where(paths.outside, costs.stay, costs.leave_and_stay))
    step = np.where(called, costs.same[phred], _LOG_QUARTER) - away
    own = _Paths(
        row=paths.row,
        forward=forward,
        reverse=reverse,
        score=(paths.score + step).astype(np.float32),
        outside=~good,
        unknown=np.where(called, unknown, np.int8(k)),
        slot=paths.slot,
    )
    # a base of good quality that others have too needs no other choice
    doubt = np.flatnonzero(clear & (~good | (phred <= costs.doubt)))
    part = paths.take(doubt)
    words = [_next_words(part, np.full(len(doubt), b, np.uint8), k) for b in range(4)]
    forward, reverse = (np.stack(codes, 1) for codes in zip(*words, strict=True))
    use = trusted(forward, reverse) & (read[doubt][:, None] != _BASES)
    path, base = np.nonzero(use)
    step = np.where(called[doubt], costs.other[phred[doubt]], _LOG_QUARTER)
    others = _Paths(
        row=part.row[path],
        forward=forward[use],
        reverse=reverse[use],
        score=(part.score + step).astype(np.float32)[path],
        outside=np.zeros(len(path), bool),
        unknown=np.zeros(len(path), np.int8),
        slot=part.slot[path],
    )
    both = zip(own.fields(), others.fields(), strict=True)
    children = _Paths(*(np.concatenate(pair) for pair in both))
    return children, np.concatenate([read, base.astype(np.uint8)])


def _next_words(paths, base, k):
    """Codes of both strands after one more base."""
    base = base.astype(np.uint64)
    forward = (paths.forward << np.uint64(2)) | base
    forward &= np.uint64((1 << (2 * k)) - 1)
    reverse = (np.uint64(3) - base) << np.uint64(2 * (k - 1))
    reverse |= paths.reverse >> np.uint64(2)
    return forward, reverse


def _best(children, base, at, k, costs, doubtful):
    """At most `beam` children of each read, best first; of twins only the better."""
    order = np.lexsort((-children.score, children.row))
    children, base = children.take(order), base[order]
    row, score = children.row, children.score
    top = score[np.searchsorted(row, row)]
    keep = score >= top - costs.drop
    for gap in range(1, min(2 * costs.beam, len(row))):
        same = row[gap:] == row[:-gap]
        if not same.any():
            break
        twin = same & (children.forward[gap:] == children.forward[:-gap])
        twin &= (children.unknown[gap:] == 0) & (children.unknown[:-gap] == 0)
        worse = np.flatnonzero(twin) + gap
        keep[worse] = False
        # twins differ in the base that has just left their words
        close = worse[top[worse] - score[worse] < costs.margin]
        doubtful[row[close], at[row[close]] - k] = True
    children, base, row = children.take(keep), base[keep], row[keep]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    return children.take(rank < costs.beam), base[rank < costs.beam]


def _doubt_at_end(paths, at, k, costs, doubtful):
    """Marks the columns where paths that end nearly as well as the best differ."""
    first = np.searchsorted(paths.row, paths.row)
    close = paths.score[first] - paths.score < costs.margin
    close &= first != np.arange(len(first))
    row = paths.row[close]
    change = paths.forward[close] ^ paths.forward[first[close]]
    for j in range(k if len(row) else 0):
        differ = (change >> np.uint64(2 * j)) & np.uint64(3) > 0
        doubtful[row[differ], at[row[differ]] - 1 - j] = True


def _move_on(reads, paths, at, run_end, last_word, back):
    """Moves reads with one path on trusted words of their own to the end of these."""
    row, k = paths.row, reads.k
    if not len(row):
        return
    alone = np.ones(len(row), bool)
    alone[1:] &= row[1:] != row[:-1]
    alone[:-1] &= row[:-1] != row[1:]
    word = at[row] - k
    own = alone & reads.good[row, word] & (reads.forward[row, word] == paths.forward)
    end = run_end[row, word]
    to = np.where(end >= last_word[row], last_word[row], end - back)
    move = np.flatnonzero(own & (to > word))
    row, to = row[move], to[move]
    at[row] = to + k
    paths.forward[move] = reads.forward[row, to]
    paths.reverse[move] = reads.reverse[row, to]


def _trace(bases, history, doubtful):
    """Bases along the best path of each read, from its end."""
    new, slot = bases.copy(), np.zeros(len(bases), np.intp)
    every = np.arange(len(bases))
    for column in range(bases.shape[1] - 1, -1, -1):
        past = history[every, column, slot]
        seen = past != _SKIPPED
        new[seen, column] = past[seen] & 7
        slot = np.where(seen, past >> 3, slot)
    return np.where(doubtful, bases, new)


def _run_ends(good):
    """For each trusted word the last word of its stretch."""
    width = good.shape[1]
    after = np.where(good, width, np.arange(width))
    return np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1] - 1
