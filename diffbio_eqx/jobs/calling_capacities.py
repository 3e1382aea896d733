"""How far the axes of samples are padded, so that few programs are compiled."""

import dataclasses
from collections.abc import Sequence

from diffbio_eqx.data.aligned_reads import SampleSizes

# Capacity of an axis: so many times the size seen, and so many more. Reads are even
# along a genome, candidates are not; padded pairs and loci cost next to nothing.
_ROOM = {
    "reads": (1.25, 256),
    "width": (1.0, 32),
    "extra": (3.0, 512),
    "events": (2.0, 128),
    "sites": (1.75, 128),
    "entries": (1.75, 2048),
    "loci": (2.0, 32),
    "segments": (2.0, 512),
    "pairs": (2.0, 1024),
    "near": (3.0, 64),
    "near_pairs": (3.0, 1024),
}
_STEP = {"width": 32}
_FIRST_PATIENCE = 32


class Capacities:
    """The common size of all samples of a run, set by its first windows.

    A window that does not fit is better split than compiled for: a part costs a run of
    the program, a new shape as much as some hundred of them. So capacities grow only
    after 32 windows were split, then after 64 more, and so on: the number of shapes
    grows with the logarithm of the genome's length, and only where it is needed. The
    width of rows cannot be helped by a split and grows at once.
    """

    def __init__(self):
        self.sizes: SampleSizes | None = None
        self.shapes = 0
        self._patience = _FIRST_PATIENCE
        self._splits = 0

    def begin(self, seen: Sequence[SampleSizes]) -> None:
        """Set the capacities from the sizes of the first windows."""
        largest = seen[0]
        for sizes in seen[1:]:
            largest = largest.union(sizes)
        self.sizes = _with_room(largest)
        self.shapes = 1

    def admit(self, sizes: SampleSizes, *, divisible: bool) -> bool:
        """Whether a sample of these sizes can be padded; if not, split its window."""
        if sizes.fit_in(self.sizes):
            return True
        narrow = sizes.width <= self.sizes.width
        if divisible and narrow and self._splits < self._patience:
            self._splits += 1
            return False
        roomy = dataclasses.asdict(_with_room(sizes))
        mine = dataclasses.asdict(self.sizes)
        asked = dataclasses.asdict(sizes)
        grown = {k: mine[k] if asked[k] <= mine[k] else roomy[k] for k in mine}
        self.sizes = SampleSizes(**grown)
        self.shapes += 1
        if self._splits >= self._patience:
            self._splits, self._patience = 0, 2 * self._patience
        return True


def _with_room(sizes: SampleSizes) -> SampleSizes:
    values = dataclasses.asdict(sizes)
    return SampleSizes(
        **{
            name: _rounded(factor * values[name] + more, _STEP.get(name, 64))
            for name, (factor, more) in _ROOM.items()
        }
    )


def _rounded(size: float, step: int) -> int:
    """The multiple of `step` that holds `size`."""
    return -(-int(size) // step) * step
