"""Between reference positions and bases of reads, through insertions and deletions."""

import numpy as np

from diffbio_eqx.data.read_rows import ReadRows


class QueryMap:
    """Maps of all rows at once (host, NumPy).

    `left_clip`, `right_clip` (R,): bases of each row's read before its first and after
    its last aligned base.
    """

    def __init__(self, rows: ReadRows):
        # An event at or before the first column shifts nothing inside of the row.
        inner = rows.event_position > rows.start[rows.event_row]
        row, position = rows.event_row[inner], rows.event_position[inner]
        self._rows = rows
        self._length = rows.event_length[inner]
        self._query = rows.event_query[inner]
        self._low = int(min(rows.start.min(), position.min(initial=rows.start[0])))
        self._stride = int(max(rows.end.max(), position.max(initial=0))) - self._low + 2
        self._key = row * self._stride + position - self._low
        self._sum = np.concatenate([[0], np.cumsum(self._length)])
        self._first = np.searchsorted(row, np.arange(len(rows)))
        self._count = np.searchsorted(row, np.arange(len(rows)), "right") - self._first
        self._order = np.argsort(self._query, kind="stable")
        self._sorted_query = self._query[self._order]
        self.left_clip = rows.query_first - rows.query_begin
        every = np.arange(len(rows))
        aligned_end, _ = self.query_at(every, rows.end)
        self.right_clip = np.maximum(rows.query_end - aligned_end, 0)

    def query_at(
        self, row: np.ndarray, position: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flat query index of the base at `position` of `row`, and its true position.

        Of a deleted position, the first base after the deletion.
        """
        rows = self._rows
        key = row * self._stride + position - self._low
        index = np.searchsorted(self._key, key, "right")
        first = self._first[row]
        plain = rows.query_first[row] + position - rows.start[row]
        plain = plain + self._sum[index] - self._sum[first]
        before = np.maximum(index - 1, 0)
        if not len(self._query):
            return plain, position
        query = np.where(index > first, np.maximum(plain, self._query[before]), plain)
        return query, position + query - plain

    def column_of(self, row: np.ndarray, query: np.ndarray) -> np.ndarray:
        """Column of each base `query` (P, Q) of the rows `row` (P,); -1 if inserted."""
        rows = self._rows
        column = query - rows.query_first[row, None]
        bent = np.flatnonzero(self._count[row] > 0)
        if not len(bent):
            return column
        owner, bases = row[bent], query[bent]
        index = np.searchsorted(self._sorted_query, bases, "right")
        first = np.searchsorted(self._sorted_query, rows.query_begin[owner])[:, None]
        length = self._length[self._order]
        total = np.concatenate([[0], np.cumsum(length)])
        last = np.maximum(index - 1, 0)
        within = bases - self._sorted_query[last]
        inserted = (index > first) & (within < length[last])
        shifted = column[bent] - np.where(index > first, total[index] - total[first], 0)
        column[bent] = np.where(inserted, -1, shifted)
        return column
