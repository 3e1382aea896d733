"""How much each copy of a molecule counts."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from diffbio_eqx._checks import require_range
from diffbio_eqx._numerics import as_float, safe_div
from diffbio_eqx._typing import Mode
from diffbio_eqx.data.duplicate_families import DuplicateFamilies
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.params import Positive, UnitInterval
from diffbio_eqx.relax import Relaxation


class DuplicateWeighting(AbstractOperator):
    """Weight of every read of one block of families.

    A read with similarity `c` to the centre of its family F belongs to it by
    `s = step(c - threshold)` (1 where that is certain). Of its copies it has the share

        share = s exp(p q) / sum over F of s exp(p q),

    q being its quality and p the preference, and its weight is

        w = 1 - s (1 - share).

    A read alone, or in no family by its similarity, has weight exactly 1. The weights
    of a family of s = 1 sum to 1, however deep it is: sums go over whole families
    (`segment_sum`), not over a number of neighbours. `sum(w)` is the effective number
    of molecules.

    **Hard limit** (p -> infinity, t -> 0): the best read of each family, by quality
    and then `order`, has weight 1 and the rest exactly 0: `samtools markdup -r`.

    **Arguments:** `x`, a `DuplicateFamilies` of R reads.

    **Returns:** weights (R,) in [0, 1]; 0 where `read_mask` is False.

    **Raises** `ValueError` at construction for a threshold outside (0, 1), or a
    preference or temperature that is not above 0.

    **Exact:** hard and straight-through modes. **Relaxed:** soft mode: `step` is
    `sigmoid(x / t)`, t in units of identity, and copies share by p, in nats per Phred.
    Gradients flow to threshold, preference, qualities and similarities; never to the
    families, which sorting finds on the host.

    ```python
    block = DuplicateFamilies.from_groups([0, 0, 1], [300.0, 310.0, 50.0])
    DuplicateWeighting(mode="hard")(block)  # 0, 1, 1
    DuplicateWeighting(preference=0.1, mode="soft")(block)  # 0.27, 0.73, 1
    ```
    """

    similarity_threshold: UnitInterval
    quality_preference: Positive
    relaxation: Relaxation

    def __init__(
        self,
        threshold: float = 0.95,
        preference: float = 0.1,
        *,
        temperature: float = 0.01,
        mode: Mode = "straight_through",
    ):
        hint = "it is the identity of two copies: 0.95 allows 5 % mismatches"
        low_high = dict(low=0.0, high=1.0, open_low=True, open_high=True, hint=hint)
        require_range("threshold", threshold, **low_high)
        require_range("preference", preference, 0.0, open_low=True)
        self.similarity_threshold = UnitInterval(threshold, step=0.05)
        self.quality_preference = Positive(preference, step=0.05)
        self.relaxation = Relaxation(temperature, mode)

    @property
    def threshold(self) -> Any:
        """Lowest identity with the centre that makes a copy."""
        return self.similarity_threshold.value

    @property
    def preference(self) -> Any:
        """Log-odds of the better of two copies, for each Phred of quality more."""
        return self.quality_preference.value

    def __call__(
        self, x: DuplicateFamilies, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, " reads"]:
        real = jnp.asarray(x.read_mask)
        quality = jnp.where(real, as_float(jnp.asarray(x.quality)), 0.0)
        similarity = jnp.where(real, as_float(jnp.asarray(x.similarity)), 0.0)
        similarity = similarity.astype(quality.dtype)
        family = jnp.where(real, x.family, 0)
        beyond = similarity - self.threshold.astype(quality.dtype)
        certain = jnp.asarray(x.certain)

        def membership(of_step):
            return jnp.where(real, jnp.where(certain, 1.0, of_step), 0.0)

        def soft(t):
            s = membership(jax.nn.sigmoid(beyond / t))
            p = self.preference.astype(quality.dtype)
            share = _shares(s, p * quality, family, real)
            return jnp.where(real, 1.0 - s * (1.0 - share), 0.0)

        def hard():
            s = membership((beyond >= 0).astype(quality.dtype))
            best = _best(s > 0, quality, jnp.asarray(x.order), family)
            return jnp.where(real & ((s == 0) | best), 1.0, 0.0).astype(quality.dtype)

        return self.relaxation.decide(soft, hard, quality.dtype)


def _shares(s, logit, family, real):
    """`s exp(logit)` over its sum in the family; 1 for a read alone."""
    count = len(logit)
    low = jnp.where(real, logit, -jnp.inf)
    top = jax.ops.segment_max(jax.lax.stop_gradient(low), family, count)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    part = s * jnp.exp(jnp.where(real, logit - top[family], 0.0))
    return safe_div(part, jax.ops.segment_sum(part, family, count)[family], 1.0)


def _best(inside, quality, order, family):
    """True for the one read of each family with the highest quality, then order."""
    count = len(quality)
    top = jax.ops.segment_max(jnp.where(inside, quality, -jnp.inf), family, count)
    top = inside & (quality == top[family])
    last = jnp.iinfo(order.dtype).max
    first = jax.ops.segment_min(jnp.where(top, order, last), family, count)
    return top & (order == first[family])
