"""A genome as a stream of samples of one shape."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from diffbio_eqx.data.aligned_reads import AlignedReads, SampleSizes
from diffbio_eqx.data.candidate_sites import SiteRule
from diffbio_eqx.data.read_rows import ReadRows
from diffbio_eqx.data.sample_building import pad_sample, reads_from_rows
from diffbio_eqx.io.fasta import Fasta

HALO = 256
_LOCUS_MARGIN = (168, 48)  # a substitution inside may lie near an indel this far out
_SMALLEST = 2000  # windows are not split below this many bases
_GROWTHS = 3  # capacities grow this often before windows are split instead
_ROOM = 1.5  # capacity over the size that asked for it


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

    Axes are padded to capacities, half as large again as the first window needs. A
    window that does not fit makes them grow, at most three times; after that it is
    split in two, down to 2 kb, below which they grow once more.

    `window` is the length of the windows that will be given, in bases; the reference
    of a sample has that length and a halo of 256 bases on either side, N beyond the
    contig's ends.
    """

    def __init__(self, fasta: Fasta, window: int, site_rule: SiteRule = SiteRule()):
        self.fasta = fasta
        self.length = window + 2 * HALO
        self.site_rule = site_rule
        self.capacities: SampleSizes | None = None
        self.shapes = 0

    def samples(
        self, contig: str, start: int, end: int, rows: ReadRows
    ) -> Iterator[WindowSample]:
        """The samples of one window: one, or several if it had to be split."""
        exact = window_sample(
            self.fasta, self.length, contig, start, end, rows, self.site_rule
        )
        sizes = SampleSizes.of(exact.sample)
        if self.capacities is None or not sizes.fit_in(self.capacities):
            if end - start > _SMALLEST and self.shapes > _GROWTHS:
                middle = (start + end) // 2
                yield from self.samples(contig, start, middle, rows)
                yield from self.samples(contig, middle, end, rows)
                return
            self._grow(sizes)
        yield exact.padded(self.capacities)

    def _grow(self, sizes: SampleSizes) -> None:
        if self.capacities is not None:
            sizes = sizes.union(self.capacities)
        values = dataclasses.asdict(sizes)
        roomy = {
            name: _bucket(value * _ROOM) if name != "width" else value
            for name, value in values.items()
        }
        self.capacities = SampleSizes(**roomy)
        self.shapes += 1


def _bucket(size: float) -> int:
    """A multiple of 64 that holds `size`."""
    return max(64, -(-int(np.ceil(size)) // 64) * 64)
