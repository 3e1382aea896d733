"""Tails of one base: single reads, blocks, and fastp's rule by hand."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from test_quality_trimming import same_as_block

from diffbio_eqx.operators.reads.poly_tail import PolyTail


@pytest.mark.parametrize("base", ["G", "any"])
@pytest.mark.parametrize("minimum", [10, 5])
def test_one_read_is_as_a_block(base, minimum):
    same_as_block(PolyTail(minimum, base), poly=True)


@pytest.mark.parametrize(
    ("read", "base", "left"),
    [
        ("ACGTACCTGGGGGGGGGGGG", "G", 8),
        ("ACGTACCTAAAAAAAAAAAA", "G", 20),
        ("ACGTACCTAAAAAAAAAAAA", "any", 8),
        ("ACGTACCCTTGGGGGGGGG", "G", 10),  # nine, and a miss that is allowed
        ("ACGTACCCTTTTGGGGGGG", "G", 19),  # seven are too few
        ("CCCCCCCCCAGGGGGAGGGGGGGGGG", "G", 10),  # one miss in 16 is allowed
    ],
)
def test_known_tails(read, base, left):
    bases = np.frombuffer(
        read.encode().translate(bytes.maketrans(b"ACGT", b"\0\1\2\3")), np.uint8
    )[None]
    ends = PolyTail(10, base).block_spans(
        bases, bases, np.array([0]), np.array([len(read)])
    )[1]
    assert ends.tolist() == [left]


def test_gradient_of_the_minimum_length():
    bases = jnp.array([0] * 8 + [2] * 10, jnp.uint8)
    x = bases, jnp.full(18, 30.0), jnp.ones(18)
    total = eqx.filter_grad(lambda o: o(x).weight.sum())
    assert total(PolyTail(10.0, temperature=0.5)).length.raw > 0


def test_bad_settings():
    with pytest.raises(ValueError, match="minimum_length"):
        PolyTail(0.0)
    with pytest.raises(ValueError, match="base: expected one of 'G', 'any'"):
        PolyTail(10, "A")
