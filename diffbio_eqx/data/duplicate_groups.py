"""Equal rows, connected rows and the best row of each group: NumPy, no loop over rows.

All of it is linear in the rows but for sorting.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Shaped


def group_numbers(
    columns: Sequence[Shaped[np.ndarray, " reads"]],
) -> Int[np.ndarray, " reads"]:
    """A number for each distinct row: two rows share it where all columns agree.

    Groups are numbered 0, 1, ... in the order of their rows, by the first column
    first.
    """
    count = len(columns[0])
    if len(columns) == 1:
        order = np.argsort(columns[0])
    else:
        order = np.lexsort(tuple(columns)[::-1])
    opens = np.zeros(count, bool)
    for column in columns:
        ordered = column[order]
        opens[1:] |= ordered[1:] != ordered[:-1]
    number = np.empty(count, np.int64)
    number[order] = np.cumsum(opens)
    return number


def connected_groups(
    count: int, one: Int[np.ndarray, " links"], two: Int[np.ndarray, " links"]
) -> Int[np.ndarray, " reads"]:
    """The smallest row that each of `count` rows is connected to by links.

    Labels go along links and then jump to their own label's label, so that a chain of
    n links takes about log n rounds.
    """
    label = np.arange(count)
    while len(one):
        low = np.minimum(label[one], label[two])
        fresh = label.copy()
        np.minimum.at(fresh, label[one], low)
        np.minimum.at(fresh, label[two], low)
        while True:
            jumped = fresh[fresh]
            if np.array_equal(jumped, fresh):
                break
            fresh = jumped
        label = fresh
        apart = label[one] != label[two]
        one, two = one[apart], two[apart]
    return label


def best_of_groups(
    group: Int[np.ndarray, " reads"],
    score: Shaped[np.ndarray, " reads"],
    ties: Shaped[np.ndarray, " reads"],
) -> Bool[np.ndarray, " reads"]:
    """True for one row of each group: the highest score; of equal ones the least tie.

    Of rows that are equal in `ties` too, the first stays. `ties` (read names, say) is
    sorted only where scores are equal.
    """
    count = len(group)
    best = np.zeros(count, bool)
    if not count:
        return best
    order = np.lexsort((score, group))
    last = np.ones(count, bool)
    last[:-1] = group[order][1:] != group[order][:-1]
    winner = order[last]
    best[winner] = True
    # The rows of a group with its highest score lie together at its end.
    run = np.cumsum(last) - last
    top = score[order] == score[winner][run]
    tied = order[top]
    many = np.bincount(run[top], minlength=len(winner))[run[top]] > 1
    tied = tied[many]
    if len(tied):
        best[tied] = False
        _, rank = np.unique(ties[tied], return_inverse=True)
        again = np.lexsort((-tied, -rank.reshape(-1), group[tied]))
        ordered = group[tied[again]]
        closes = np.ones(len(again), bool)
        closes[:-1] = ordered[1:] != ordered[:-1]
        best[tied[again[closes]]] = True
    return best
