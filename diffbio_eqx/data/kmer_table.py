"""A look-up table of 64-bit words in NumPy arrays."""

import numpy as np
from jaxtyping import Integer, UInt64

_EMPTY = np.uint64(2**64 - 1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


class KmerTable:
    """Numbers (0 ... 65535) by word, for blocks of words.

    Open addressing with linear probing: one array of words and one of numbers, at most
    2/5 full, so 10 bytes a slot and 25 to 50 bytes a word. Most look-ups need one
    probe, which is one pass of NumPy over the block.

    **Arguments:** `words`, distinct and below 2**62; `numbers`, as many.
    """

    def __init__(
        self, words: UInt64[np.ndarray, " n"], numbers: Integer[np.ndarray, " n"]
    ):
        bits = max(4, int(np.ceil(np.log2(max(len(words), 1) * 2.5))))
        self._shift = np.uint64(64 - bits)
        self._last = np.int64((1 << bits) - 1)
        self._words = np.full(1 << bits, _EMPTY, np.uint64)
        self._numbers = np.zeros(1 << bits, np.uint16)
        self._fill(words, np.minimum(numbers, 65535).astype(np.uint16))

    @property
    def bytes(self) -> int:
        """Memory of the arrays."""
        return self._words.nbytes + self._numbers.nbytes

    def _slots(self, words):
        return ((words * _MIX) >> self._shift).view(np.int64)

    def _fill(self, words, numbers):
        slots = self._slots(words)
        while len(words):
            free = self._words[slots] == _EMPTY
            # of several words for one free slot, the last one written stays
            self._words[slots[free]] = words[free]
            mine = self._words[slots] == words
            self._numbers[slots[mine]] = numbers[mine]
            words, numbers, slots = words[~mine], numbers[~mine], slots[~mine]
            slots = (slots + 1) & self._last

    def look_up(self, words: UInt64[np.ndarray, "*s"]) -> np.ndarray:
        """The number of each word, uint16; 0 for a word that is not there."""
        flat = np.ravel(words)
        slots = self._slots(flat)
        there = self._words.take(slots)
        found = self._numbers.take(slots)
        # an empty slot holds 0, and so does the answer for a word that is not there
        left = np.flatnonzero((there != flat) & (there != _EMPTY))
        flat, slots = flat[left], slots[left]
        while len(left):
            slots = (slots + 1) & self._last
            there = self._words.take(slots)
            found[left] = self._numbers.take(slots)
            more = (there != flat) & (there != _EMPTY)
            left, flat, slots = left[more], flat[more], slots[more]
        return found.reshape(np.shape(words))

    def contains(self, words: UInt64[np.ndarray, "*s"]) -> np.ndarray:
        """Is each word in the table? Half of the work of `look_up`."""
        flat = np.ravel(words)
        slots = self._slots(flat)
        there = self._words.take(slots)
        found = there == flat
        left = np.flatnonzero(~found & (there != _EMPTY))
        flat, slots = flat[left], slots[left]
        while len(left):
            slots = (slots + 1) & self._last
            there = self._words.take(slots)
            same = there == flat
            found[left[same]] = True
            more = ~same & (there != _EMPTY)
            left, flat, slots = left[more], flat[more], slots[more]
        return found.reshape(np.shape(words))
