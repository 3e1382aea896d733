"""Weighted counts over reference positions."""

import equinox as eqx
from jaxtyping import Array, Float


class Pileup(eqx.Module):
    """What the reads of a window show at each reference position.

    - `forward`, `reverse` (L, 4): weighted counts of A C G T by strand.
    - `deletions`, `insertions` (L,): weighted reads that delete the position, or that
      insert bases right after it.
    - `mean_quality`, `mean_mapping_quality` (L,): weighted means (Phred) over the
      bases counted; 0 where none is.
    """

    forward: Float[Array, "length 4"]
    reverse: Float[Array, "length 4"]
    deletions: Float[Array, " length"]
    insertions: Float[Array, " length"]
    mean_quality: Float[Array, " length"]
    mean_mapping_quality: Float[Array, " length"]

    @property
    def counts(self) -> Float[Array, "length 4"]:
        """Weighted counts of A C G T, both strands."""
        return self.forward + self.reverse

    @property
    def coverage(self) -> Float[Array, " length"]:
        """Weighted reads over the position, deletions included."""
        return self.counts.sum(-1) + self.deletions
