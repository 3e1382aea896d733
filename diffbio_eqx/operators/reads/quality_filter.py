"""How much each base counts, by its quality and its read's mapping quality."""

from typing import Any

from jaxtyping import Array, Float, PRNGKeyArray, Real

from diffbio_eqx._checks import require_range
from diffbio_eqx._numerics import as_float
from diffbio_eqx._typing import Mode
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.params import Free
from diffbio_eqx.relax import Relaxation


class QualityFilter(AbstractOperator):
    """Weight of every base of one read (or any block of bases).

    `w = step(q - threshold) * step(m - mapping_threshold)`: in hard mode a base counts
    if its Phred quality q and its read's mapping quality m reach the thresholds,
    `q >= threshold` and `m >= mapping_threshold`. In soft mode
    `step(x) = sigmoid(x / temperature)`, temperature in Phred.

    **Arguments:** `x`, a pair `(quality, mapping_quality)` of arrays that broadcast,
    in Phred.

    **Returns:** weights in [0, 1].

    **Exact:** hard and straight-through modes. **Relaxed:** soft mode.
    """

    base_cutoff: Free
    mapping_cutoff: Free
    relaxation: Relaxation

    def __init__(
        self,
        threshold: float = 1.0,
        mapping_threshold: float = 0.0,
        *,
        temperature: float = 1.0,
        mode: Mode = "straight_through",
    ):
        require_range("threshold", threshold, 0.0, 254.0)
        require_range("mapping_threshold", mapping_threshold, 0.0, 254.0)
        self.base_cutoff = Free(threshold, step=0.1)
        self.mapping_cutoff = Free(mapping_threshold, step=0.1)
        self.relaxation = Relaxation(temperature, mode)

    @property
    def threshold(self) -> Any:
        """Lowest base quality (Phred) that counts."""
        return self.base_cutoff.value

    @property
    def mapping_threshold(self) -> Any:
        """Lowest mapping quality (Phred) that counts."""
        return self.mapping_cutoff.value

    def __call__(
        self,
        x: tuple[Real[Array, "..."], Real[Array, "..."]],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "..."]:
        quality, mapping_quality = (as_float(v) for v in x)
        return self._step(quality, self.threshold) * self.of_reads(mapping_quality)

    def of_reads(self, mapping_quality: Real[Array, "..."]) -> Float[Array, "..."]:
        """The part of the weight that comes from the mapping quality."""
        return self._step(as_float(mapping_quality), self.mapping_threshold)

    def _step(self, x, cutoff):
        return self.relaxation.step(x - cutoff.astype(x.dtype), closed=True)
