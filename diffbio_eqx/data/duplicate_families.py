"""Families of reads that may be copies of one molecule."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float, Int32

from diffbio_eqx._typing import HostArray


class DuplicateFamilies(eqx.Module):
    """A block of reads (or pairs) with the family of each: what is weighted.

    - `family` (R,): number of its family in this block, 0 ... R - 1.
    - `similarity` (R,): identity with the family's centre, in [0, 1].
    - `certain` (R,): in the family whatever the similarity (the centre itself, equal
      sequences, equal mapping positions).
    - `quality` (R,): what decides which copy is the best: the sum of the Phred values
      that are at least 15, over both mates.
    - `order` (R,): of equal qualities the smallest is the best.
    - `read_mask` (R,): False where there is no read.

    Families are found on the host and outside any gradient.
    """

    family: Int32[HostArray, " reads"]
    similarity: Float[HostArray, " reads"]
    certain: Bool[HostArray, " reads"]
    quality: Float[HostArray, " reads"]
    order: Int32[HostArray, " reads"]
    read_mask: Bool[HostArray, " reads"]

    @staticmethod
    def from_groups(
        family: Any, quality: Any, *, order: Any = None, similarity: Any = None
    ) -> "DuplicateFamilies":
        """Families from any group numbers (R,) and qualities (R,).

        `order` defaults to the order of the rows. Without `similarity`, being in a
        group is certain; with it, similarity 1 is.
        """
        family, quality = np.asarray(family), np.asarray(quality)
        _, number = np.unique(family, return_inverse=True)
        count = len(family)
        if similarity is None:
            similarity = np.ones(count)
        similarity = np.asarray(similarity, np.float32)
        order = np.arange(count) if order is None else np.asarray(order)
        return DuplicateFamilies(
            number.reshape(-1).astype(np.int32),
            similarity,
            similarity >= 1,
            quality.astype(np.float32),
            order.astype(np.int32),
            np.ones(count, bool),
        )

    def padded(self, size: int) -> "DuplicateFamilies":
        """The same block with rows that hold no read, up to `size` rows."""
        more = size - len(self.family)
        fill = lambda x: np.concatenate([np.asarray(x), np.zeros(more, x.dtype)])
        return DuplicateFamilies(
            fill(self.family),
            fill(self.similarity),
            fill(self.certain),
            fill(self.quality),
            fill(self.order),
            fill(self.read_mask),
        )
