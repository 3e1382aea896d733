"""Which base did the sequencer see? A choice by quality and by other reads' words."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Real, UInt8

from diffbio_eqx._checks import require_range
from diffbio_eqx._numerics import as_float, masked_softmax
from diffbio_eqx._typing import HostArray, Mode
from diffbio_eqx.data.correction_evidence import CorrectionEvidence
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.operators.reads.error_curve import ErrorCurve
from diffbio_eqx.params import Positive
from diffbio_eqx.relax import Relaxation
from diffbio_eqx.relax.select import hard_argmax

_FLOOR, _SHARE = 1e-4, 0.93


class CorrectedRead(NamedTuple):
    """What `ErrorCorrection` returns for one read.

    `base_probs` (L, 4): probabilities of A C G T; a row is 0 for N that stays N and
    for padding. `bases` (L,): codes of the hard choice. `qualities` (L,): Phred.
    `changed` (L,): probability that the base is another than the read's.
    """

    base_probs: Float[Array, "length 4"]
    bases: UInt8[Array, " length"]
    qualities: Float[Array, " length"]
    changed: Float[Array, " length"]


class ErrorCorrection(AbstractOperator):
    """Corrected bases of one read: substitutions, each position by itself.

    The word counts `c` of the read's other observers (`CorrectionEvidence`) and the
    base quality decide among the four bases b of a position:

        trust of a word    t = step(sharpness log((c + 1/2) / threshold))
        words that lack it n_b = sum_j (1 - t_bj),  a_b = 1 - prod_j t_bj
        score_b = log P(read's base | b, q) - leave a_b - stay n_b

    with `P = 1 - e` for the read's own base and `e / 3` for another;
    `e = 1e-4 + 0.93 error(q)` is never 0 and at most 0.7, so that the read's base wins
    where words do not decide. N gives every base 1/4, and may stay N as a fifth choice
    none of whose words has trust. The result is `argmax(score)`: as weights, `softmax(
    score / temperature)`.

    This is the model of spectrum correctors such as BFC and Lighter: `leave` nats
    for a stretch of words that nobody else has, `stay` for each of them. Their hard
    form on whole reads, with several errors close to each other, is
    `jobs.KmerCorrector`, which takes its numbers from this operator.

    **Arguments:** `x`, a `CorrectionEvidence` of one read. Bases of weight below
    1/2 (trimmed) and padding come out as they went in.

    **Returns:** `CorrectedRead`. A changed base gets the quality `new_quality`.

    **Raises:** `ValueError` for numbers out of range.

    **Exact:** modes hard and straight-through: probabilities are 0 and 1, a base all
    of whose words are trusted stays exactly as it is. **Relaxed:** mode soft, with
    the temperature in nats for both the trust and the choice; t -> 0 is the hard form.

    References: H. Li, BFC, Bioinformatics 31:2885 (2015),
    10.1093/bioinformatics/btv290; L. Song, L. Florea and B. Langmead, Lighter, Genome
    Biology 15:509 (2014), 10.1186/s13059-014-0509-9.

    ```python
    correct = ErrorCorrection(threshold=spectrum.threshold)
    evidence = CorrectionEvidence.from_spectrum(spectrum, bases, qualities)
    corrected = jax.vmap(correct)(evidence)
    ```
    """

    trust_threshold: Positive
    trust_sharpness: Positive
    leave_cost: Positive
    stay_cost: Positive
    corrected_quality: Positive
    error: ErrorCurve
    relaxation: Relaxation

    def __init__(
        self,
        threshold: float = 3.0,
        *,
        sharpness: float = 4.0,
        leave: float = 10.0,
        stay: float = 1.4,
        new_quality: float = 30.0,
        temperature: float = 1.0,
        mode: Mode = "straight_through",
    ):
        for name, value in {
            "threshold": threshold,
            "sharpness": sharpness,
            "leave": leave,
            "stay": stay,
            "new_quality": new_quality,
        }.items():
            require_range(name, value, 0.0, open_low=True)
        self.trust_threshold = Positive(threshold, step=0.1)
        self.trust_sharpness = Positive(sharpness, step=0.1)
        self.leave_cost = Positive(leave, step=0.2)
        self.stay_cost = Positive(stay, step=0.05)
        self.corrected_quality = Positive(new_quality, step=0.5)
        self.error = ErrorCurve()
        self.relaxation = Relaxation(temperature, mode)

    @property
    def threshold(self) -> Any:
        """Smallest count of a word that is trusted (counts and a half, in fact)."""
        return self.trust_threshold.value

    def log_read(
        self, qualities: Real[HostArray, "*s"]
    ) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
        """Log probability to read the true base, and to read one other base."""
        wrong = _FLOOR + _SHARE * self.error(as_float(jnp.asarray(qualities)))
        return jnp.log1p(-wrong), jnp.log(wrong / 3.0)

    def __call__(
        self, x: CorrectionEvidence, *, key: PRNGKeyArray | None = None
    ) -> CorrectedRead:
        bases = jnp.asarray(x.bases)
        kept = (jnp.asarray(x.weight) >= 0.5) & (bases <= 4)
        qualities = as_float(jnp.asarray(x.qualities))
        dtype = qualities.dtype
        clean = jnp.where(kept, qualities, 0.0)
        support = jnp.asarray(x.support).astype(dtype)
        there = (support >= 0) & kept[:, None, None]
        count = jnp.where(there, support, 0.0)
        threshold = self.threshold.astype(dtype)
        excess = self.trust_sharpness.value.astype(dtype) * (
            jnp.log(count + 0.5) - jnp.log(threshold)
        )
        prior, usable = self._prior(bases, clean)
        words = there.any(1).sum(-1).astype(dtype)  # over each position
        costs = [
            self.leave_cost.value.astype(dtype),
            self.stay_cost.value.astype(dtype),
        ]

        def score(trust):
            lacking = jnp.where(there, 1.0 - trust, 0.0).sum(-1)
            any_lacks = 1.0 - jnp.where(there, trust, 1.0).prod(-1)
            # the fifth choice: an N that stays, in words that nobody trusts
            lacking = jnp.concatenate([lacking, words[:, None]], 1)
            none = (words > 0).astype(dtype)[:, None]
            any_lacks = jnp.concatenate([any_lacks, none], 1)
            return prior - costs[0] * any_lacks - costs[1] * lacking

        def soft(t):
            return masked_softmax(score(jax.nn.sigmoid(excess / t)) / t, usable)

        def hard():
            return hard_argmax(score((excess >= 0).astype(dtype)), usable, -1)

        choice = self.relaxation.decide(soft, hard, dtype)
        own = jax.nn.one_hot(bases, 5, dtype=dtype)
        choice = jnp.where(kept[:, None], choice, own)
        changed = 1.0 - (choice * own).sum(1)
        changed = jnp.where(kept, changed, 0.0)
        new_quality = self.corrected_quality.value.astype(dtype)
        as_read = jnp.where(bases <= 4, qualities, 0.0)
        better = jnp.where(kept, clean + changed * (new_quality - clean), as_read)
        codes = jnp.argmax(choice, 1).astype(jnp.uint8)
        codes = jnp.where(kept, codes, bases)
        return CorrectedRead(choice[:, :4], codes, better, changed)

    def _prior(self, bases, qualities):
        """Log probability of the read's base for A C G T N, and which are choices."""
        same, other = self.log_read(qualities)
        own = bases[:, None] == jnp.arange(5, dtype=bases.dtype)
        unknown = (bases == 4)[:, None]
        quarter = jnp.log(jnp.asarray(0.25, qualities.dtype))
        called = jnp.where(own, same[:, None], other[:, None])
        prior = jnp.where(unknown, quarter, called)
        usable = jnp.concatenate([jnp.ones_like(own[:, :4]), unknown], 1)
        return prior, usable
