"""Aligned reads from BAM, CRAM or SAM files as reference-coordinate rows."""

import dataclasses
import itertools
import os
import warnings
from collections.abc import Iterator

import numpy as np

from diffbio_eqx.data.read_records import ReadRecords
from diffbio_eqx.data.read_rows import ReadRows
from diffbio_eqx.io import _bam_records
from diffbio_eqx.io._alignment_header import group_arguments, read_header
from diffbio_eqx.io._bam_index import index_path, region_offset
from diffbio_eqx.io._bam_stream import bam_chunks, converted_chunks, truncated
from diffbio_eqx.io._errors import unknown_contig
from diffbio_eqx.io.read_filters import ReadCounts, ReadFilters, cap_depth

_INDEX = {"BAM": (".bai", ".csi"), "CRAM": (".crai",), "SAM": ()}
_PIECE = 2_000_000  # reference bases of a file that are converted at a time


@dataclasses.dataclass(frozen=True)
class ReadWindow:
    """One window `[start, end)` of a contig and the rows over it and its halo."""

    contig: str
    start: int
    end: int
    rows: ReadRows


class AlignmentFile:
    """A BAM, CRAM or SAM file of one sample, sorted by coordinate.

    Every read is decoded from the raw BAM bytes by NumPy: no loop over reads. CRAM,
    SAM and a choice among several samples first pass through `samtools view` (inside
    pysam) into a scratch file, piece by piece where there is an index.

    **Arguments:** `path`; `reference`, the path of the FASTA (CRAM needs it);
    `sample`, its name in the read groups, needed only where the file holds several;
    `filters`, which reads are left out.

    **Attributes:** `path`, `kind` ("BAM", "CRAM", "SAM"), `sample`, `samples`,
    `read_groups` (id to sample), `lengths` (contig to length, in file order), `index`
    (its path or None), `filters`, and `counts`: a `ReadCounts` of all reads met so far
    on contigs, so nothing is left out in silence.

    **Raises** `ValueError`, one line, where the file is missing, no alignment file,
    cut short, not sorted, without contigs, or `sample` is not in it. **Warns** where
    no sample is named in the file, or a region is wanted of a file without an index.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        reference: str | os.PathLike | None = None,
        sample: str | None = None,
        filters: ReadFilters | None = None,
    ):
        header = read_header(path, reference)
        self.path, self.kind = header.path, header.kind
        self.lengths, self.read_groups = header.lengths, header.read_groups
        self.samples = tuple(dict.fromkeys(header.read_groups.values()))
        self.sample = header.choose_sample(sample)
        self.filters = ReadFilters() if filters is None else filters
        self.index = index_path(self.path, kinds=_INDEX[self.kind])
        self.counts = ReadCounts()
        self._reference = None if reference is None else os.fspath(reference)
        self._contigs = list(self.lengths)
        self._groups = None
        if len(self.samples) > 1:
            named = self.read_groups.items()
            self._groups = [group for group, who in named if who == self.sample]
        self._warned = False

    def __enter__(self) -> "AlignmentFile":
        return self

    def __exit__(self, *_) -> None:
        """Files are open only while they are read: there is nothing to close."""

    def read_rows(
        self,
        contig: str,
        start: int = 0,
        end: int | None = None,
        *,
        row_limit: int | None = None,
    ) -> ReadRows:
        """Rows of the reads that overlap `[start, end)`, 0-based; to the end if None.

        Reads keep the parts outside of it. Warns if no read is left. `row_limit`: see
        `rows_from_alignments`.
        """
        end = self._checked_range(contig, start, end)
        before = self.counts
        found = ReadRecords.concatenate(list(self._batches(contig, start, end)))
        if not len(found):
            self._warn_empty(f"{contig}:{start + 1}-{end}", before)
        return found.rows(merge=self.filters.merge_mates, row_limit=row_limit)

    def windows(
        self,
        contig: str | None = None,
        start: int = 0,
        end: int | None = None,
        *,
        size: int = 100_000,
        halo: int = 1000,
        row_limit: int | None = None,
    ) -> Iterator[ReadWindow]:
        """Windows of `size` bases in order, each with the rows over it and its halo.

        All contigs in file order, or one, or a part of one. The file is read once;
        reads over a border are carried on, and memory depends on the size of a window
        and the depth alone. Rows over `[start - halo, end + halo)` are there; within
        that range they are those of one whole read of the contig. Windows without
        reads come too, with no rows. Warns at the end if no read was met at all.
        """
        if size < 1 or halo < 0:
            raise ValueError(
                f"windows need size >= 1 and halo >= 0, got {size} and {halo}. "
                "100,000 and 1,000 are good for most."
            )
        before = self.counts
        for name, low, high, batches in self._ranges(contig, start, end, halo):
            for at, stop, records in _cut(batches, low, high, size, halo):
                rows = records.rows(merge=self.filters.merge_mates, row_limit=row_limit)
                yield ReadWindow(name, at, stop, rows)
        if self.counts.kept == before.kept:
            where = "the file" if contig is None else f"{contig}:{low + 1}-{high}"
            self._warn_empty(where, before)

    def _checked_range(self, contig, start, end):
        if contig not in self.lengths:
            raise unknown_contig(contig, self.lengths, f"the reads {self.path!r}")
        length = self.lengths[contig]
        end = length if end is None else end
        if not 0 <= start < end <= length:
            raise ValueError(
                f"a region of {contig} must satisfy 0 <= start < end <= {length}, got "
                f"{start} and {end}."
            )
        return end

    def _warn_empty(self, where, before):
        met = self.counts.seen - before.seen
        why = f"none of {met} reads passes the filters" if met else "it has none"
        warnings.warn(
            f"no reads in {where} of {self.path!r}: {why}. Check the region and the "
            "filters.",
            stacklevel=3,
        )

    def _ranges(self, contig, start, end, halo):
        """`(contig, start, end, batches of records)` of each contig to be read."""
        if contig is not None:
            end = self._checked_range(contig, start, end)
            high = min(self.lengths[contig], end + halo)
            yield contig, start, end, self._batches(contig, max(0, start - halo), high)
        elif self.index is not None:
            for name, length in self.lengths.items():
                yield name, 0, length, self._batches(name, 0, length)
        else:
            yield from self._one_pass()

    def _one_pass(self):
        """All contigs of a file without index, by reading it once."""
        chunks = self._chunks(None, 0, 0)
        pieces = self._by_contig(chunks)
        groups = itertools.groupby(pieces, key=lambda piece: piece[2]["contig"][0])
        upcoming = next(groups, None)
        for number, (name, length) in enumerate(self.lengths.items()):
            if upcoming is not None and upcoming[0] == number:
                yield name, 0, length, self._parsed(upcoming[1], 0)
                upcoming = next(groups, None)
            else:
                yield name, 0, length, iter(())

    def _batches(self, contig, start, end):
        """Records that overlap a range, in order, filtered and counted."""
        number = self._contigs.index(contig)

        def inside():
            for piece in self._by_contig(self._chunks(contig, start, end)):
                buffer, offsets, fixed = piece
                if fixed["contig"][0] < number:
                    continue
                if fixed["contig"][0] > number:
                    return
                cut = int(np.searchsorted(fixed["start"], end))
                if cut:
                    yield buffer, offsets[:cut], fixed[:cut]
                if cut < len(offsets):
                    return

        return self._parsed(inside(), start)

    def _chunks(self, contig, start, end):
        """Buffers of raw records that hold a range (or, without contig, all)."""
        if contig is not None and self.index is None:
            self._warn_index(contig, start, end)
        if self.kind == "BAM" and self._groups is None:
            if contig is None or self.index is None:
                yield from bam_chunks(self.path, None)
                return
            offset = region_offset(self.index, self._contigs.index(contig), start)
            if offset is not None:
                yield from bam_chunks(self.path, offset)
            return
        with group_arguments(self._groups) as arguments:
            if self._reference is not None:
                arguments += ["-T", self._reference]
            if contig is None or self.index is None:
                yield from converted_chunks(
                    self.path, [*arguments, self.path], self.kind
                )
                return
            for low in range(start, end, _PIECE):
                high = min(low + _PIECE, end)
                region = f"{{{contig}}}:{low + 1}-{high}"
                call = [*arguments, self.path, region]
                for buffer, offsets in converted_chunks(self.path, call, self.kind):
                    if low > start:  # reads that reach in came with the piece before
                        begins = _bam_records.fixed_fields(buffer, offsets)["start"]
                        offsets = offsets[begins >= low]
                    if len(offsets):
                        yield buffer, offsets

    def _warn_index(self, contig, start, end):
        whole = len(self.lengths) == 1 and end - start == self.lengths[contig]
        if whole or self._warned:
            return
        self._warned = True
        warnings.warn(
            f"{self.path!r} has no index, so it is read through from its start. "
            "'samtools index' on it makes regions quick.",
            stacklevel=4,
        )

    def _by_contig(self, chunks):
        """Chunks cut where the contig changes; the order of the file is checked."""
        last = (-1, -1)
        for buffer, offsets in chunks:
            fixed = _bam_records.fixed_fields(buffer, offsets)
            placed = fixed["contig"] >= 0
            if not placed.all():  # reads without a place come last and are not met
                offsets, fixed = offsets[placed], fixed[placed]
                if not len(offsets):
                    continue
            contig, start = fixed["contig"].astype(np.int64), fixed["start"]
            turns = np.flatnonzero(np.diff(contig)) + 1
            within = np.diff(start.astype(np.int64)) < 0
            within[turns - 1] = False
            first = (int(contig[0]), int(start[0]))
            if within.any() or (np.diff(contig) < 0).any() or first < last:
                raise ValueError(
                    f"{self.path!r} is not sorted by coordinate. Sort it first: "
                    "samtools sort -o sorted.bam reads.bam"
                )
            last = (int(contig[-1]), int(start[-1]))
            edges = [0, *turns.tolist(), len(offsets)]
            for low, high in itertools.pairwise(edges):
                yield buffer, offsets[low:high], fixed[low:high]

    def _parsed(self, pieces, begin):
        """Raw pieces of one contig to records, with the cap on depth."""
        alive = np.zeros(0, np.int64)
        for buffer, offsets, fixed in pieces:
            try:
                records, counts = _bam_records.parse_records(
                    buffer, offsets, fixed, self.filters, begin
                )
            except (ValueError, IndexError) as error:
                raise truncated(self.path, self.kind) from error
            keep = cap_depth(records.start, records.end, alive, self.filters.max_depth)
            dropped = int(np.count_nonzero(~keep))
            counts = dataclasses.replace(
                counts, depth=dropped, kept=counts.kept - dropped
            )
            self.counts += counts
            records = records.take(keep)
            if len(records):
                ends = np.concatenate([alive, records.end])
                alive = ends[ends > records.start[-1]]
                yield records


def _cut(batches, low, high, size, halo):
    """Records of each window and its halo, from batches in order of position."""
    held, more = ReadRecords.empty(), True
    for at in range(low, high, size):
        stop = min(at + size, high)
        waiting = [held]
        reached = held.start[-1] if len(held) else -1
        while more and reached < stop + halo:
            batch = next(batches, None)
            more = batch is not None
            if more:
                waiting.append(batch)
                reached = batch.start[-1]
        held = ReadRecords.concatenate([part for part in waiting if len(part)])
        if not len(held):
            yield at, stop, held
            continue
        # Reads that end before the halo are over; the first other one opens the rest.
        beyond = held.end > at - halo
        first = int(np.argmax(beyond)) if beyond.any() else len(held)
        held = held.slice(first, len(held))
        upto = held.slice(0, int(np.searchsorted(held.start, stop + halo)))
        yield at, stop, upto.take(upto.end > at - halo)
