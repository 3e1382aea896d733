"""Growing the first axis of host arrays."""

import numpy as np


def pad_axis(x: np.ndarray, size: int, fill=0) -> np.ndarray:
    """`x` with its first axis grown to `size`; the shape after it is kept."""
    if x.shape[0] == size:
        return x
    out = np.full((size, *x.shape[1:]), fill, x.dtype)
    out[: x.shape[0]] = x
    return out
