"""Which genes have too few counts to be worth a test."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from diffbio_eqx._checks import require_range
from diffbio_eqx._numerics import masked_mean
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.statistics.benjamini_hochberg import benjamini_hochberg
from diffbio_eqx.statistics.lowess import lowess
from diffbio_eqx.statistics.quantiles import quantiles

_CUTOFFS = 50
_HIGHEST = 0.95
_FEW = 10
"""With so many rejections or fewer at every cutoff, nothing is filtered."""


class FilteredTests(eqx.Module):
    """Adjusted p-values of the genes that passed the filter.

    - `log_adjusted` (genes,): log of the adjusted p-value; 0 where there is none.
    - `passed` (genes,): genes with an adjusted p-value.
    - `threshold`: least mean of scaled counts that passes; `theta`: its quantile.
    - `rejections` (50,): number of genes rejected at each quantile tried, `thetas`.
    """

    log_adjusted: Float[Array, " genes"]
    passed: Bool[Array, " genes"]
    threshold: Float[Array, ""]
    theta: Float[Array, ""]
    thetas: Float[Array, " cutoffs"]
    rejections: Float[Array, " cutoffs"]


class IndependentFiltering(AbstractOperator):
    """Leaves out genes of low mean so that more of the others are found.

    The cutoffs tried are 50 quantiles of `base_mean` over all real genes, from the part
    of genes without a count to 0.95. For each one the genes at or above it are adjusted
    (Benjamini and Hochberg) and those below `alpha` counted. The first cutoff is taken
    whose count is above the top of a lowess curve of the counts less the root mean
    square distance from it; none where at most 10 genes are found anywhere.

    **Arguments:** `x`, a tuple `(log_p, tested, base_mean, genes)` of arrays (genes,):
    log p-values, which genes have one, means of scaled counts, which genes are real.

    - `alpha`: false discovery rate that the filter is for, in (0, 1).
    - `enabled`: False takes every tested gene (static).

    **Returns:** `FilteredTests`.

    **Exact:** as DESeq2's `results`. The choice of genes passes no gradient; that of
    `threshold` is the quantile's.

    ```python
    filtered = IndependentFiltering(alpha=0.1)((log_p, tested, base_mean, genes))
    found = filtered.passed & (filtered.log_adjusted < jnp.log(0.1))
    ```

    Reference: Bourgon, Gentleman and Huber 2010, doi:10.1073/pnas.0914005107.
    """

    alpha: float = eqx.field(static=True)
    enabled: bool = eqx.field(static=True)

    def __init__(self, alpha: float = 0.1, *, enabled: bool = True):
        require_range("alpha", alpha, 0.0, 1.0, open_low=True, open_high=True)
        self.alpha = float(alpha)
        self.enabled = bool(enabled)

    def __call__(
        self,
        x: tuple[
            Float[Array, " genes"],
            Bool[Array, " genes"],
            Float[Array, " genes"],
            Bool[Array, " genes"],
        ],
        *,
        key: PRNGKeyArray | None = None,
    ) -> FilteredTests:
        log_p, tested, mean, genes = x
        tested = tested & genes
        if not self.enabled:
            return _unfiltered(log_p, tested)
        mean = jnp.where(genes, mean, 0.0)
        empty = masked_mean((mean == 0).astype(mean.dtype), genes)
        highest = jnp.where(empty < _HIGHEST, _HIGHEST, 1.0)
        parts = jnp.linspace(0.0, 1.0, _CUTOFFS, dtype=mean.dtype)
        thetas = empty + (highest - empty) * parts
        cutoffs = quantiles(mean, genes, thetas)
        fixed = jax.tree.map(lax.stop_gradient, (log_p, mean, cutoffs))
        counts = self._rejections(*fixed, tested)
        chosen = _choose(thetas, counts)
        passed = tested & (mean >= cutoffs[chosen])
        return FilteredTests(
            benjamini_hochberg(log_p, passed),
            passed,
            cutoffs[chosen],
            thetas[chosen],
            thetas,
            counts,
        )

    def _rejections(
        self, log_p: Array, mean: Array, cutoffs: Array, tested: Array
    ) -> Float[Array, " cutoffs"]:
        """Genes with an adjusted p-value below alpha, for each cutoff."""
        order = jnp.argsort(jnp.where(tested, log_p, jnp.inf))
        log_p, mean = log_p[order], jnp.where(tested, mean, -1.0)[order]
        level = jnp.log(jnp.asarray(self.alpha, log_p.dtype))

        def count(cutoff):
            kept = mean >= cutoff
            rank = jnp.cumsum(kept)
            tests = rank[-1].astype(log_p.dtype)
            share = rank.astype(log_p.dtype) / jnp.maximum(tests, 1)
            below = kept & (log_p - jnp.log(jnp.where(kept, share, 1.0)) < level)
            return jnp.where(below, rank, 0).max()

        return lax.map(count, cutoffs).astype(mean.dtype)


def _unfiltered(log_p: Array, tested: Array) -> FilteredTests:
    nothing = jnp.zeros(_CUTOFFS, log_p.dtype)
    adjusted = benjamini_hochberg(log_p, tested)
    return FilteredTests(adjusted, tested, nothing[0], nothing[0], nothing, nothing)


def _choose(thetas: Array, counts: Array) -> Array:
    """Index of the first cutoff that is nearly as good as the best ones."""
    # The quantiles are farther apart than what R's `delta` would leave out.
    smooth = lowess(thetas, counts, fraction=1 / 5, delta=0.0)
    some = counts > 0
    error = jnp.sqrt(masked_mean((counts - smooth) ** 2, some))
    enough = counts > smooth.max() - error
    return jnp.where(counts.max() > _FEW, jnp.argmax(enough), 0)
