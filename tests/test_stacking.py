"""Padding and stacking of samples."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from diffbio_eqx import bucket, stack


class Inner(eqx.Module):
    bases: Array
    mask: Array
    same: Array

    def padding(self):
        return {"bases": 7, "same": None}


class Sample(eqx.Module):
    inner: Inner
    quality: Array
    reference: Array
    depth: Array


def make(n, length=3, same=2):
    inner = Inner(
        np.full((n, 2), 1, np.uint8), jnp.ones(n, bool), jnp.zeros(same, np.int32)
    )
    quality = jnp.full(n, 30.0)
    return Sample(inner, quality, jnp.zeros(length, jnp.uint8), jnp.asarray(float(n)))


def test_padding_follows_the_type():
    batch = stack([make(1), make(3)])
    assert batch.inner.bases.dtype == jnp.uint8
    np.testing.assert_array_equal(batch.inner.bases[0], [[1, 1], [7, 7], [7, 7]])
    np.testing.assert_array_equal(batch.inner.mask, [[1, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(batch.quality[0], [30, 0, 0])
    np.testing.assert_array_equal(batch.depth, [1, 3])
    assert batch.reference.shape == (2, 3) and batch.inner.same.shape == (2, 2)


def test_containers_and_single_sample():
    batch = stack([{"a": [jnp.ones(2)]}])
    assert batch["a"][0].shape == (1, 2)


@pytest.mark.parametrize(
    "samples, words",
    [
        ([], "at least one"),
        ([make(1), make(1, length=5)], r"reference.*\(3,\) as in sample 0.*\(5,\) in"),
        ([make(1), make(1, same=4)], r"same.*\(2,\).*\(4,\)"),
        ([{"a": jnp.ones(1)}, {"b": jnp.ones(1)}], "structure in sample 1"),
        ([{"a": jnp.ones(1)}, {"a": jnp.ones(1, int)}], "dtype of .*'a'"),
        ([{"a": jnp.ones(1)}, {"a": jnp.ones((1, 1))}], "number of axes"),
        ([{"a": 1.0}], "an array in every sample"),
    ],
)
def test_samples_that_do_not_fit(samples, words):
    with pytest.raises(ValueError, match=words):
        stack(samples)


def test_buckets():
    sizes = [bucket(n) for n in range(2000)]
    assert all(size >= n for n, size in enumerate(sizes))
    assert sizes == sorted(sizes) and all(bucket(s) == s for s in sizes)
    assert len(set(sizes)) <= 14 and sizes[0] == 16
    assert all(size <= 1.7 * n for n, size in enumerate(sizes) if n > 30)
    with pytest.raises(ValueError, match="growth"):
        bucket(3, growth=1.0)
