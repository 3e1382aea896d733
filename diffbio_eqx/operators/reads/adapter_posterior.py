"""How likely is each cut of a read? Match scores and a prior of insert lengths."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from diffbio_eqx._checks import require, require_range
from diffbio_eqx._numerics import masked_logsumexp, safe_log
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.params import Free, Positive, Simplex, UnitInterval


class AdapterPosterior(AbstractOperator):
    """For one read, the log posterior odds of every cut against "no adapter".

    The prior: with `probability` r the read holds an adapter at all; it is adapter a
    with share `f_a`, and i bases of insert are kept with a probability proportional to
    `w_i exp(-((i - m) / s)^2 / 2)` over the bases of the read. So

    `odds[a, i] = score[a, i] + log(r / (1 - r)) + log f_a + log P(i)`.

    With the default spread s = 1000 the prior of i is nearly flat. A base of weight 0
    (cut already) is no place for a cut.

    **Arguments:** `x`, a triple of one read:

    - `scores` (adapters, L): log-odds of the evidence (`AdapterScores`).
    - `possible` (adapters, L) bool: cuts to be considered.
    - `weight` (L,) in [0, 1]: how much of each base is still there.

    **Returns:** log-odds (adapters, L), 0 where no cut is possible. With "none" at 0,
    `softmax` over the possible entries and "none" is the posterior.

    **Exact:** everything.

    **Raises:** `ValueError` for probabilities outside of (0, 1), a spread that is not
    positive, or shares that are not one for each adapter.
    """

    share: UnitInterval
    mean: Free
    spread: Positive
    kinds: Simplex

    def __init__(
        self,
        adapters: int = 1,
        *,
        probability: float = 0.3,
        insert_mean: float = 150.0,
        insert_spread: float = 1000.0,
        kinds: Sequence[float] | None = None,
    ):
        require_range(
            "probability", probability, 0.0, 1.0, open_low=True, open_high=True
        )
        require_range("insert_mean", insert_mean)
        require_range("insert_spread", insert_spread, 0.0, open_low=True)
        kinds = np.full(adapters, 1 / adapters) if kinds is None else np.asarray(kinds)
        require(
            kinds.shape == (adapters,),
            "kinds",
            expected=f"{adapters} shares, one for each adapter",
            got=kinds.shape,
        )
        self.share = UnitInterval(probability, step=0.02)
        self.mean = Free(insert_mean, step=0.5)
        self.spread = Positive(insert_spread, step=0.5)
        self.kinds = Simplex(kinds, step=0.02)

    @property
    def probability(self) -> Float[Array, ""]:
        """Prior probability that a read holds an adapter."""
        return self.share.value

    def __call__(
        self,
        x: tuple[
            Float[Array, "adapters L"],
            Bool[Array, "adapters L"],
            Float[Array, " L"],
        ],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "adapters L"]:
        scores, possible, weight = x
        dtype = scores.dtype
        here = weight > 0
        inside = here & possible.any(0)
        place = jnp.arange(weight.shape[0], dtype=dtype)
        away = (place - self.mean.value.astype(dtype)) / self.spread.value.astype(dtype)
        left = safe_log(jnp.where(here, weight, 1.0).astype(dtype))
        log_place = left - away * away / 2
        log_place = log_place - masked_logsumexp(log_place, inside, empty=0.0)
        odds = self.share.raw.astype(dtype) + log_place
        odds = odds + self.kinds.log_value.astype(dtype)[:, None]
        return jnp.where(possible & here, scores + odds, 0.0)
