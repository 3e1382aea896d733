"""Where does the adapter begin? A posterior over all cuts of a read, and the cut."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Real, UInt8

from diffbio_eqx._checks import require, require_range
from diffbio_eqx._numerics import as_float, masked_logsumexp, masked_softmax
from diffbio_eqx._typing import Mode
from diffbio_eqx.data.reads import PADDING
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.reads.adapter_posterior import AdapterPosterior
from diffbio_eqx.operators.reads.adapter_scores import AdapterScores, mirror
from diffbio_eqx.params import Free
from diffbio_eqx.relax import Relaxation, set_mode

TRUSEQ = "AGATCGGAAGAGCACACGTCTGAACTCCAGTCA"
"""What TruSeq reads run into after a short insert (read 1)."""
TRUSEQ_2 = "AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGT"
"""The same for read 2."""

Read = tuple[UInt8[Array, " L"], Real[Array, " L"], Float[Array, " L"]]
_ALWAYS, _NOTHING = 1e4, -2e4
"""Log-odds of the thresholds 0 and 1, and of a read without any place for a cut."""


class AdapterEnd(eqx.Module):
    """What was found at one end of a read.

    - `window` (L,): 1 for bases that the cut keeps.
    - `posterior` (L,): probability that the cut keeps exactly i bases (counted from
      the other end).
    - `probability` (): that there is an adapter; one less the sum is "none".
    - `kinds` (adapters,): probability of each adapter.
    - `false_trim` (): expected number of wrong cuts, `1 - probability` if it is cut.
    - `false_bases` (): expected number of bases of the insert that were cut.
    """

    window: Float[Array, " L"]
    posterior: Float[Array, " L"]
    probability: Float[Array, ""]
    kinds: Float[Array, " adapters"]
    false_trim: Float[Array, ""]
    false_bases: Float[Array, ""]


class AdapterCuts(eqx.Module):
    """Result of `AdapterRemoval`: the new weight of each base, and what was found.

    `weight` (L,) is the old weight times the windows of both ends; `three` and `five`
    are None where no adapter of that side was given.
    """

    weight: Float[Array, " L"]
    three: AdapterEnd | None
    five: AdapterEnd | None


class AdapterRemoval(AbstractOperator):
    """Cuts adapters off one read, by the posterior over all cuts and "no adapter".

    `AdapterScores` weighs the bases by their qualities, `AdapterPosterior` adds the
    prior of insert lengths; that prior, not a least overlap, decides about the few
    bases at the end of a read that look like an adapter by chance. With z the log
    posterior odds of all cuts against none and c = log-odds of `match_threshold`:

    - hard: cut at the likeliest place if `z > c`;
    - soft: `1 - sigmoid((z - c) / t) * sum_(i <= b) softmax(odds / t)_i` is the weight
      of base b. At temperature t = 1 and threshold 1/2 it is P(the cut is after b).

    Several adapters are hypotheses of one posterior. 3' and 5' adapters are decided
    apart, both on the whole read, unless `linked`: then both cuts are made if the
    log-odds of "there are both" are above c, else neither.

    **Arguments:** `x`, a triple of one read: `bases` (L,) uint8 codes (7 = padding),
    `qualities` (L,) Phred, `weight` (L,) in [0, 1] from the stages before.

    **Returns:** `AdapterCuts`. In hard mode the kept bases are one interval.

    **Exact:** hard and straight-through modes; the posterior in every mode.
    **Relaxed:** soft mode. Temperature in log-odds (natural logarithm).

    - `adapters`: 3' adapters, `ACGTN`, with `$` after an anchored one.
    - `five_prime`: 5' adapters, with `^` before an anchored one.
    - `match_threshold` in [0, 1]: posterior probability above which it is cut; 0 cuts
      always, 1 never.
    - `probability`, `insert_mean`, `insert_spread`: see `AdapterPosterior`.
    - `mismatch_rate`, `background`: see `AdapterScores`.

    **Raises:** `ValueError` for settings outside of their ranges, no adapter at all, or
    `linked` without adapters on both sides.

    References: M. Schubert, S. Lindgreen and L. Orlando (2016), AdapterRemoval v2,
    10.1186/s13104-016-1900-2; M. Martin (2011), Cutadapt, 10.14806/ej.17.1.200.

    ```python
    removal = AdapterRemoval("AGATCGGAAGAGC")
    cuts = removal((bases, qualities, jnp.ones(150)))
    cuts.weight, cuts.three.probability
    ```
    """

    three_scores: AdapterScores | None
    three_posterior: AdapterPosterior | None
    five_scores: AdapterScores | None
    five_posterior: AdapterPosterior | None
    cutoff: Free
    relaxation: Relaxation
    linked: bool = eqx.field(static=True)

    def __init__(
        self,
        adapters: str | Sequence[str] = TRUSEQ,
        *,
        five_prime: str | Sequence[str] = (),
        linked: bool = False,
        match_threshold: float = 0.5,
        probability: float = 0.3,
        insert_mean: float = 150.0,
        insert_spread: float = 1000.0,
        mismatch_rate: float = 1e-3,
        background: Float[Array, "4 4 4"] | None = None,
        temperature: float = 1.0,
        mode: Mode = "straight_through",
    ):
        three, five = (
            (x,) if isinstance(x, str) else tuple(x) for x in (adapters, five_prime)
        )
        require(three or five, "adapters", expected="one or more", got="none")
        both = bool(three and five)
        require(
            both or not linked,
            "linked adapters",
            expected="adapters on both sides",
            got=f"{len(three)} at the 3' and {len(five)} at the 5' end",
        )
        require_range("match_threshold", match_threshold, 0.0, 1.0)
        prior = dict(
            probability=probability,
            insert_mean=insert_mean,
            insert_spread=insert_spread,
        )
        errors = dict(mismatch_rate=mismatch_rate, background=background)
        build = lambda names, *, five: (
            (
                AdapterScores(names, five_prime=five, **errors),
                AdapterPosterior(len(names), **prior),
            )
            if names
            else (None, None)
        )
        self.three_scores, self.three_posterior = build(three, five=False)
        self.five_scores, self.five_posterior = build(five, five=True)
        with np.errstate(divide="ignore"):
            odds = np.log(match_threshold) - np.log1p(-match_threshold)
        self.cutoff = Free(np.clip(odds, -_ALWAYS, _ALWAYS), step=0.05)
        self.relaxation = Relaxation(temperature, mode)
        self.linked = linked

    @property
    def match_threshold(self) -> Float[Array, ""]:
        """Posterior probability of an adapter above which it is cut."""
        return jax.nn.sigmoid(self.cutoff.value)

    def __call__(self, x: Read, *, key: PRNGKeyArray | None = None) -> AdapterCuts:
        bases, qualities, weight = x
        qualities = as_float(qualities)
        real = bases != PADDING
        weight = jnp.where(real, weight, 0.0).astype(qualities.dtype)
        sides = [
            self._evidence(scores, posterior, bases, qualities, weight)
            for scores, posterior in (
                (self.three_scores, self.three_posterior),
                (self.five_scores, self.five_posterior),
            )
            if scores is not None
        ]
        totals = [side.total for side in sides]
        if self.linked:
            one, other = totals
            joint = one + other - jnp.logaddexp(jnp.logaddexp(one, other), 0.0)
            totals = [joint, joint]
        cutoff = self.cutoff.value.astype(qualities.dtype)
        ends = [
            self._end(side, total - cutoff, bases, weight)
            for side, total in zip(sides, totals, strict=True)
        ]
        left = weight
        for end in ends:
            left = left * end.window
        five = ends.pop() if self.five_scores is not None else None
        return AdapterCuts(left, ends[0] if ends else None, five)

    def span(self, x: Read) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """The bases of one read that the hard cut keeps, `[start, end)`.

        `end` is `start` if nothing is left.
        """
        kept = set_mode(self, "hard")(x).weight > 0
        start = jnp.where(kept.any(), kept.argmax(), 0)
        return start, start + kept.sum()

    def _evidence(self, scores, posterior, bases, qualities, weight) -> "_Evidence":
        match = scores((bases, qualities, weight))
        five = scores.five_prime
        weight = mirror(weight, bases) if five else weight
        possible = scores.possible(bases) & (weight > 0)
        odds = posterior((match, possible, weight))
        total = masked_logsumexp(odds.reshape(-1), possible.reshape(-1), empty=_NOTHING)
        return _Evidence(odds, possible, total, five)

    def _end(self, found: "_Evidence", excess, bases, weight) -> AdapterEnd:
        odds, possible = found.odds.reshape(-1), found.possible.reshape(-1)
        kinds, length = found.odds.shape
        by_place = lambda x: x.reshape(kinds, length).sum(0)
        real = bases != PADDING

        def decision(gate, place):
            # A base is gone if the cut is at or before it: a running sum of the place.
            return gate, jnp.where(real, 1.0 - gate * jnp.cumsum(place), 0.0)

        def soft(t):
            place = by_place(masked_softmax(odds / t, possible))
            return decision(jax.nn.sigmoid(excess / t), place)

        def hard():
            best = jnp.argmax(jnp.where(possible, odds, -jnp.inf)) % length
            cut = (excess > 0) & possible.any()
            place = (jnp.arange(length) == best).astype(odds.dtype)
            return decision(cut.astype(odds.dtype), place)

        gate, window = self.relaxation.decide(soft, hard, odds.dtype)
        present = jax.nn.sigmoid(found.total)
        given = masked_softmax(odds, possible).reshape(kinds, length)
        posterior = present * given.sum(0)
        insert = 1.0 - jnp.cumsum(posterior)
        if found.five:
            window, insert = mirror(window, bases), mirror(insert, bases)
        return AdapterEnd(
            window=window,
            posterior=posterior,
            probability=present,
            kinds=present * given.sum(1),
            false_trim=gate * (1.0 - present),
            false_bases=(weight * (1.0 - window) * insert).sum(),
        )


class _Evidence(NamedTuple):
    """Log-odds of all cuts at one end of a read, and of any of them."""

    odds: Float[Array, "adapters L"]
    possible: Bool[Array, "adapters L"]
    total: Float[Array, ""]
    five: bool
