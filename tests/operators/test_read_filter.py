"""Filters of whole reads: the rules by hand, single reads and blocks."""

import jax
import numpy as np
import pytest
from test_quality_trimming import random_block

from diffbio_eqx.operators.reads.read_filter import REASONS, ReadFilter

SETTINGS = dict(
    mean_quality=16.0,
    maximum_n=3.0,
    maximum_errors=2.5,
    minimum_length=8.0,
    maximum_length=28.0,
)


def test_rules_one_by_one():
    operator = ReadFilter(**SETTINGS)
    bases, qualities, lengths = random_block(300)
    keep, reason = operator.block_passes(bases, qualities, 0 * lengths, lengths)
    for r, n in enumerate(lengths):
        q = qualities[r, :n].astype(int)
        fails = [
            (q < 15).sum() > 0.4 * n,
            n == 0 or q.mean() < 16,
            (bases[r, :n] == 4).sum() > 3,
            (10 ** (-q / 10)).sum() > 2.5,
            n < 8,
            n > 28,
        ]
        assert keep[r] == (not any(fails))
        assert reason[r] == (fails.index(True) if any(fails) else -1)
    assert set(reason) >= {-1, 0, 2, 4, 5}
    item = bases, qualities.astype(np.float32), (bases != 7).astype(np.float32)
    got = jax.jit(jax.vmap(lambda *x: operator(x)))(*item)
    np.testing.assert_array_equal(got.keep, keep)
    np.testing.assert_array_equal(got.weight, item[2] * keep[:, None])
    np.testing.assert_array_equal(got.reasons, reason[:, None] == range(len(REASONS)))


def test_bad_settings():
    with pytest.raises(ValueError, match="unqualified_percent"):
        ReadFilter(unqualified_percent=101.0)
    with pytest.raises(ValueError, match="at least one rule"):
        ReadFilter(unqualified_percent=None, maximum_n=None, minimum_length=None)
