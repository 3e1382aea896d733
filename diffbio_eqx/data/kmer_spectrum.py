"""How often each word of k bases was seen, and what that says about the sample."""

from functools import cached_property

import numpy as np
from jaxtyping import Integer, UInt8, UInt32, UInt64

from diffbio_eqx.data.kmer_codes import kmer_codes
from diffbio_eqx.data.kmer_table import KmerTable

_ROUNDS = 200
_LARGEST = 1000


class KmerSpectrum:
    """Canonical words of a set of reads with their counts, sorted by word.

    Made by `KmerCounter`. Host side, NumPy.

    **Arguments:** `k`; `words` (n,), `counts` (n,); `undercount`, by how much a count
    can be too small, 0 if nothing was dropped.
    """

    def __init__(
        self,
        k: int,
        words: UInt64[np.ndarray, " n"],
        counts: UInt32[np.ndarray, " n"],
        undercount: int = 0,
    ):
        self.k = k
        self.words = words
        self.counts = counts
        self.undercount = undercount

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def histogram(self) -> np.ndarray:
        """How many words were seen 0, 1, 2, ... times; the last: 1000 or more."""
        return np.bincount(np.minimum(self.counts, _LARGEST), minlength=_LARGEST + 1)

    @cached_property
    def _fit(self) -> tuple[float, int]:
        return fit_spectrum(self.histogram)

    @property
    def coverage(self) -> float:
        """Mean count of a word that both chromosomes have; 0 if no peak is seen.

        About `depth (1 - (k - 1) / read length)` times the share of good words.
        """
        return self._fit[0]

    @property
    def threshold(self) -> int:
        """Smallest count at which a word is more often true than an error.

        From a mixture fitted to the histogram (see `fit_spectrum`); at least 2.
        """
        return self._fit[1]

    def table(self, lowest: float = 1.0) -> KmerTable:
        """Look-up table of the words with counts of at least `lowest`."""
        keep = self.counts >= lowest
        return KmerTable(self.words[keep], self.counts[keep])

    def support(
        self,
        bases: UInt8[np.ndarray, "reads length"],
        table: KmerTable | None = None,
        *,
        sure: int | None = None,
    ) -> Integer[np.ndarray, "reads length 4 k"]:
        """Counts of the words over each position with each base in its place.

        Entry (r, i, b, j) is the count of the word that starts at column i - j of
        read r, were base b at column i. It is -1 where there is no such word: it
        would leave the read, or holds another N or padding.

        `sure`: positions all of whose words have this count or more as they are get
        counts for the base that the read has, and 0 for the other three. Most of the
        time is spent there, and no caller would change them. About 1.5 ms a read of 150
        bases without it, 0.5 ms with it.

        4 k look-ups a base, and 8 k bytes a base; give blocks of 100 to 1,000 reads.
        """
        table = self.table() if table is None else table
        k, (rows, length) = self.k, bases.shape
        out = np.full((rows, length, 4, k), -1, np.int16)
        if length < k or not rows:
            return out
        real = bases < 4
        code = np.where(real, bases, np.uint8(0))
        forward, reverse, _ = kmer_codes(code, k)
        absent = np.zeros((rows, length + 1), np.int32)
        np.cumsum(~real, axis=1, out=absent[:, 1:])
        holes = absent[:, k:] - absent[:, :-k]
        low = forward.shape[1]
        open_base = bases <= 4  # a base or N: only these can be replaced
        settled = np.zeros((rows, length), bool)
        if sure is not None:
            settled = self._settled(table, forward, reverse, holes, sure, length)
        seen = np.minimum(table.look_up(np.minimum(forward, reverse)), 32767)
        row, column = np.nonzero(~settled & open_base)
        letters = np.arange(4, dtype=np.uint64)
        change = code[row, column].astype(np.uint64)[:, None] ^ letters
        for j in range(k):
            columns = slice(j, j + low)  # the position that is entry j of its word
            here, own = code[:, columns], real[:, columns]
            # no hole but, perhaps, the position itself
            whole = ((holes - ~own) == 0) & open_base[:, columns]
            counts = np.where(whole, 0, -1).astype(np.int16)[:, :, None].repeat(4, 2)
            value = np.where(whole & own, seen, np.where(whole, 0, -1))
            place = here[:, :, None].astype(np.intp)
            np.put_along_axis(counts, place, value[:, :, None].astype(np.int16), 2)
            out[:, columns, :, j] = counts
            at = column - j
            ask = np.flatnonzero((at >= 0) & (at < low))
            ask = ask[whole[row[ask], at[ask]]]
            r, c = row[ask], at[ask]
            # complements differ by the same bits
            new = forward[r, c][:, None] ^ (change[ask] << np.uint64(2 * (k - 1 - j)))
            other = reverse[r, c][:, None] ^ (change[ask] << np.uint64(2 * j))
            found = np.minimum(table.look_up(np.minimum(new, other)), 32767)
            out[r, column[ask], :, j] = found
        return out

    def _settled(self, table, forward, reverse, holes, sure, length):
        counts = table.look_up(np.minimum(forward, reverse))
        doubt = ~((holes == 0) & (counts >= sure))
        total = np.zeros((len(doubt), length + self.k), np.int32)
        edge = self.k - 1  # words that would begin before the read count as no doubt
        np.cumsum(doubt, axis=1, out=total[:, edge + 1 : edge + 1 + doubt.shape[1]])
        total[:, edge + 1 + doubt.shape[1] :] = total[:, [edge + doubt.shape[1]]]
        at = np.arange(length)
        return total[:, at + self.k] == total[:, at]


