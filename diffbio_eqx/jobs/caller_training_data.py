"""Labelled windows for training a caller, split by region."""

import dataclasses
import functools
import os

import numpy as np

from diffbio_eqx.data.aligned_reads import SampleSizes
from diffbio_eqx.data.call_labels import CallLabels, LabelledReads
from diffbio_eqx.data.intervals import Intervals
from diffbio_eqx.data.padding import pad_axis
from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io.bam import AlignmentFile
from diffbio_eqx.io.bed import read_bed
from diffbio_eqx.io.fasta import Fasta
from diffbio_eqx.io.regions import parse_region
from diffbio_eqx.io.vcf_reader import check_reference_alleles, read_vcf
from diffbio_eqx.jobs.calling_windows import HALO, WindowSample, window_sample
from diffbio_eqx.jobs.label_audit import LabelAudit
from diffbio_eqx.jobs.labelling import label_window, truth_sets

_FEWEST = 10
_LARGEST, _SMALLEST = 100_000, 2_000
# of every five neighbouring windows three train, one validates, one is held back
_ROLES = ("train", "train", "validation", "train", "held back")


@dataclasses.dataclass(frozen=True)
class LabelledWindow:
    """One window, its labels, and what it is used for."""

    part: WindowSample
    labels: CallLabels
    role: str

    def padded(self, sizes: SampleSizes) -> "LabelledWindow":
        """The same grown to `sizes`."""
        grow = lambda x, size: pad_axis(x, size)
        labels = CallLabels(
            grow(self.labels.site_genotype, sizes.sites),
            grow(self.labels.site_mask, sizes.sites),
            grow(self.labels.locus_genotype, sizes.loci),
            grow(self.labels.locus_mask, sizes.loci),
            self.labels.genotype,
        )
        return dataclasses.replace(self, part=self.part.padded(sizes), labels=labels)

    @property
    def batch(self) -> LabelledReads:
        """What a loss takes."""
        return LabelledReads(self.part.sample, self.labels)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Labelled windows of one shape, the truth they come from, and its audit."""

    windows: list[LabelledWindow]
    audit: LabelAudit
    truth: list[VariantRecord]
    confident: dict[str, Intervals]
    fasta: Fasta
    sample: str

    def of(self, role: str) -> list[LabelledWindow]:
        """The windows of one role."""
        return [window for window in self.windows if window.role == role]

    def regions(self, role: str) -> dict[str, Intervals]:
        """Confident intervals inside the windows of one role."""
        found: dict[str, list[WindowSample]] = {}
        for window in self.of(role):
            found.setdefault(window.part.contig, []).append(window.part)
        return {
            contig: Intervals.of(
                np.array([p.start for p in parts]), np.array([p.end for p in parts])
            ).intersect(self.confident[contig])
            for contig, parts in found.items()
        }


def load_training_data(
    reads: str | os.PathLike,
    reference: str | os.PathLike,
    truth: str | os.PathLike,
    confident: str | os.PathLike,
    *,
    region: str | None = None,
    sample: str | None = None,
    filters=None,
) -> TrainingData:
    """Read everything, label every candidate, split the windows by region.

    Windows are at most 100 kb, and shorter where there are few confident bases, so
    that there are at least ten; those without any are left out. Of every five
    neighbours three train, one validates and one is held back for the report.

    **Raises** `ValueError` if there are too few confident bases or labelled variants.
    """
    fasta = Fasta(reference)
    source = AlignmentFile(reads, reference=reference, sample=sample, filters=filters)
    regions = _confident(read_bed(confident), source, fasta, region)
    records = read_vcf(truth)
    records = [r for r in records if r.contig in regions]
    check_reference_alleles(records, fasta.text, truth)
    audit = LabelAudit()
    sets = truth_sets(records, fasta, regions, audit)
    covered = sum(inside.size for inside in regions.values())
    size = int(np.clip(covered // _FEWEST, _SMALLEST, _LARGEST))
    windows = []
    for contig, inside in regions.items():
        first, last = int(inside.start.min()), int(inside.end.max())
        for part in source.windows(contig, first, last, size=size, halo=HALO):
            if not len(inside.clipped(part.start, part.end)):
                continue
            exact = window_sample(
                fasta, size + 2 * HALO, contig, part.start, part.end, part.rows
            )
            labels = label_window(exact, sets[contig], inside, audit)
            role = _ROLES[len(windows) % len(_ROLES)]
            windows.append(LabelledWindow(exact, labels, role))
    if len(windows) < len(_ROLES):
        raise ValueError(
            f"training needs at least {len(_ROLES) * _SMALLEST} confident bases, got "
            f"{covered}; give a BED that covers more, or a larger region."
        )
    if not sum(audit.represented.values()):
        raise ValueError(
            f"none of {len(records)} true variants can be learned from: {audit}. Check "
            "that the truth, the reads and the reference are of one assembly."
        )
    sizes = functools.reduce(
        SampleSizes.union, (SampleSizes.of(w.part.sample) for w in windows)
    )
    padded = [window.padded(sizes) for window in windows]
    return TrainingData(padded, audit, records, regions, fasta, source.sample)


def _confident(regions, source, fasta, region) -> dict[str, Intervals]:
    shared = {c: r for c, r in regions.items() if c in source.lengths and len(r)}
    if not shared:
        raise ValueError(
            f"the confident BED must name contigs of the reads, got "
            f"{', '.join(list(regions)[:3]) or 'none'}; the reads have "
            f"{', '.join(list(source.lengths)[:3])}."
        )
    fasta.check({c: source.lengths[c] for c in shared})
    if region is None:
        return shared
    contig, start, end = parse_region(region, source.lengths)
    inside = shared.get(contig, Intervals.of([], [])).clipped(start, end)
    if not len(inside):
        raise ValueError(f"no confident bases in region {region}; choose another one.")
    return {contig: inside}
