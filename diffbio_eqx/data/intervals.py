"""Sets of half-open intervals on one contig: sorted, disjoint, in two arrays."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, Integer


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Intervals `[start, end)` in order, none empty, none touching the next.

    Make it with `Intervals.of`, which sorts and merges; NumPy, not a pytree.
    """

    start: Int64[np.ndarray, " intervals"]
    end: Int64[np.ndarray, " intervals"]

    @classmethod
    def of(
        cls,
        start: Integer[np.ndarray, " any"] | Sequence[int],
        end: Integer[np.ndarray, " any"] | Sequence[int],
    ) -> "Intervals":
        """Sorted and merged; empty intervals are left out.

        Raises `ValueError` where an end is before its start.
        """
        start, end = np.asarray(start, np.int64), np.asarray(end, np.int64)
        if (end < start).any():
            first = int(np.argmax(end < start))
            raise ValueError(
                "an interval must end at or after its start, got "
                f"[{start[first]}, {end[first]}) at entry {first}."
            )
        full = end > start
        order = np.argsort(start[full], kind="stable")
        start, end = start[full][order], end[full][order]
        if not len(start):
            return cls(start, end)
        reach = np.maximum.accumulate(end)
        opens = np.ones(len(start), bool)
        opens[1:] = start[1:] > reach[:-1]
        head = np.flatnonzero(opens)
        return cls(start[head], reach[np.append(head[1:], len(start)) - 1])

    def __len__(self) -> int:
        return len(self.start)

    @property
    def size(self) -> int:
        """Bases covered."""
        return int((self.end - self.start).sum())

    def contains(
        self, positions: Integer[np.ndarray, " positions"]
    ) -> Bool[np.ndarray, " positions"]:
        """Whether each position lies in an interval."""
        positions = np.asarray(positions)
        before = np.searchsorted(self.start, positions, side="right") - 1
        inside = before >= 0
        inside[inside] = positions[inside] < self.end[before[inside]]
        return inside

    def contains_ranges(
        self, start: Integer[np.ndarray, " ranges"], end: Integer[np.ndarray, " ranges"]
    ) -> Bool[np.ndarray, " ranges"]:
        """Whether each range `[start, end)` lies wholly in one interval."""
        start, end = np.asarray(start), np.asarray(end)
        before = np.searchsorted(self.start, start, side="right") - 1
        inside = before >= 0
        inside[inside] = end[inside] <= self.end[before[inside]]
        return inside

    def overlaps(
        self, start: Integer[np.ndarray, " ranges"], end: Integer[np.ndarray, " ranges"]
    ) -> Bool[np.ndarray, " ranges"]:
        """Whether each range `[start, end)` shares a base with an interval."""
        start, end = np.asarray(start), np.asarray(end)
        after = np.searchsorted(self.end, start, side="right")
        meets = (after < len(self)) & (end > start)
        meets[meets] = self.start[after[meets]] < end[meets]
        return meets

    def clipped(self, start: int, end: int) -> "Intervals":
        """The parts inside `[start, end)`."""
        low, high = np.clip(self.start, start, end), np.clip(self.end, start, end)
        full = high > low
        return dataclasses.replace(self, start=low[full], end=high[full])

    def intersect(self, other: "Intervals") -> "Intervals":
        """The bases in both."""
        # An intersection begins where one set begins inside (or with) the other.
        low = np.union1d(
            self.start[other.contains(self.start)],
            other.start[self.contains(other.start)],
        ).astype(np.int64)
        ends = [
            each.end[np.searchsorted(each.start, low, side="right") - 1]
            for each in (self, other)
        ]
        return Intervals(low, np.minimum(*ends))
