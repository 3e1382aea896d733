"""Substitutions beside a called indel, scored again on the called haplotypes."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.variants.indel_likelihood import (
    GENOTYPE_ALLELES,
    IndelEvidence,
    IndelLikelihood,
    IndelScores,
    expected_column,
    real_errors,
)
from diffbio_eqx.operators.variants.pair_hmm import ReadOnHaplotype

_FAR = 1 << 30
_LN2 = 0.6931471805599453


class CalledIndels(eqx.Module):
    """A window's evidence, what the indel model made of it, and the sites to redo.

    - `evidence`, `scores`: input and output of `IndelLikelihood`.
    - `genotype` (C,): called diploid genotype of each locus (VCF order, 0-9).
    - `site_position` (S,): window coordinates of the candidate substitutions;
      `site_base` (S,): the alternative base of each.
    """

    evidence: IndelEvidence
    scores: IndelScores
    genotype: Int[Array, " loci"]
    site_position: Int[Array, " sites"]
    site_base: UInt8[Array, " sites"]


class RescoredSites(eqx.Module):
    """Substitutions as the called haplotypes see them.

    - `log_likelihood` (S, 3): no copy, one (the better phase), two; 0 where not `used`.
    - `used` (S,): whether a locus within reach is called other than reference.
    """

    log_likelihood: Float[Array, "sites 3"]
    used: Bool[Array, " sites"]


class HaplotypeRescoring(AbstractOperator):
    """Likelihoods of substitutions near a called indel, given its haplotypes.

    With A and B the called haplotypes of the locus and s the substitution, reads over
    the site are scored on A, B, A + s and B + s; a read weighs two haplotypes as in
    `IndelLikelihood`, its mapping quality included:

    no copy `(A, B)`; one copy the better of `(A + s, B)` and `(A, B + s)`; two copies
    `(A + s, B + s)`.

    Mismatches that come from aligning reads without the indel then vanish, which is
    what BAQ (Li 2011, doi:10.1093/bioinformatics/btr076) aims at. A site that a
    haplotype deletes leaves that haplotype as it is. A site near several loci goes
    with the nearest that is called. Blocks without a called locus cost nothing.

    **Arguments:** `x`, a `CalledIndels`. `likelihood` is the caller's own operator,
    so that its parameters are shared, not copied.

    **Returns:** `RescoredSites`.

    **Exact** given the called genotype, which is a hard choice without gradient.

    ```python
    rescored = HaplotypeRescoring(likelihood)(called)
    ```
    """

    likelihood: IndelLikelihood

    def __call__(
        self, x: CalledIndels, *, key: PRNGKeyArray | None = None
    ) -> RescoredSites:
        loci, near = x.evidence.loci, x.evidence.loci.near_pair_near
        allele = jnp.asarray(GENOTYPE_ALLELES, jnp.int32)[x.genotype][loci.near_locus]
        called = loci.near_mask & loci.mask[loci.near_locus] & (allele.max(1) > 0)
        active = loci.near_pair_mask & called[near]
        segment = loci.near_pair_segment
        plain = x.scores.segment_allele[segment[:, None], allele[near]]
        changed = self._with_substitution(x, allele, active, plain)
        choices = jnp.where(
            active[:, None], jnp.concatenate([plain, changed], axis=1), 0.0
        )
        quality = x.evidence.mapping_quality[segment].astype(choices.dtype)
        fit = self.likelihood.with_mapping(
            choices,
            jnp.ones_like(choices, dtype=bool),
            quality,
            self.likelihood.lowest_fit(x.evidence)[segment],
        )
        states = jnp.stack(
            [
                jnp.logaddexp(fit[:, first], fit[:, second]) - _LN2
                for first, second in ((0, 1), (2, 1), (0, 3), (2, 3))
            ],
            axis=1,
        )
        weight = x.evidence.weight[segment].astype(choices.dtype)[:, None]
        size = called.shape[0]
        total = jax.ops.segment_sum(
            jnp.where(active[:, None], states * weight, 0.0), near, size
        )
        read_somewhere = jax.ops.segment_max(active.astype(jnp.int32), near, size) > 0
        one = jnp.maximum(total[:, 1], total[:, 2])
        likelihood = jnp.stack([total[:, 0], one, total[:, 3]], axis=1)
        return _nearest(x, allele, called & read_somewhere, likelihood)

    def _with_substitution(self, x, allele, active, plain):
        """Scores of the near pairs on A + s and B + s, (K, 2)."""
        loci, near = x.evidence.loci, x.evidence.loci.near_pair_near
        changed, possible = _substituted(x, allele)
        bases, errors = x.evidence.bases, real_errors(x.evidence)
        gaps = self.likelihood.gaps
        opening = jax.vmap(jax.vmap(gaps))(changed).astype(errors.dtype)
        # A locus called homozygous needs one of its two equal haplotypes only.
        differ = (allele[:, 0] != allele[:, 1])[near]
        wanted = active[:, None] & possible[near]
        wanted = wanted & jnp.stack([jnp.ones_like(differ), differ], axis=1)
        # Pairs to be scored go first, so that the blocks behind them are skipped.
        order = jnp.argsort(~wanted.reshape(-1), stable=True)
        extend = gaps.extend.astype(errors.dtype)

        def chosen(index):
            pair, side = order[index] // 2, order[index] % 2
            segment, owner = loci.near_pair_segment[pair], near[pair]
            return ReadOnHaplotype(
                bases[segment],
                errors[segment],
                loci.segment_length[segment],
                changed[owner, side],
                opening[owner, side],
                extend,
                expected_column(
                    loci, segment, allele[owner, side], self.likelihood.hmm.band
                ),
            )

        real = wanted.reshape(-1)[order]
        value = self.likelihood.hmm.score_chosen(chosen, real, errors.dtype)
        value = jnp.zeros_like(value).at[order].set(value).reshape(-1, 2)
        same = jnp.stack([value[:, 0], jnp.where(differ, value[:, 1], value[:, 0])], 1)
        return jnp.where(possible[near], same, plain)


def _substituted(x: CalledIndels, allele):
    """Called haplotypes with the substitution (M, 2, H), and where it has a place."""
    loci = x.evidence.loci
    locus = loci.near_locus[:, None]
    site = x.site_position[loci.near_site][:, None]
    anchor = loci.allele_position[locus, allele]
    length = loci.allele_length[locus, allele]
    column = site - loci.window_start[locus] + jnp.where(site > anchor, length, 0)
    deleted = (site > anchor) & (site <= anchor - length)
    columns = jnp.arange(loci.haplotypes.shape[-1], dtype=jnp.int32)
    here = (columns == column[..., None]) & ~deleted[..., None]
    haplotype = loci.haplotypes[locus, allele]
    here = here & (haplotype < 4)
    base = x.site_base[loci.near_site][:, None, None]
    return jnp.where(here, base, haplotype), here.any(-1)


def _nearest(x: CalledIndels, allele, usable, likelihood) -> RescoredSites:
    """Each site from the nearest locus that is called."""
    loci = x.evidence.loci
    sites, size = x.site_position.shape[0], usable.shape[0]
    locus = loci.near_locus[:, None]
    site = x.site_position[loci.near_site][:, None]
    anchor = loci.allele_position[locus, allele]
    last = anchor + jnp.maximum(-loci.allele_length[locus, allele], 0)
    distance = jnp.maximum(jnp.maximum(anchor - site, site - last), 0)
    distance = jnp.where(allele > 0, distance, _FAR).min(1)
    # Ties go to the locus that comes first.
    index = jnp.arange(size, dtype=jnp.int32)
    rank = jnp.where(usable, jnp.minimum(distance, 4096) * size + index, _FAR)
    best = jax.ops.segment_min(rank, loci.near_site, sites)
    used = best < _FAR
    chosen = usable & (rank == best[loci.near_site])
    table = jax.ops.segment_sum(
        jnp.where(chosen[:, None], likelihood, 0.0), loci.near_site, sites
    )
    return RescoredSites(table, used)
