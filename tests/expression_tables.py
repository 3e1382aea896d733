"""Small gene tables for the tests of Differential Expression."""

import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.design import Design
from diffbio_eqx.data.gene_table import GeneTable


def small_design(samples: int = 8, *, covariate: bool = False) -> Design:
    """Two groups of equal size, the last coefficient tested; or also a covariate."""
    group = (np.arange(samples) % 2).astype(float)
    columns = [np.ones(samples), group]
    if covariate:
        columns.insert(1, np.linspace(-1.0, 1.0, samples) ** 3)
    return Design.from_arrays(np.stack(columns, 1))


def small_counts(
    key: jax.Array, samples: int = 8, genes: int = 12, *, dispersion: float = 0.2
) -> np.ndarray:
    """Negative binomial counts of genes with means from 20 to 2,000."""
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    mean = np.geomspace(20.0, 2000.0, genes)
    size = generator.uniform(0.7, 1.4, (samples, 1))
    rate = generator.gamma(1 / dispersion, dispersion, (samples, genes))
    return generator.poisson(mean * size * rate).astype(float)


def small_table(
    key: jax.Array,
    samples: int = 8,
    genes: int = 12,
    *,
    covariate: bool = False,
    dispersion: float = 0.2,
) -> GeneTable:
    """A table with counts, design and size factors near 1, in the default dtype.

    The counts are floats off the whole numbers by nothing; shapes and structure do not
    depend on the key.
    """
    counts = small_counts(key, samples, genes, dispersion=dispersion)
    factors = np.linspace(0.8, 1.25, samples)
    design = small_design(samples, covariate=covariate)
    sample = CountMatrix.from_arrays(counts, design, size_factors=factors)
    return GeneTable.start(jax.tree.map(jnp.asarray, sample))
