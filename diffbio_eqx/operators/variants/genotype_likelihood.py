"""Likelihood of the ten genotypes of a site from the bases that lie over it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.params import UnitInterval

# VCF order over A C G T: index b (b + 1) / 2 + a for a <= b
GENOTYPES = np.array([(a, b) for b in range(4) for a in range(b + 1)], np.int32)
_FIRST, _SECOND = GENOTYPES.T
HOMOZYGOUS = _FIRST == _SECOND
_OUTSIDE = (np.arange(4)[:, None] != _FIRST) & (np.arange(4)[:, None] != _SECOND)
_LN3 = 1.0986122886681098


class Column(eqx.Module):
    """Bases of reads over a site, or over many sites laid end to end.

    - `probs` (N, 4): the base as probabilities of A C G T (one-hot as a rule).
    - `error` (N,): probability that the base is wrong, in (0, 3/4].
    - `weight` (N,): how much it counts; 0 for padding.
    - `reverse` (N,): strand; `site` (N,): index of its site, 0 for a single one.
    """

    probs: Float[Array, "entries 4"]
    error: Float[Array, " entries"]
    weight: Float[Array, " entries"]
    reverse: Bool[Array, " entries"]
    site: Int[Array, " entries"]

    def depth(self, count: int) -> Float[Array, "sites 4"]:
        """Weighted reads that show each base, for `count` sites."""
        counts = self.weight > 0
        site = jnp.where(counts, self.site, count)
        share = jnp.where(counts[:, None], self.weight[:, None] * self.probs, 0)
        return jax.ops.segment_sum(share, site, count + 1)[:count]


def genotypes_from_sums(
    match: Float[Array, "sites 4"],
    error: Float[Array, "sites 4"],
    het: Float[Array, "sites 4"],
) -> Float[Array, "sites 10"]:
    """Genotype log-likelihoods from the sums of M, X and H over the reads of a base."""
    # Only what the genotype does not hold: no difference of two large sums.
    outside = jnp.asarray(_OUTSIDE, error.dtype)
    others = jnp.matmul(error, outside, precision=lax.Precision.HIGHEST)
    shown = jnp.where(HOMOZYGOUS, match[:, _FIRST], het[:, _FIRST] + het[:, _SECOND])
    return shown + others


class GenotypeLikelihood(AbstractOperator):
    """Log-likelihoods of the ten diploid genotypes of one site.

    With `M = log(1 - e)`, `X = log(e / 3)`, `H = log((1 - e) / 2 + e / 6)` summed over
    the reads that show base b (weights w multiply each term)

        hom(b) = M_b + X - X_b,   het(a, b) = H_a + H_b + X - X_a - X_b,

    `X` the sum over all bases. Without dependency `X_b = sum log(e / 3)` over the reads
    that show b. But errors of a kind come together. As in the error model of samtools
    (Li, Ruan and Durbin 2008, doi:10.1101/gr.078212.108; Li 2011,
    doi:10.1093/bioinformatics/btr509) the odds of ever more errors are damped, and
    which base is wrong is drawn once:

        X_b = sum_k f_k log(e_k (n - k) / (k + 1)) - log(n choose K_b) - log 3,
        f_k = (1 - floor) * decay ** j + floor,

    k = 0, 1, ... the rank of a read among the `K_b` of the site's n reads that show b,
    the strongest first, and j its rank among those of its strand; 0.83 and 0.03 at the
    start. One error alone costs `log(e / 3)` as ever. (The binomial turns counts into
    the order of the reads; without it a heterozygote, who pays log 2 for each read,
    would lose to damped errors from a depth of 150 on.)

    **Arguments:** `x`, the `Column` of one site.

    **Returns:** (10,) natural logs, in VCF order (AA AC CC AG CG GG AT CT GT TT).

    **Exact:** all; the order of errors is taken as given, so a gradient is one-sided
    where two qualities are equal. Float32: relative error below 1e-5 to depth 1,000.
    """

    decay: UnitInterval
    floor: UnitInterval

    def __init__(self, decay: float = 0.83, floor: float = 0.03):
        self.decay = UnitInterval(decay, step=0.02)
        self.floor = UnitInterval(floor, step=0.02)

    def __call__(
        self, x: Column, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, " 10"]:
        return self.sites(x, 1)[0]

    def sites(self, x: Column, count: int) -> Float[Array, "sites 10"]:
        """The same for `count` sites laid end to end, of any depth each."""
        return genotypes_from_sums(*self._sums(x, count))

    def _sums(self, x: Column, count: int):
        counts = x.weight > 0
        e = jnp.where(counts, x.error, 0.5)
        weight = jnp.where(counts, x.weight, 0)[:, None]
        share = jnp.where(counts[:, None], x.probs, 0)
        strength = jnp.log(e)
        factor, choice = self._dependency(x, counts, strength, count)
        terms = jnp.stack(
            [
                jnp.log1p(-e),
                strength * factor - choice,
                jnp.log(0.5 * (1.0 - e) + e / 6.0),
            ]
        )
        site = jnp.where(counts, x.site, count)
        each = (weight * share)[:, None, :] * terms.T[:, :, None]
        sums = jax.ops.segment_sum(each, site, count + 1)[:count]
        return sums[:, 0], sums[:, 1], sums[:, 2]

    def _dependency(self, x: Column, counts, strength, count: int):
        """How much each error counts, and what choosing the read and base costs."""
        dtype = strength.dtype
        site = jnp.where(counts, x.site, count)
        base = site * 4 + jnp.argmax(x.probs, axis=1).astype(x.site.dtype)
        strand = base * 2 + x.reverse.astype(x.site.dtype)
        order = lax.stop_gradient(strength)
        rank = _rank(jnp.where(counts, strand, 8 * count), order, 8 * count)
        among = _rank(jnp.where(counts, base, 4 * count), order, 4 * count)
        depth = jax.ops.segment_sum(counts.astype(dtype), site, count + 1)[site]
        decay, floor = self.decay.value.astype(dtype), self.floor.value.astype(dtype)
        factor = (1.0 - floor) * decay ** rank.astype(dtype) + floor
        k = among.astype(dtype)
        odds = jnp.log(jnp.maximum(depth - k, 1.0) / (k + 1.0))
        return factor, (1.0 - factor) * odds + jnp.where(among == 0, _LN3, 0.0)


def _rank(group, strength, groups: int):
    """Place of each entry within its group, the strongest (smallest) first."""
    index = jnp.arange(group.shape[0], dtype=jnp.int32)
    ordered, _, order = lax.sort((group, strength, index), num_keys=2)
    begin = jax.ops.segment_min(index, ordered, groups + 1)[ordered]
    return jnp.zeros_like(index).at[order].set(index - begin)
