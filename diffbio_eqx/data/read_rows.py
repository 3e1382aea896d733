"""Aligned reads on the host: the form between a file and the device."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class ReadRows:
    """Reads of one contig as rows in reference columns (NumPy, not a pytree).

    One row is the aligned part of one read, or one piece of it where a read is cut
    (reference skips, reads longer than a row). Column `j` of row `r` lies over
    reference position `start[r] + j`; insertions and deletions are also listed as flat
    events. Coordinates are 0-based on the contig. Base codes: 0-3 = A C G T, 4 = N,
    5 = deletion, 6 = reference skip, 7 = padding.

    - `start` (R,), `end` (R,): first and one past the last reference position; rows
      are sorted by `start`.
    - `bases`, `qualities` (R, W) uint8: codes and Phred qualities after overlapping
      mates were merged; quality 0 is not counted.
    - `mapping_quality` (R,) uint8, `reverse` (R,) bool.
    - `query_bases`, `query_qualities` (B,) uint8: the reads as sequenced (soft clips
      included), flat, before mates were merged; row `r` owns
      `[query_begin[r], query_end[r])` and its first aligned base is `query_first[r]`.
    - `mate` (R,): row of the overlapping mate, or -1.
    - `event_row`, `event_position`, `event_length`, `event_query` (E,): insertions
      (length > 0) and deletions (< 0). The position is the reference base right after
      an insertion, or the first deleted base; the query index is flat and points to
      the first inserted base, or to the first base after a deletion.
    """

    start: np.ndarray
    end: np.ndarray
    bases: np.ndarray
    qualities: np.ndarray
    mapping_quality: np.ndarray
    reverse: np.ndarray
    query_bases: np.ndarray
    query_qualities: np.ndarray
    query_begin: np.ndarray
    query_end: np.ndarray
    query_first: np.ndarray
    mate: np.ndarray
    event_row: np.ndarray
    event_position: np.ndarray
    event_length: np.ndarray
    event_query: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def width(self) -> int:
        """Columns of a row."""
        return self.bases.shape[1]

    def take(self, keep: np.ndarray) -> "ReadRows":
        """The rows where `keep` (R,) bool holds, with their events and mates."""
        index = np.cumsum(keep) - 1
        event = keep[self.event_row]
        mate = np.where(self.mate >= 0, self.mate, 0)
        paired = (self.mate >= 0) & (keep[mate] if len(keep) else False)
        new_mate = np.where(paired, index[mate] if len(keep) else -1, -1)
        by_row = {
            name: getattr(self, name)[keep]
            for name in (
                "start end bases qualities mapping_quality reverse "
                "query_begin query_end query_first"
            ).split()
        }
        by_event = {
            name: getattr(self, name)[event]
            for name in ("event_position", "event_length", "event_query")
        }
        return dataclasses.replace(
            self,
            **by_row,
            **by_event,
            mate=new_mate[keep],
            event_row=index[self.event_row[event]],
        )
