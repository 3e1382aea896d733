"""Reads: what may be put in, and what padding is."""

import jax.numpy as jnp
import numpy as np
import pytest

import diffbio_eqx as dbx

BASES = np.array([[0, 1, 2, 3], [3, 4, 0, 0]], np.uint8)
QUALITIES = np.array([[30, 31, 32, 33], [2, 2, 40, 41]], np.uint8)


def test_lengths_and_padding():
    reads = dbx.Reads.from_arrays(BASES, QUALITIES, lengths=[4, 2])
    np.testing.assert_array_equal(reads.bases, [[0, 1, 2, 3], [3, 4, 7, 7]])
    np.testing.assert_array_equal(reads.qualities[1], [2, 2, 0, 0])
    np.testing.assert_array_equal(reads.lengths, [4, 2])
    assert reads.read_mask.all() and reads.qualities.dtype == np.uint8


def test_floating_qualities_stay_floating():
    floats = np.where(BASES == 7, np.nan, QUALITIES).astype(np.float32)
    assert dbx.Reads.from_arrays(BASES, floats).qualities.dtype == np.float32


def test_soft_bases():
    soft = np.full((2, 4, 4), 0.1) + 0.6 * np.eye(4)
    soft[1, 2:] = 0.0
    reads = dbx.Reads.from_arrays(soft, QUALITIES)
    np.testing.assert_array_equal(reads.bases, [[0, 1, 2, 3], [0, 1, 4, 4]])
    assert reads.base_probs.shape == (2, 4, 4)


def test_stack_pads_with_rows_that_are_no_reads():
    one = dbx.Reads.from_arrays(BASES, QUALITIES)
    two = dbx.Reads.from_arrays(BASES[:1, :3], QUALITIES[:1, :3])
    both = dbx.stack([one, two])
    assert both.bases.shape == (2, 2, 4)
    np.testing.assert_array_equal(both.bases[1], [[0, 1, 2, 7], [7, 7, 7, 7]])
    np.testing.assert_array_equal(both.read_mask, [[True, True], [True, False]])
    assert isinstance(both.bases, jnp.ndarray)


@pytest.mark.parametrize(
    ("bases", "qualities", "match"),
    [
        (BASES[0], QUALITIES[0], r"bases: expected \(R, L\) codes"),
        (BASES, QUALITIES[:, :3], r"qualities: expected shape \(2, 4\)"),
        (np.zeros((2, 4, 3)), QUALITIES, r"bases: expected \(R, L, 4\)"),
        (BASES, -QUALITIES.astype(float), "finite Phred values"),
        (BASES, QUALITIES * np.nan, "finite Phred values"),
    ],
)
def test_what_does_not_fit(bases, qualities, match):
    with pytest.raises(ValueError, match=match):
        dbx.Reads.from_arrays(bases, qualities)


def test_mates_are_as_many():
    mate = dbx.Reads.from_arrays(BASES[:1], QUALITIES[:1])
    with pytest.raises(ValueError, match="mate: expected 2 reads"):
        dbx.Reads.from_arrays(BASES, QUALITIES, mate=mate)
