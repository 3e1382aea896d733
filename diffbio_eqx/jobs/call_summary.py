"""What a run of the caller did, in numbers."""

import dataclasses
from collections import Counter

from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io.read_filters import ReadCounts

_TRANSITIONS = {("A", "G"), ("G", "A"), ("C", "T"), ("T", "C")}


@dataclasses.dataclass
class CallSummary:
    """Counts of one run; grows while the run goes on.

    `shapes` is the number of array shapes, so of compilations, that the run needed;
    `too_long` counts insertions that no candidate haplotype could hold. `histograms`
    counts records by QUAL, GQ and DP, cut to whole numbers.
    """

    output: str
    reads: ReadCounts = ReadCounts()
    windows: int = 0
    shapes: int = 0
    too_long: int = 0
    counts: Counter = dataclasses.field(default_factory=Counter)
    histograms: dict[str, Counter] = dataclasses.field(
        default_factory=lambda: {"QUAL": Counter(), "GQ": Counter(), "DP": Counter()}
    )

    def add(self, record: VariantRecord) -> None:
        """Count one record that was written."""
        snp = len(record.ref) == 1 and all(len(alt) == 1 for alt in record.alts)
        self.counts["records"] += 1
        self.counts["substitutions" if snp else "indels"] += 1
        if "LowQual" in record.filters:
            self.counts["low_quality"] += 1
        if snp:
            for alt in record.alts:
                kind = (record.ref, alt) in _TRANSITIONS
                self.counts["transitions" if kind else "transversions"] += 1
        values = (record.qual, record.gq, record.dp)
        for histogram, value in zip(self.histograms.values(), values, strict=True):
            if value is not None:
                histogram[int(value)] += 1
        if len(record.genotype) == 2:
            same = record.genotype[0] == record.genotype[1]
            self.counts["homozygous" if same else "heterozygous"] += 1

    @property
    def transition_ratio(self) -> float:
        """Transitions over transversions; about 2.0 to 2.1 in a human genome."""
        return self.counts["transitions"] / max(self.counts["transversions"], 1)

    @property
    def heterozygous_ratio(self) -> float:
        """Heterozygous over homozygous records."""
        return self.counts["heterozygous"] / max(self.counts["homozygous"], 1)

    def __str__(self) -> str:
        c = self.counts
        lines = [
            str(self.reads),
            f"{c['records']} variants: {c['substitutions']} substitutions "
            f"(Ti/Tv {self.transition_ratio:.2f}), {c['indels']} indels; "
            f"het/hom {self.heterozygous_ratio:.2f}; {c['low_quality']} of low quality",
            f"written to {self.output}",
        ]
        if self.reads.depth:
            lines.insert(
                1,
                f"{self.reads.depth} reads were left out where the depth is at its cap",
            )
        if self.too_long:
            lines.insert(-1, f"{self.too_long} insertions were too long to be scored")
        return "\n".join(lines)
