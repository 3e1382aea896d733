"""Records and reference blocks of successive windows, written in order."""

import dataclasses

import numpy as np

from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io.gvcf import record_spans
from diffbio_eqx.io.vcf_writer import VcfWriter
from diffbio_eqx.jobs.call_summary import CallSummary
from diffbio_eqx.jobs.reference_calls import window_blocks

MARGIN = 256  # a record may start this far before the window that found it


@dataclasses.dataclass(frozen=True)
class DenseCalls:
    """Every position of `[start, end)`: what a gVCF says of the reference.

    `reference` (n,), `log_likelihoods` (n, 10), `depth` (n,), `wanted` (n,) bool.
    """

    start: int
    reference: np.ndarray
    log_likelihoods: np.ndarray
    depth: np.ndarray
    wanted: np.ndarray

    @property
    def end(self) -> int:
        return self.start + len(self.reference)

    def part(self, low: int, high: int) -> "DenseCalls":
        """The positions of `[low, high)`."""
        cut = slice(low - self.start, high - self.start)
        fields = (self.reference, self.log_likelihoods, self.depth, self.wanted)
        return DenseCalls(low, *(x[cut] for x in fields))

    def joined(self, later: "DenseCalls") -> "DenseCalls":
        """These positions and the ones right after them."""
        join = lambda name: np.concatenate([getattr(self, name), getattr(later, name)])
        names = ("reference", "log_likelihoods", "depth", "wanted")
        return DenseCalls(self.start, *map(join, names))


class CallOutput:
    """Puts the calls of successive windows into one sorted stream.

    Records are held back until no later window can come before them; for a gVCF the
    positions around them are held back too, and `log_prior` (4, 10) is needed. `close`
    writes what is left.
    """

    def __init__(
        self,
        writer: VcfWriter,
        summary: CallSummary,
        *,
        log_prior: np.ndarray | None,
        ploidy: int,
    ):
        self._writer, self._summary = writer, summary
        self._log_prior, self._ploidy = log_prior, ploidy
        self._contig: str | None = None
        self._records: list[VariantRecord] = []
        self._dense: DenseCalls | None = None
        self._spans = np.zeros((0, 2), np.int64)

    def add(
        self,
        contig: str,
        end: int,
        records: list[VariantRecord],
        dense: DenseCalls | None = None,
    ) -> None:
        """The calls of the next window, which ends at `end`."""
        if contig != self._contig:
            self.close()
            self._contig = contig
        merged = self._records + records
        self._records = sorted(merged, key=lambda r: (r.position, r.ref, r.alts))
        if dense is not None:
            self._dense = dense if self._dense is None else self._dense.joined(dense)
        self._write(end - MARGIN)

    def close(self) -> None:
        """Write what was held back."""
        self._write(np.iinfo(np.int64).max)
        self._dense, self._spans = None, np.zeros((0, 2), np.int64)

    def _write(self, frontier: int) -> None:
        ready = [r for r in self._records if r.position < frontier]
        self._records = self._records[len(ready) :]
        for record in ready:
            self._summary.add(record)
        if self._dense is None:
            for record in ready:
                self._writer.write(record)
            return
        low = self._dense.start
        high = min(max(frontier, low), self._dense.end)
        self._spans = np.concatenate([self._spans, record_spans(ready)])
        part = self._dense.part(low, high)
        blocks = window_blocks(
            low,
            part.reference,
            part.log_likelihoods,
            self._log_prior,
            part.depth,
            part.wanted,
            self._spans,
            ploidy=self._ploidy,
        )
        self._writer.write_window(self._contig, ready, blocks)
        self._dense = self._dense.part(high, self._dense.end)
        self._spans = self._spans[self._spans[:, 1] > high]
