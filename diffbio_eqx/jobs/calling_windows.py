"""A genome as a stream of samples of one shape."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from diffbio_eqx.data.aligned_reads import AlignedReads, SampleSizes
from diffbio_eqx.data.candidate_reads import candidate_reads
from diffbio_eqx.data.candidate_sites import SiteRule
from diffbio_eqx.data.read_rows import ReadRows
from diffbio_eqx.data.sample_building import pad_sample, reads_from_rows
from diffbio_eqx.io.fasta import Fasta
from diffbio_eqx.jobs.calling_capacities import Capacities

HALO = 256
_LOCUS_MARGIN = (168, 48)  # a substitution inside may lie near an indel this far out
_SMALLEST = 2000  # windows are not split below this many bases
_FIRST = 3  # windows with reads that set the capacities
_MOST_WAITING = 64  # windows that are held back for it


@dataclasses.dataclass(frozen=True)
class WindowSample:
    """A padded sample; candidate sites lie in `[start, end)`.

    Window position 0 is at `origin`; all three are coordinates of `contig`. Some indel
    loci lie outside, for the substitutions near them; they belong to the next window
    or the one before (`owned`).
    """

    contig: str
    start: int
    end: int
    origin: int
    sample: AlignedReads

    @property
    def owned(self) -> np.ndarray:
        """(C,) which indel loci lie in `[start, end)`."""
        first = self.sample.loci.allele_position[:, 0] + self.origin
        mask = np.asarray(self.sample.loci.mask)
        return mask & (first >= self.start) & (first < self.end)

    @property
    def has_candidates(self) -> bool:
        """Whether there is anything to be called."""
        return bool(self.sample.sites.mask.any() or self.sample.loci.mask.any())

    def padded(self, capacities: SampleSizes) -> "WindowSample":
        """The same with its sample grown to `capacities`."""
        return dataclasses.replace(self, sample=pad_sample(self.sample, capacities))


def window_sample(
    fasta: Fasta,
    length: int,
    contig: str,
    start: int,
    end: int,
    rows: ReadRows,
    site_rule: SiteRule = SiteRule(),
) -> WindowSample:
    """The sample of `[start, end)`, of exact size but for a reference of `length`.

    Its reference begins `HALO` bases before `start`, and is N beyond the contig.
    """
    near = (rows.end > start - HALO) & (rows.start < end + HALO)
    if not near.all():
        rows = rows.take(near)
    origin = start - HALO
    codes = np.full(length, 4, np.uint8)
    low, high = max(origin, 0), min(origin + length, fasta.lengths[contig])
    if high > low:
        codes[low - origin : high - origin] = fasta.codes(contig, low, high)
    sample = reads_from_rows(
        rows,
        codes,
        origin=origin,
        start=start,
        end=end,
        locus_margin=_LOCUS_MARGIN,
        site_rule=site_rule,
    )
    return WindowSample(contig, start, end, origin, sample)


class SampleStream:
    """Makes samples of one shape from windows of rows, so that one compile serves all.

    Axes are padded to capacities that the first windows with reads set; a window that
    does not fit is split in two (`Capacities`), down to 2 kb.

    `window` is the length of the windows that will be given, in bases; the reference
    of a sample has that length and a halo of 256 bases on either side, N beyond the
    contig's ends. With `candidates_only` reads over no candidate are left out, which
    changes no genotype; a pileup needs them.
    """

    def __init__(
        self,
        fasta: Fasta,
        window: int,
        site_rule: SiteRule = SiteRule(),
        *,
        candidates_only: bool = False,
    ):
        self.fasta = fasta
        self.length = window + 2 * HALO
        self.site_rule = site_rule
        self.candidates_only = candidates_only
        self.capacities = Capacities()

    @property
    def shapes(self) -> int:
        """How many shapes there were, so how often the program was compiled."""
        return self.capacities.shapes

    def samples(
        self, windows: Iterable[tuple[str, int, int, ReadRows]]
    ) -> Iterator[WindowSample]:
        """The samples of windows `(contig, start, end, rows)`, in order."""
        waiting, with_reads = [], 0
        for window in windows:
            waiting.append((self._exact(*window), window[3]))
            if self.capacities.sizes is None:
                with_reads += len(window[3]) > 0
                if with_reads < _FIRST and len(waiting) < _MOST_WAITING:
                    continue
            yield from self._flushed(waiting)
            waiting = []
        yield from self._flushed(waiting)

    def _flushed(self, waiting) -> Iterator[WindowSample]:
        if waiting and self.capacities.sizes is None:
            self.capacities.begin([SampleSizes.of(x.sample) for x, _ in waiting])
        for exact, rows in waiting:
            yield from self._fitted(exact, rows)

    def _fitted(self, exact: WindowSample, rows: ReadRows) -> Iterator[WindowSample]:
        start, end = exact.start, exact.end
        sizes = SampleSizes.of(exact.sample)
        if self.capacities.admit(sizes, divisible=end - start > _SMALLEST):
            yield exact.padded(self.capacities.sizes)
            return
        middle = (start + end) // 2
        for part in ((start, middle), (middle, end)):
            yield from self._fitted(self._exact(exact.contig, *part, rows), rows)

    def _exact(self, contig, start, end, rows) -> WindowSample:
        exact = window_sample(
            self.fasta, self.length, contig, start, end, rows, self.site_rule
        )
        if not self.candidates_only:
            return exact
        return dataclasses.replace(exact, sample=candidate_reads(exact.sample))
