"""What a test says of every gene."""

import equinox as eqx
from jaxtyping import Array, Float


class TestStatistics(eqx.Module):
    """Effects and tests, one entry a gene; those of untested genes mean nothing.

    - `log_fold_change`, `standard_error` (genes,): log2 effect and its error.
    - `statistic` (genes,): what the test compares with its distribution.
    - `log_p` (genes,): natural log of the p-value.
    """

    __test__ = False  # pytest takes classes named Test* for tests

    log_fold_change: Float[Array, " genes"]
    standard_error: Float[Array, " genes"]
    statistic: Float[Array, " genes"]
    log_p: Float[Array, " genes"]
