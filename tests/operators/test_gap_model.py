"""Homopolymer classes of gaps."""

import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx.operators.variants.gap_model import GapModel, gap_class


def loop(haplotype):
    classes = []
    for j in range(len(haplotype)):
        length = 1
        if j + 1 < len(haplotype):
            base = haplotype[j + 1]
            if base < 4 and base != haplotype[j]:
                length = 0
                while (
                    j + 1 + length < len(haplotype)
                    and haplotype[j + 1 + length] == base
                ):
                    length += 1
        classes.append(min(length, 20) - 1)
    return classes


@pytest.mark.parametrize(
    "haplotype",
    [
        [0, 1, 1, 1, 2, 2, 0],
        [3, 3, 3, 3],
        [0] + [1] * 25 + [2, 7, 7],
        [4, 4, 4, 0, 0, 4, 1],
        list(np.random.default_rng(0).integers(0, 2, 40)),
    ],
)
def test_class_sits_on_the_base_before_the_run_only(haplotype):
    got = gap_class(jnp.asarray(haplotype, jnp.uint8))
    np.testing.assert_array_equal(got, loop(haplotype))


def test_default_table():
    opening = GapModel().opening.value
    np.testing.assert_allclose(opening[:6], [45, 45, 45, 45, 42.5, 40])
    np.testing.assert_allclose(opening[13:], 20.0)


def test_probabilities():
    haplotype = jnp.asarray([0] + [1] * 8 + [2], jnp.uint8)
    got = GapModel()(haplotype)
    expected = np.full(10, 10**-4.5)
    expected[0] = 10**-3.5
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    np.testing.assert_allclose(GapModel(extension=7.0).extend, 10**-0.7, rtol=1e-5)


def test_bad_tables_are_refused():
    with pytest.raises(ValueError, match="20 Phred"):
        GapModel(np.zeros(3))
    with pytest.raises(ValueError, match="opening"):
        GapModel(np.full(20, 1.0))
    with pytest.raises(ValueError, match="extension"):
        GapModel(extension=-1.0)
