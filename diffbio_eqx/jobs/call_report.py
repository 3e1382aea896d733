"""The report of a run of the caller, as a page to open in a browser."""

import dataclasses
import os

from diffbio_eqx._version import __version__
from diffbio_eqx.jobs.call_summary import CallSummary
from diffbio_eqx.jobs.html_page import histogram, page, table, write_page

_READS = {
    "seen": "met",
    "unmapped": "left out: unmapped",
    "secondary": "left out: secondary alignment",
    "supplementary": "left out: supplementary alignment",
    "qc_fail": "left out: failed quality control",
    "duplicate": "left out: marked as duplicate",
    "improper_pair": "left out: not in a proper pair",
    "mapping_quality": "left out: low mapping quality",
    "no_alignment": "left out: no aligned base",
    "no_sequence": "left out: no bases",
    "depth": "left out: depth at its cap",
    "kept": "used",
}
_CAPTIONS = {
    "QUAL": "QUAL (Phred) of the records",
    "GQ": "GQ (Phred) of the genotypes",
    "DP": "DP, reads over a record",
}


def write_call_report(path: str | os.PathLike[str], summary: CallSummary) -> None:
    """Write the counts, ratios and histograms of a run as one HTML page.

    The page loads nothing. A row of reads that is 0 is left out, but for those met and
    used.
    """
    counts = summary.counts
    reads = dataclasses.asdict(summary.reads)
    kept = {
        label: reads[name]
        for name, label in _READS.items()
        if reads[name] or name in ("seen", "kept")
    }
    variants = {
        "records": counts["records"],
        "substitutions": counts["substitutions"],
        "indels": counts["indels"],
        "of low quality": counts["low_quality"],
        "transitions / transversions (people: 2.0 to 2.1)": summary.transition_ratio,
        "heterozygous / homozygous (people: 1.4 to 2)": summary.heterozygous_ratio,
        "insertions too long to be scored": summary.too_long,
    }
    plots = [
        histogram(_CAPTIONS[name], values)
        for name, values in summary.histograms.items()
    ]
    parts = [
        table("Variants", variants),
        "<h2>Distributions</h2>",
        *plots,
        table("Reads", kept),
        table("Run", {"output": summary.output, "windows": summary.windows}),
    ]
    text = page("Variant calls", parts, f"diffbio_eqx {__version__}")
    write_page(path, text)
