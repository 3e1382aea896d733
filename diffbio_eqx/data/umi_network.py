"""Molecular identifiers (UMIs) that differ by one sequencing error belong together."""

import numpy as np
from jaxtyping import Int, Shaped

from diffbio_eqx.data.duplicate_groups import group_numbers

_ROUNDS = 10_000  # a path of UMIs is never as long; an endless loop would be a bug


def umi_families(
    group: Int[np.ndarray, " reads"],
    umi: Shaped[np.ndarray, " reads"],
    *,
    mismatch: bool = True,
) -> Int[np.ndarray, " reads"]:
    """A number for each family: reads of one group whose UMIs stand for one molecule.

    With `mismatch`, the directional network of UMI-tools: within a group, UMI a takes
    in UMI b where they differ in one letter and `n(a) >= 2 n(b) - 1`, n being how many
    reads have it, and so on from b. Each UMI belongs to the most frequent one that
    reaches it; of equally frequent ones, to the one that comes first in the alphabet
    (UMI-tools: that is met first). Without, equal UMIs only.

    **Arguments:** `group` (n,) numbers; `umi` (n,) bytes (dtype S). UMIs of different
    lengths never match.

    Neighbours are found by sorting all UMIs with one letter masked, letter by letter:
    linear in reads. All groups at once.

    **Reference:** Smith, Heger and Sudbery 2017, doi:10.1101/gr.209601.116.
    """
    umi = np.ascontiguousarray(umi)
    each = group_numbers([group, umi])
    if not mismatch or not len(each):
        return each
    count = np.bincount(each)
    first = np.empty(len(count), np.int64)
    first[each[::-1]] = np.arange(len(each))[::-1]
    where, letters = group[first], umi[first]
    # Rank by count (highest first) inside of nothing: only order within a group counts.
    rank = np.empty(len(count), np.int64)
    rank[np.lexsort((np.arange(len(count)), -count))] = np.arange(len(count))
    tail, head = _one_letter_apart(where, letters)
    kept = count[tail] >= 2 * count[head] - 1
    tail, head = tail[kept], head[kept]
    label = rank.copy()
    for _ in range(_ROUNDS):
        fresh = label.copy()
        np.minimum.at(fresh, head, label[tail])
        if np.array_equal(fresh, label):
            break
        label = fresh
    return label[each]


def _one_letter_apart(where, umi):
    """Ordered pairs of distinct UMIs of one group that differ in one letter."""
    width = umi.dtype.itemsize
    letters = umi.view(np.uint8).reshape(len(umi), width)
    length = (letters != 0).sum(1)
    tails, heads = [], []
    for column in range(width):
        masked = letters.copy()
        masked[:, column] = 1
        has = np.flatnonzero(length > column)
        if not len(has):
            break
        text = masked[has].view(f"S{width}").reshape(-1)
        same = group_numbers([where[has], length[has], text])
        order = np.argsort(same, kind="stable")
        ordered, rows = same[order], has[order]
        step = 1
        while True:  # at most the number of letters
            pairs = np.flatnonzero(ordered[step:] == ordered[:-step])
            if step >= len(ordered) or not len(pairs):
                break
            tails += [rows[pairs], rows[pairs + step]]
            heads += [rows[pairs + step], rows[pairs]]
            step += 1
    if not tails:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(tails), np.concatenate(heads)
