"""Likelihood ratio tests of a smaller design within a larger one."""

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from diffbio_eqx._checks import require
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.data.test_statistics import TestStatistics
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.expression.glm import NegativeBinomialGLM
from diffbio_eqx.operators.expression.wald_test import contrast_effect
from diffbio_eqx.statistics.tail_probabilities import log_chi2_tail


class LikelihoodRatioTest(AbstractOperator):
    """Tests whether the full design fits better than the reduced one.

    The statistic `2 (l_full - l_reduced)` is chi-square distributed with as many
    degrees of freedom as the reduced design has coefficients fewer. Both fits have the
    same dispersions. `log_fold_change` and `standard_error` are those of the contrast
    in the full fit, as in DESeq2, and not what is tested.

    **Arguments:** `table`, a `GeneTable` after `NegativeBinomialGLM`, whose design has
    `reduced`. The deviance is taken from it, the reduced fit is made here.

    - `glm`: how the reduced design is fitted.

    **Returns:** `TestStatistics`.

    **Raises:** `ValueError` for a design without `reduced`.

    **Exact:** all. The gradient of a log likelihood is the same whether or not the
    coefficients move, and is taken through both fits.

    ```python
    statistics = LikelihoodRatioTest()(table)
    ```

    Reference: Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8.
    """

    glm: NegativeBinomialGLM

    def __init__(self, glm: NegativeBinomialGLM | None = None):
        self.glm = NegativeBinomialGLM() if glm is None else glm

    def __call__(
        self, table: GeneTable, *, key: PRNGKeyArray | None = None
    ) -> TestStatistics:
        reduced = table.design.reduced
        require(
            reduced is not None,
            "design",
            expected="a reduced design for a likelihood ratio test",
            got="none",
            hint="give reduced=... to the Design, or test='wald'",
        )
        effect, error = contrast_effect(table)
        smaller = self.glm.with_matrix(table, jnp.asarray(reduced))
        freedom = table.design.matrix.shape[1] - reduced.shape[1]
        statistic = jnp.where(table.tested, smaller.deviance - table.deviance, 0.0)
        log_p = log_chi2_tail(statistic, freedom)
        return TestStatistics(effect, error, statistic, log_p)
