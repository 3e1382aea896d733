"""Words of k bases as 64-bit numbers, for whole blocks of reads at once."""

import numpy as np
from jaxtyping import Bool, UInt8, UInt64

from diffbio_eqx._checks import require

LONGEST = 31
"""Largest k: two bits a base, and two bits to spare."""

_CACHE = 1 << 14  # bases worked on at once


def check_k(k: int) -> int:
    """`k` itself, if it is odd and in 3 ... 31.

    An odd word is never its own reverse complement.

    **Raises:** `ValueError` otherwise.
    """
    good = isinstance(k, int | np.integer) and 3 <= k <= LONGEST and k % 2 == 1
    hint = "19 to 25 suit short reads"
    require(good, "k", expected="an odd number in 3 ... 31", got=k, hint=hint)
    return int(k)


def kmer_codes(
    bases: UInt8[np.ndarray, "reads length"], k: int
) -> tuple[
    UInt64[np.ndarray, "reads words"],
    UInt64[np.ndarray, "reads words"],
    Bool[np.ndarray, "reads words"],
]:
    """Codes of the words that start at each column, of both strands.

    The code of `b_0 ... b_(k-1)` is `sum_j b_j 4**(k-1-j)`. The other strand's word is
    that of the reverse complement. Cost: about `4 log2 k` passes over the block.

    **Arguments:** `bases` (R, L), 0-3 = A C G T, anything above is no base; `k`, odd
    and at most 31.

    **Returns:** forward codes, reverse codes and whether a word has bases only, each
    (R, L - k + 1); without columns where L < k. The canonical word is the smaller
    code of the two.
    """
    k = check_k(k)
    rows, length = bases.shape
    if length < k:
        none = np.zeros((rows, 0), np.uint64)
        return none, none.copy(), np.zeros((rows, 0), bool)
    real = bases < 4
    code = np.where(real, bases, np.uint8(0)).astype(np.uint64)
    shape = rows, length - k + 1
    forward, reverse = np.empty(shape, np.uint64), np.empty(shape, np.uint64)
    step = max(1, _CACHE // length)
    for low in range(0, rows, step):  # stays in the processor's cache
        part = slice(low, low + step)
        forward[part] = _words(code[part], k, first_is_high=True)
        reverse[part] = _words(np.uint64(3) - code[part], k, first_is_high=False)
    if real.all():
        return forward, reverse, np.ones(forward.shape, bool)
    absent = np.zeros((rows, length + 1), np.int32)
    np.cumsum(~real, axis=1, out=absent[:, 1:])
    return forward, reverse, absent[:, k:] == absent[:, :-k]


def _words(code, k, *, first_is_high):
    """Words of k by doubling: a word of a + b bases is one of a, then one of b."""

    def join(left, left_size, right, right_size):
        if first_is_high:
            both = left << np.uint64(2 * right_size)
            return np.bitwise_or(both, right, out=both)
        both = right << np.uint64(2 * left_size)
        return np.bitwise_or(both, left, out=both)

    word, size, span, width = None, 0, code, 1
    while True:
        if k & width:
            if word is None:
                word = span
            else:
                columns = span.shape[1] - size
                word = join(word[:, :columns], size, span[:, size:], width)
            size += width
        if 2 * width > k:
            return word
        span = join(span[:, :-width], width, span[:, width:], width)
        width *= 2
