"""Counting words of k bases over a stream of reads, in bounded memory."""

import numpy as np
from jaxtyping import Real, UInt8

from diffbio_eqx._checks import require, require_range
from diffbio_eqx.data.kmer_codes import check_k, kmer_codes
from diffbio_eqx.data.kmer_spectrum import KmerSpectrum

_BUFFER = 1 << 22


class KmerCounter:
    """The first pass: canonical words of good quality, counted.

    An occurrence of a word counts where the probability that it has no error,
    `prod_j (1 - 10**(-q_j / 10))` over its k bases, is at least `certainty`. So most
    words with a sequencing error are never counted, and a count is a number of
    independent good observations.

    Words wait in a buffer of 2**22 (32 MB), are sorted, and merged into a sorted table
    of 12 bytes for each distinct word; a merge needs the table twice. The table holds
    at most `most_words` distinct words: beyond that the rarest are dropped, as in
    lossy counting, and `KmerSpectrum.undercount` says by how much a count can be too
    small. So memory is at most 24 `most_words` bytes and about 200 MB, whatever the
    number of reads.

    **Arguments:** `k`, odd, 3 ... 31; `certainty` in [0, 1]; `most_words` >= 2**10.

    Reference: G. S. Manku and R. Motwani, "Approximate frequency counts over data
    streams", VLDB 2002, 10.1016/B978-155860869-6/50038-X.

    ```python
    counter = KmerCounter(23)
    counter.add(bases, qualities)  # again for each block
    spectrum = counter.finish()
    ```
    """

    def __init__(
        self, k: int = 23, *, certainty: float = 0.7, most_words: int = 1 << 27
    ):
        self.k = check_k(k)
        require_range("certainty", certainty, 0.0, 1.0)
        enough = most_words >= 1 << 10
        require(enough, "most_words", expected="at least 1024", got=most_words)
        self._lowest = np.log(max(certainty, 1e-30))
        self._most = int(most_words)
        self._waiting: list[np.ndarray] = []
        self._size = 0
        self._words = np.zeros(0, np.uint64)
        self._counts = np.zeros(0, np.uint32)
        self._undercount = 0

    def add(
        self,
        bases: UInt8[np.ndarray, "reads length"],
        qualities: Real[np.ndarray, "reads length"],
    ) -> None:
        """Counts the words of one block of reads; codes as in `Reads`, Phred."""
        forward, reverse, good = kmer_codes(bases, self.k)
        if not forward.size:
            return
        good &= log_certainty(bases, qualities, self.k) >= self._lowest
        words = np.minimum(forward, reverse)[good]
        self._waiting.append(words)
        self._size += words.size
        # a table that grows merges larger and larger pieces: O(n log n) in all
        if self._size >= max(_BUFFER, min(self._words.size // 4, 4 * _BUFFER)):
            self._merge()

    def finish(self) -> KmerSpectrum:
        """The spectrum of everything that was added."""
        self._merge()
        return KmerSpectrum(self.k, self._words, self._counts, self._undercount)

    def _merge(self):
        if not self._size:
            return
        new = np.concatenate(self._waiting)
        self._waiting, self._size = [], 0
        new.sort()
        first = np.flatnonzero(np.concatenate([[True], new[1:] != new[:-1]]))
        counts = np.diff(np.append(first, new.size)).astype(np.uint32)
        words = new[first]
        self._words, self._counts = _joined(self._words, self._counts, words, counts)
        while self._words.size > self._most:
            lowest = self._counts.min()
            keep = self._counts > lowest
            self._undercount += int(lowest)
            self._words, self._counts = self._words[keep], self._counts[keep]


def log_certainty(
    bases: UInt8[np.ndarray, "reads length"],
    qualities: Real[np.ndarray, "reads length"],
    k: int,
) -> np.ndarray:
    """Log probability that each word has no error (R, L - k + 1), for reads' Phred."""
    phred = np.arange(256) / 10.0
    per_base = np.log1p(-np.minimum(10.0**-phred, 0.75)).astype(np.float32)
    whole = np.clip(np.nan_to_num(qualities), 0, 255).astype(np.uint8)
    total = np.zeros((len(bases), bases.shape[1] + 1), np.float32)
    np.cumsum(per_base[whole], axis=1, out=total[:, 1:])
    return total[:, k:] - total[:, :-k]


def _joined(words, counts, new_words, new_counts):
    """Two sorted tables as one."""
    at = np.searchsorted(words, new_words)
    same = np.zeros(len(new_words), bool)
    inside = at < len(words)
    same[inside] = words[at[inside]] == new_words[inside]
    counts[at[same]] += new_counts[same]
    fresh, where = new_words[~same], at[~same]
    if not len(fresh):
        return words, counts
    place = where + np.arange(len(fresh))
    out_words = np.empty(len(words) + len(fresh), np.uint64)
    out_counts = np.empty(len(out_words), np.uint32)
    old = np.ones(len(out_words), bool)
    old[place] = False
    out_words[place], out_counts[place] = fresh, new_counts[~same]
    out_words[old], out_counts[old] = words, counts
    return out_words, out_counts
