"""R's numbers put in before a stage, so that the stage alone is compared with R."""

import functools
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from expression_references import Reference, load_reference, read_table

from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.operators.expression.glm import NegativeBinomialGLM
from diffbio_eqx.operators.expression.outlier_replacement import (
    OutlierReplacement,
    ReplacedOutliers,
)


@functools.cache
def with_dispersion(root: Path, name: str) -> tuple[Reference, GeneTable]:
    """R's answers, and a table with R's size factors and final dispersions."""
    reference = load_reference(root, name, lrt=True)
    names, _, values = read_table(reference.folder / "size_factors.tsv.gz")
    factors = jnp.asarray(values[:, names.index("ratio")])
    table = GeneTable.start(reference.sample).with_scale(factors[:, None])
    dispersion = reference.table("gene_table")["dispersion"]
    known = np.isfinite(dispersion)
    dispersion = jnp.asarray(np.where(known, dispersion, 1.0))
    return reference, table.replace(dispersion=dispersion)


@functools.cache
def replaced(root: Path, name: str) -> ReplacedOutliers:
    """What our replacement makes of R's distances."""
    reference, table = with_dispersion(root, name)
    cooks = jnp.nan_to_num(jnp.asarray(reference.matrix("cooks")))
    replacement = eqx.filter_jit(OutlierReplacement())
    return replacement(table.replace(cooks=cooks, max_cooks=cooks.max(0)))


@functools.cache
def fitted(root: Path, name: str) -> tuple[Reference, GeneTable]:
    """R's answers, and our fit of the counts R fitted last, with R's dispersions."""
    reference, table = with_dispersion(root, name)
    if "replace" in reference.table("gene_table"):
        counts = replaced(root, name).table.counts
        table = table.replace(counts=counts)
    return reference, eqx.filter_jit(NegativeBinomialGLM())(table)


def quantiles(error: np.ndarray) -> np.ndarray:
    """Median, 99 %, 99.9 % and maximum of the numbers that are finite."""
    error = np.asarray(error)
    return np.quantile(error[np.isfinite(error)], [0.5, 0.99, 0.999, 1.0])
