"""Flat rows of unequal length."""

import numpy as np
from jaxtyping import Int


def ragged_range(
    start: Int[np.ndarray, " rows"], length: Int[np.ndarray, " rows"]
) -> Int[np.ndarray, " flat"]:
    """`start[i], start[i] + 1, ...` (`length[i]` entries) for all rows, flat."""
    before = np.cumsum(length) - length
    return np.repeat(start - before, length) + np.arange(int(length.sum()))
