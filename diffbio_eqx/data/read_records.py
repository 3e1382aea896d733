"""Alignments of one contig as flat arrays: what a file holds, nothing worked out."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

from diffbio_eqx.data.cigar import rows_from_alignments
from diffbio_eqx.data.mates import merge_mates
from diffbio_eqx.data.read_rows import ReadRows

_PER_READ = (
    "start", "end", "mapping_quality", "reverse", "name", "mergeable", "first_keeps",
    "op_count", "query_begin", "query_length",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ReadRecords:
    """Kept reads of one contig in order of position (NumPy, not a pytree).

    `start`, `end` 0-based half-open on the reference; `name` a hash of the read name;
    `mergeable` whether the mate may overlap; `first_keeps` which mate counts the
    overlap (`diffbio_eqx.data.mates`); `op_count`, `ops`, `op_lengths` the CIGARs;
    read `r` owns `[query_begin[r], query_begin[r] + query_length[r])` of the flat
    bases (codes 0-4) and Phred qualities, in which unused gaps are allowed.
    """

    start: Int64[np.ndarray, " reads"]
    end: Int64[np.ndarray, " reads"]
    mapping_quality: UInt8[np.ndarray, " reads"]
    reverse: Bool[np.ndarray, " reads"]
    name: UInt64[np.ndarray, " reads"]
    mergeable: Bool[np.ndarray, " reads"]
    first_keeps: Bool[np.ndarray, " reads"]
    op_count: Int64[np.ndarray, " reads"]
    query_begin: Int64[np.ndarray, " reads"]
    query_length: Int64[np.ndarray, " reads"]
    ops: UInt8[np.ndarray, " ops"]
    op_lengths: Int64[np.ndarray, " ops"]
    query_bases: UInt8[np.ndarray, " bases"]
    query_qualities: UInt8[np.ndarray, " bases"]

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    @functools.cache
    def empty(cls) -> "ReadRecords":
        """No reads."""
        kinds = {
            "mapping_quality": np.uint8, "ops": np.uint8, "query_bases": np.uint8,
            "query_qualities": np.uint8, "reverse": bool, "mergeable": bool,
            "first_keeps": bool, "name": np.uint64,
        }  # fmt: skip
        fields = [field.name for field in dataclasses.fields(cls)]
        return cls(**{f: np.zeros(0, kinds.get(f, np.int64)) for f in fields})

    @classmethod
    def concatenate(cls, parts: list["ReadRecords"]) -> "ReadRecords":
        """Parts in order of position, as one."""
        if not parts:
            return cls.empty()
        if len(parts) == 1:
            return parts[0]
        fields = {}
        for field in dataclasses.fields(cls):
            arrays = [getattr(part, field.name) for part in parts]
            if field.name == "query_begin":
                size = np.cumsum([0] + [len(part.query_bases) for part in parts[:-1]])
                arrays = [a + at for a, at in zip(arrays, size, strict=True)]
            fields[field.name] = np.concatenate(arrays)
        return cls(**fields)

    def slice(self, low: int, high: int) -> "ReadRecords":
        """Reads `low` to `high` without copying: views of the same arrays."""
        low, high = max(low, 0), min(high, len(self))
        if low >= high:
            return ReadRecords.empty()
        if (low, high) == (0, len(self)):
            return self
        fields = {name: getattr(self, name)[low:high] for name in _PER_READ}
        op_end = np.cumsum(self.op_count)
        of_ops = slice(int(op_end[low] - self.op_count[low]), int(op_end[high - 1]))
        first = int(self.query_begin[low])
        last = int(self.query_begin[high - 1] + self.query_length[high - 1])
        fields["query_begin"] = fields["query_begin"] - first
        return ReadRecords(
            **fields,
            ops=self.ops[of_ops],
            op_lengths=self.op_lengths[of_ops],
            query_bases=self.query_bases[first:last],
            query_qualities=self.query_qualities[first:last],
        )

    def take(self, keep: Bool[np.ndarray, " reads"]) -> "ReadRecords":
        """The reads where `keep`; bases of the others stay behind as gaps."""
        if keep.all():
            return self
        fields = {name: getattr(self, name)[keep] for name in _PER_READ}
        op_kept = np.repeat(keep, self.op_count)
        return ReadRecords(
            **fields,
            ops=self.ops[op_kept],
            op_lengths=self.op_lengths[op_kept],
            query_bases=self.query_bases,
            query_qualities=self.query_qualities,
        )

    def rows(self, *, merge: bool = True, row_limit: int | None = None) -> ReadRows:
        """Reference-coordinate rows; overlapping mates merged where `merge`."""
        if not len(self):
            return _no_rows()
        rows, row_read = rows_from_alignments(
            start=self.start,
            op_count=self.op_count,
            ops=self.ops,
            op_lengths=self.op_lengths,
            query_begin=self.query_begin,
            query_length=self.query_length,
            query_bases=self.query_bases,
            query_qualities=self.query_qualities,
            mapping_quality=self.mapping_quality,
            reverse=self.reverse,
            row_limit=row_limit,
        )
        if not merge:
            return rows
        return merge_mates(rows, row_read, self.name, self.mergeable, self.first_keeps)


@functools.cache
def _no_rows():
    """Rows of no reads: made once, most windows of a sparse genome are empty."""
    none = ReadRecords.empty()
    rows, _ = rows_from_alignments(
        start=none.start,
        op_count=none.op_count,
        ops=none.ops,
        op_lengths=none.op_lengths,
        query_begin=none.query_begin,
        query_length=none.query_length,
        query_bases=none.query_bases,
        query_qualities=none.query_qualities,
    )
    return rows
