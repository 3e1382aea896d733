"""How long is the insert of a pair? A posterior from the overlap of its mates."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from diffbio_eqx._checks import require, require_range
from diffbio_eqx._numerics import as_float, masked_logsumexp, masked_softmax
from diffbio_eqx._typing import Mode
from diffbio_eqx.data.reads import PADDING
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.reads.adapter_posterior import AdapterPosterior
from diffbio_eqx.operators.reads.adapter_removal import Read
from diffbio_eqx.operators.reads.adapter_scores import AdapterScores
from diffbio_eqx.params import Free, UnitInterval
from diffbio_eqx.relax import Relaxation, set_mode

FIRST = 50
"""Mismatches are counted among so many bases of an overlap."""
_ALWAYS, _NOTHING = 1e4, -2e4


class MateCuts(eqx.Module):
    """Result of `MateOverlap` for one pair.

    - `weight`, `mate_weight` (L,): what is left of each base of either read.
    - `insert` (L1 + L2 - 1,): probability of an insert of i + 1 bases; one less the
      sum is "no overlap".
    - `probability` (): that the insert is shorter than a read.
    - `cut` (): how far the pair is cut by this, 0 or 1 but in mode soft.
    - `false_trim` (): expected number of wrong cuts of the pair.
    - `false_bases` (): expected number of bases of the insert that were cut, both
      reads together.
    """

    weight: Float[Array, " L1"]
    mate_weight: Float[Array, " L2"]
    insert: Float[Array, " inserts"]
    probability: Float[Array, ""]
    cut: Float[Array, ""]
    false_trim: Float[Array, ""]
    false_bases: Float[Array, ""]


class MateOverlap(AbstractOperator):
    """Cuts both reads of one pair where their insert ends.

    With an insert of I bases, base p of read 1 and base I - 1 - p of read 2 are the
    same base of the fragment, complemented. With u as in `AdapterScores`, two bases
    that agree have the odds `1 + 3 u u'` against two drawn evenly, and bases that
    differ `1 - u u'`; the score of I is the sum of their logarithms over the overlap.
    `adapters`, if given, add for I shorter than a read the log-odds that the adapter
    begins there. The prior is that of `AdapterPosterior` over I; "no overlap" is the
    null. Only overlaps of at least `least_overlap` bases are hypotheses, with at most
    `most_mismatches` and a `mismatch_share` of bases that differ among the first 50:
    fastp's own limits, without which repeats pass for overlaps.

    Decided is between "I is shorter than a read" with log-odds z and everything else,
    c the log-odds of `match_threshold`:

    - hard: cut both reads to the likeliest such I if `z > c`;
    - soft: weight of base b is `1 - sigmoid((z - c) / t) sum_(I <= b) softmax(odds/t)`.

    **Arguments:** `x`, a pair of reads as `AdapterRemoval` takes them, each in its own
    direction of sequencing.

    **Returns:** `MateCuts`.

    **Exact:** hard and straight-through modes; the posterior in every mode. fastp
    takes the first insert with few mismatches, and lengths of at least a read first;
    this takes the likeliest: they differ in repeats. **Relaxed:** soft mode,
    temperature in log-odds.

    - `least_overlap`: 31, the shortest that fastp accepts at its setting of 30.
    - `most_mismatches`, `mismatch_share`: 5 and 0.2 as in fastp.
    - `probability`: that mates overlap at all; `insert_mean`, `insert_spread`: of I.
    - `mismatch_rate`: of bases that differ beyond what the qualities say.

    **Raises:** `ValueError` for settings outside of their ranges.

    References: S. Chen et al. (2018), fastp, 10.1093/bioinformatics/bty560;
    M. Schubert, S. Lindgreen and L. Orlando (2016), 10.1186/s13104-016-1900-2.

    ```python
    overlap = MateOverlap()
    cuts = overlap(((bases, qualities, ones), (mate_bases, mate_qualities, ones)))
    cuts.weight, cuts.insert.argmax() + 1
    ```
    """

    posterior: AdapterPosterior
    mismatch: UnitInterval
    scores: AdapterScores | None
    mate_scores: AdapterScores | None
    cutoff: Free
    relaxation: Relaxation
    least_overlap: int = eqx.field(static=True)
    most_mismatches: int = eqx.field(static=True)
    mismatch_share: float = eqx.field(static=True)

    def __init__(
        self,
        adapters: Sequence[str] = (),
        mate_adapters: Sequence[str] = (),
        *,
        match_threshold: float = 0.5,
        least_overlap: int = 31,
        most_mismatches: int = 5,
        mismatch_share: float = 0.2,
        probability: float = 0.3,
        insert_mean: float = 150.0,
        insert_spread: float = 1000.0,
        mismatch_rate: float = 1e-3,
        temperature: float = 1.0,
        mode: Mode = "straight_through",
    ):
        require_range("match_threshold", match_threshold, 0.0, 1.0)
        require(
            least_overlap >= 1, "least_overlap", expected="1 or more", got=least_overlap
        )
        require_range("most_mismatches", most_mismatches, 0)
        require_range("mismatch_share", mismatch_share, 0.0, 1.0)
        require(
            len(adapters) <= 1 and len(mate_adapters) <= 1,
            "adapters of a pair",
            expected="at most one for each read",
            got=f"{len(adapters)} and {len(mate_adapters)}",
            hint="cut several with AdapterRemoval, read by read",
        )
        require_range(
            "mismatch_rate", mismatch_rate, 0.0, 0.75, open_low=True, open_high=True
        )
        self.posterior = AdapterPosterior(
            probability=probability,
            insert_mean=insert_mean,
            insert_spread=insert_spread,
        )
        self.mismatch = UnitInterval(mismatch_rate, step=0.05)
        self.scores = AdapterScores(adapters) if adapters else None
        self.mate_scores = AdapterScores(mate_adapters) if mate_adapters else None
        with np.errstate(divide="ignore"):
            odds = np.log(match_threshold) - np.log1p(-match_threshold)
        self.cutoff = Free(np.clip(odds, -_ALWAYS, _ALWAYS), step=0.05)
        self.relaxation = Relaxation(temperature, mode)
        self.least_overlap = int(least_overlap)
        self.most_mismatches = int(most_mismatches)
        self.mismatch_share = float(mismatch_share)

    @property
    def match_threshold(self) -> Float[Array, ""]:
        """Posterior probability of a short insert above which the pair is cut."""
        return jax.nn.sigmoid(self.cutoff.value)

    def __call__(
        self, x: tuple[Read, Read], *, key: PRNGKeyArray | None = None
    ) -> MateCuts:
        first, second = (_clean(read) for read in x)
        dtype = first[1].dtype
        odds, possible, short = self._odds(first, second)
        z = masked_logsumexp(odds, possible & short, empty=_NOTHING)
        other = masked_logsumexp(odds, possible & ~short, empty=_NOTHING)
        z = z - jnp.logaddexp(other, 0.0)
        excess = z - self.cutoff.value.astype(dtype)
        found = possible & short

        def decision(gate, place):
            # Inserts of up to b bases take base b away.
            gone = gate * jnp.cumsum(jnp.pad(place, (1, 0)))
            keep = lambda b: jnp.where(b != PADDING, 1.0 - gone[: b.shape[0]], 0.0)
            return gate, keep(first[0]), keep(second[0])

        def soft(t):
            place = masked_softmax(odds / t, found)
            return decision(jax.nn.sigmoid(excess / t), place)

        def hard():
            best = jnp.argmax(jnp.where(found, odds, -jnp.inf))
            cut = ((excess > 0) & found.any()).astype(dtype)
            return decision(cut, (jnp.arange(odds.shape[0]) == best).astype(dtype))

        gate, window, mate_window = self.relaxation.decide(soft, hard, dtype)
        total = masked_logsumexp(odds, possible, empty=_NOTHING)
        insert = jax.nn.sigmoid(total) * masked_softmax(odds, possible)
        present = jax.nn.sigmoid(z)
        after = 1.0 - jnp.cumsum(jnp.pad(jnp.where(short, insert, 0.0), (1, 0)))
        lost = lambda w, keep: (w * (1.0 - keep) * after[: w.shape[0]]).sum()
        return MateCuts(
            weight=first[2] * window,
            mate_weight=second[2] * mate_window,
            insert=insert,
            probability=present,
            cut=gate,
            false_trim=gate * (1.0 - present),
            false_bases=lost(first[2], window) + lost(second[2], mate_window),
        )

    def span(self, x: tuple[Read, Read]) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """How many bases of each read the hard cut keeps (both begin at 0)."""
        cuts = set_mode(self, "hard")(x)
        return (cuts.weight > 0).sum(), (cuts.mate_weight > 0).sum()

    def _odds(
        self, first: Read, second: Read
    ) -> tuple[
        Float[Array, " inserts"], Bool[Array, " inserts"], Bool[Array, " inserts"]
    ]:
        """Log-odds of each insert against no overlap; which there are; which are
        shorter than a read."""
        odds, differ = map(_shifted, self._agreement(first, second))
        sums = odds.sum(0)
        sizes = [(read[0] != PADDING).sum() for read in (first, second)]
        insert = jnp.arange(1, sums.shape[0] + 1)
        low = jnp.maximum(0, insert - sizes[1])
        overlap = jnp.minimum(sizes[0], insert) - low
        seen = jnp.arange(differ.shape[0])[:, None] < low + FIRST
        mismatches = jnp.where(seen, differ, 0.0).sum(0)
        most = jnp.minimum(
            self.most_mismatches, self.mismatch_share * overlap.astype(sums.dtype)
        )
        possible = (overlap >= self.least_overlap) & (mismatches <= most)
        short = (insert < sizes[0]) | (insert < sizes[1])
        reads, evidence = (first, second), (self.scores, self.mate_scores)
        for read, size, scores in zip(reads, sizes, evidence, strict=True):
            if scores is not None:
                start = jnp.pad(scores(read)[0], (0, sums.shape[0]))[insert]
                sums = sums + jnp.where(insert < size, start, 0.0)
        everywhere = jnp.ones(sums.shape, sums.dtype)
        args = (sums[None], possible[None], everywhere)
        return self.posterior(args)[0], possible, short

    def _agreement(
        self, first: Read, second: Read
    ) -> tuple[Float[Array, "L1 L2"], Float[Array, "L1 L2"]]:
        """Log-odds of "the same base" for every base of read 1 and of read 2; and 1
        where they differ (N differs from all)."""
        says, masks = [], []
        for bases, qualities, weight in (first, second):
            known = bases < 4
            top = 1.0 - self.mismatch.value.astype(qualities.dtype) * (4 / 3)
            error = 10.0 ** (jnp.where(known, qualities, 40.0) / -10.0)
            says.append(top * (1.0 - jnp.minimum(error, 0.75) * (4 / 3)))
            masks.append(jnp.where(known, weight, 0.0))
        both = says[0][:, None] * says[1]
        same = first[0][:, None] == 3 - second[0]  # codes of complements sum to 3
        odds = jnp.log(1.0 + jnp.where(same, 3.0, -1.0) * both)
        real = (first[0] != PADDING)[:, None] & (second[0] != PADDING)
        return odds * (masks[0][:, None] * masks[1]), (real & ~same).astype(
            says[0].dtype
        )


def _clean(read: Read) -> Read:
    """A read whose padding is 0 in every field but the bases."""
    bases, qualities, weight = read
    qualities = as_float(qualities)
    real = bases != PADDING
    weight = jnp.where(real, weight, 0.0).astype(qualities.dtype)
    return bases, jnp.where(real, qualities, 0.0), weight


def _shifted(x: Float[Array, "m n"]) -> Float[Array, "m m+n-1"]:
    """Entry (p, c) in column p + c.

    Rows of m + n entries, laid out flat and cut into rows of one entry less, are
    shifted by one more place each.
    """
    m, n = x.shape
    flat = jnp.pad(x, ((0, 0), (0, m))).reshape(-1)[: m * (m + n - 1)]
    return flat.reshape(m, m + n - 1)
