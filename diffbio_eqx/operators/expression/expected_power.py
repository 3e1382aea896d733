"""Power of an experiment that is still to be done, as a smooth function of its size."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.stats import norm
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require_range
from diffbio_eqx._typing import Natural
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.params import Frozen

_HALVINGS = 60
_LOWEST = 1e-12


class PlannedExperiment(eqx.Module):
    """What is planned, and what is known of the genes from a pilot.

    - `cells` (cells, coefs): the different rows of the design, intercept first.
    - `replicates` (cells,): samples in each cell; need not be whole.
    - `contrast` (coefs,): what will be tested.
    - `depth`: sequencing depth relative to the pilot's, 1 for the same.
    - `mean` (genes,): mean scaled counts in the pilot. `dispersion` (genes,).
    - `coefficients` (coefs, genes): natural logs of the effects that should be found;
      the row of the intercept is not used (`mean` stands for it).
    """

    cells: Float[Array, "cells coefs"]
    replicates: Float[Array, " cells"]
    contrast: Float[Array, " coefs"]
    depth: Float[Array, ""]
    mean: Float[Array, " genes"]
    dispersion: Float[Array, " genes"]
    coefficients: Float[Array, "coefs genes"]


class Power(eqx.Module):
    """`expected`: mean power over genes; `genes` (genes,): of each gene; `log_level`:
    natural log of the p-value below which a gene is called."""

    expected: Float[Array, ""]
    genes: Float[Array, " genes"]
    log_level: Float[Array, ""]


class ExpectedPower(AbstractOperator):
    """Expected power of a Wald test, with gradients to depth and replicates.

    Cell c of gene i has mean `mu = depth * mean_i * exp(x_c' beta_i)` and information
    `n_c / (1 / mu + alpha_i)` per sample; the effect has the standard error
    `sqrt(c' (X' W X)^-1 c)`, so that with `z = |c' beta| / error` and a level `a`

        power = Phi(z - q) + Phi(-z - q),   q = Phi^-1(1 - a / 2).

    The level is such that the expected share of null genes among the called ones is
    `fdr`: `null a / (null a + (1 - null) mean power(a)) = fdr`. With `fdr=None` it is
    `level` itself.

    **Arguments of the operator:** one `PlannedExperiment`. **Returns:** a `Power`.

    **Exact:** the gradient, also through the level (implicitly). The formula itself is
    that of large samples, with dispersions known.

    - `fdr` in (0, 1) or None; `null`: share of genes without effect, in (0, 1);
      `level` in (0, 1).

    ```python
    power = ExpectedPower(fdr=0.05, null=0.9)(experiment)
    jax.grad(lambda depth: ExpectedPower()(with_depth(depth)).expected)(1.0)
    ```

    Reference: Hart et al. 2013, doi:10.1089/cmb.2012.0283, for the variance of a log
    ratio; Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """

    null: Frozen
    level: Frozen
    fdr: Frozen | None

    def __init__(
        self, fdr: Natural | None = 0.05, null: Natural = 0.9, level: Natural = 0.05
    ):
        for name, value in (("fdr", fdr), ("null", null), ("level", level)):
            if value is not None:
                require_range(name, value, 0.0, 1.0, open_low=True, open_high=True)
        self.fdr = None if fdr is None else Frozen(fdr)
        self.null = Frozen(null)
        self.level = Frozen(level)

    def __call__(
        self, x: PlannedExperiment, *, key: PRNGKeyArray | None = None
    ) -> Power:
        z = _signal(x)
        value = lambda parameter: parameter.value.astype(z.dtype)
        log_level = jnp.log(value(self.level))
        if self.fdr is not None:
            log_level = _level_of_fdr(z, value(self.fdr), value(self.null))
        genes = _power(z, log_level)
        return Power(genes.mean(), genes, log_level)


def _signal(x: PlannedExperiment) -> Float[Array, " genes"]:
    """|effect| over its standard error."""
    effects = x.coefficients.at[0].set(0.0)
    mean = x.depth * x.mean * jnp.exp(x.cells @ effects)
    weight = x.replicates[:, None] / (1.0 / mean + x.dispersion)
    information = jnp.einsum("ci,cg,cj->gij", x.cells, weight, x.cells)
    solved = jnp.linalg.solve(information, x.contrast[:, None])[..., 0]
    error = jnp.sqrt(solved @ x.contrast)
    return jnp.abs(x.contrast @ effects) / error


def _power(z: Array, log_level: Array) -> Array:
    quantile = -norm.ppf(jnp.exp(log_level) / 2)
    return norm.cdf(z - quantile) + norm.cdf(-z - quantile)


def _level_of_fdr(z: Array, fdr: Array, null: Array) -> Array:
    """The log level at which the expected share of null genes among calls is `fdr`."""

    def excess(log_level: Array, z: Array) -> Array:
        false = null * jnp.exp(log_level)
        return false * (1 - fdr) - fdr * (1 - null) * _power(z, log_level).mean()

    def halve(_, ends):
        middle = (ends[0] + ends[1]) / 2
        above = excess(middle, fixed) > 0
        return jnp.where(above, ends[0], middle), jnp.where(above, middle, ends[1])

    fixed = lax.stop_gradient(z)
    ends = jnp.log(jnp.asarray([_LOWEST, 1.0], z.dtype))
    low, high = lax.fori_loop(0, _HALVINGS, halve, (ends[0], ends[1]))
    root = (low + high) / 2
    # One Newton step from the root: its value is the root's, its derivative implicit.
    slope = lax.stop_gradient(jax.grad(excess)(root, fixed))
    return root - excess(root, z) / slope
