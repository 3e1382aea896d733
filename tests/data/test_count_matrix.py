"""Counts and designs: what is taken, what is refused, and what follows from rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from expression_tables import small_counts, small_design, small_table

import diffbio_eqx as dbx
from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.design import Design
from diffbio_eqx.data.gene_table import GeneTable

COUNTS = np.arange(12).reshape(4, 3)
MATRIX = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])


def test_the_last_coefficient_is_tested_unless_told_otherwise():
    assert (Design.from_arrays(MATRIX).contrast == [0, 1]).all()
    assert (Design.from_arrays(MATRIX, 0).contrast == [1, 0]).all()
    three = np.c_[MATRIX, [0.0, 1.0, 0.0, 1.0]]
    several = Design.from_arrays(three, [0, 1, -1])
    assert several.contrast_samples.tolist() == [False, True, True, True]
    assert Design.from_arrays(three).contrast_samples.all()


def test_cells_and_saturation():
    design = Design.from_arrays(MATRIX).with_dtype(jnp.float32)
    assert design.replicates().tolist() == [2.0] * 4 and bool(design.is_saturated())
    assert not bool(small_design(8, covariate=True).is_saturated())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(matrix=MATRIX[:, [0, 1, 1]]), "full rank, 3"),
        (dict(matrix=MATRIX * np.nan), "design: expected finite numbers"),
        (dict(matrix=MATRIX, contrast=[1.0]), "2 finite numbers"),
        (dict(matrix=MATRIX, contrast=[0.0, 0.0]), "nonzero"),
        (dict(matrix=MATRIX, contrast=5), "a coefficient of 2"),
        (dict(matrix=MATRIX, reduced=MATRIX), "part of the full design"),
        (dict(matrix=MATRIX, reduced=np.arange(4.0)[:, None]), "part of the full"),
        (dict(matrix=MATRIX, contrast_samples=[True]), "4 booleans"),
    ],
)
def test_bad_designs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Design.from_arrays(**arguments)


@pytest.mark.parametrize(
    ("counts", "more", "message"),
    [
        (COUNTS + 0.5, {}, "not whole, the first 0.5 in sample 0, gene 0"),
        (COUNTS - 1, {}, "1 negative numbers"),
        (np.where(COUNTS == 4, np.nan, COUNTS), {}, "missing.*sample 1, gene 1"),
        (COUNTS.T, {}, "samples in rows"),
        (COUNTS[:0], {}, "samples and genes"),
        (COUNTS, {"size_factors": [1, 1, 0, 1]}, "size_factors: expected positive"),
        (COUNTS, {"size_factors": [1, 1]}, r"shape \(4,\)"),
        (COUNTS, {"weights": [1, 1, -1, 1]}, "weights"),
    ],
)
def test_bad_counts_are_refused(counts, more, message):
    with pytest.raises(ValueError, match=message):
        CountMatrix.from_arrays(counts, MATRIX, **more)


def test_stacked_samples_mark_their_padding():
    counts = small_counts(jax.random.key(0))
    genes = lambda n: np.ones(n, bool)
    make = lambda n: CountMatrix(counts[:, :n], small_design(), genes=genes(n))
    batch = dbx.stack([make(12), make(9)])
    assert batch.genes.tolist() == [[True] * 12, [True] * 9 + [False] * 3]
    table = jax.vmap(GeneTable.start)(batch)
    assert table.tested[1].tolist() == [True] * 9 + [False] * 3


def test_base_mean_and_variance_are_those_of_scaled_counts():
    table = small_table(jax.random.key(1))
    scaled = np.asarray(table.counts / table.scale)
    np.testing.assert_allclose(table.base_mean, scaled.mean(0), rtol=1e-5)
    np.testing.assert_allclose(table.base_variance, scaled.var(0, ddof=1), rtol=1e-4)