def fit_spectrum(histogram: Integer[np.ndarray, " counts"]) -> tuple[float, int]:
    """Coverage and trust threshold from how many words were seen 0, 1, 2, ... times.

    A mixture, fitted by expectation and maximisation: errors, geometric from count 1;
    words of one chromosome, of both, and of two copies, normal with means 1/2, 1 and 2
    times the coverage and variances of a common multiple of the means. The threshold
    is the smallest count of 2 or more at which errors are less than half, and at most
    the count at half of the lower mean; 2 where no peak is seen.
    """
    top = len(histogram) - 1
    count = np.arange(1, top)  # the last entry is open
    many = np.asarray(histogram[1:top], float)
    if many.sum() < 1:
        return 0.0, 2
    start = _first_peak(many)
    if start is None:
        return 0.0, 2
    coverage, spread, decay = float(start), 1.5, 0.1
    share = np.array([0.4, 0.1, 0.45, 0.05])
    for _ in range(_ROUNDS):
        parts = share * _densities(count, coverage, spread, decay)
        total = parts.sum(1, keepdims=True)
        own = parts / np.maximum(total, 1e-300) * many[:, None]
        mass = own.sum(0)
        share = mass / mass.sum()
        decay = 1 - mass[0] / max((own[:, 0] * count).sum(), 1e-9)
        decay = float(np.clip(decay, 1e-3, 0.9))
        scale = np.array([0.5, 1.0, 2.0])
        old = coverage
        coverage = (own[:, 1:] * count[:, None]).sum() / max(
            (mass[1:] * scale).sum(), 1e-9
        )
        away = (count[:, None] - scale * coverage) ** 2 / (scale * coverage)
        spread = (own[:, 1:] * away).sum() / max(mass[1:].sum(), 1e-9)
        spread = float(np.clip(spread, 0.5, 4.0))
        if abs(coverage - old) < 1e-6 * old:
            break
    parts = share * _densities(count, coverage, spread, decay)
    wrong = parts[:, 0] >= parts[:, 1:].sum(1)
    first = np.flatnonzero(~wrong & (count >= 2))
    threshold = int(count[first[0]]) if len(first) else 2
    return coverage, max(2, min(threshold, int(coverage / 4)))


def _first_peak(many):
    """The count (from 1) with most words beyond the valley, or None."""
    smooth = np.convolve(many, np.ones(3) / 3, mode="same")
    smooth[0] = many[0]
    rises = np.flatnonzero(smooth[1:] > smooth[:-1])
    if not len(rises):
        return None
    valley = rises[0] + 1
    peak = valley + int(many[valley:].argmax())
    return peak + 1 if many[peak] > 1.1 * many[valley - 1] else None


def _densities(count, coverage, spread, decay):
    columns = [(1 - decay) * decay ** (count - 1.0)]
    for scale in (0.5, 1.0, 2.0):
        mean, variance = scale * coverage, scale * coverage * spread
        power = -0.5 * (count - mean) ** 2 / variance
        columns.append(np.exp(power) / np.sqrt(2 * np.pi * variance))
    return np.stack(columns, 1)
