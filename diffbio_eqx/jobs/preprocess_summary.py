"""What a run of preprocessing met and did, for people and for MultiQC."""

import dataclasses
import json
import os
from typing import Any

import numpy as np

from diffbio_eqx._version import __version__
from diffbio_eqx.io._tables import written_whole
from diffbio_eqx.jobs.preprocess_statistics import CycleStatistics, joined
from diffbio_eqx.operators.reads.read_filter import REASONS

REASON_WORDS = dict(
    zip(
        REASONS,
        (
            "many bases of low quality",
            "low mean quality",
            "too many N",
            "too many errors expected",
            "too short",
            "too long",
        ),
        strict=True,
    )
)
_STAGE_WORDS = {
    "poly_tail": "poly-G tail",
    "overlap": "overlap of mates",
    "adapter": "adapter",
    "quality": "low quality",
}


@dataclasses.dataclass
class PreprocessSummary:
    """Counts are of reads: a pair is two.

    - `inputs`, `outputs`: paths; `paired`; `command`.
    - `before`, `after`: a `CycleStatistics` for reads 1, and one for reads 2.
    - `dropped`: reads by the reason of the first end that fails (`REASONS`), and
      `duplicate`.
    - `trimmed_reads`, `trimmed_bases`: by stage, reads that are dropped later too.
    - `adapters`: sequence looked for -> reads cut by it; `kit`: which, and why.
    - `inserts` (n,): reads or pairs with each insert length that was seen.
    - `cuts`, `false_cuts`, `false_bases`: cuts by adapter or overlap, how many are
      expected to be wrong, bases of the insert expected to be lost by them.
    - `molecules`: effective number of molecules (reads, or pairs, that pass weighted
      by their share of the molecule), None if it was not looked for.
    - `corrected_bases`, `corrected_reads`; `correction`: why there is none, or how.
    - `notes`: sentences for the user.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    paired: bool
    command: str = ""
    before: list[CycleStatistics] = dataclasses.field(default_factory=list)
    after: list[CycleStatistics] = dataclasses.field(default_factory=list)
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    trimmed_reads: dict[str, int] = dataclasses.field(default_factory=dict)
    trimmed_bases: dict[str, int] = dataclasses.field(default_factory=dict)
    adapters: dict[str, int] = dataclasses.field(default_factory=dict)
    kit: str = ""
    inserts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1, int))
    cuts: int = 0
    false_cuts: float = 0.0
    false_bases: float = 0.0
    molecules: float | None = None
    passed: int = 0
    corrected_bases: int = 0
    corrected_reads: int = 0
    correction: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def reads_in(self) -> int:
        return sum(part.reads for part in self.before)

    @property
    def reads_out(self) -> int:
        return sum(part.reads for part in self.after)

    @property
    def duplicate_share(self) -> float | None:
        """Share of the reads that pass the filters and are copies of another."""
        if self.molecules is None:
            return None
        return 1.0 - self.molecules / self.passed if self.passed else 0.0

    @property
    def false_trim_rate(self) -> float:
        """Share of the cuts by adapter or overlap that are expected to be wrong."""
        return self.false_cuts / self.cuts if self.cuts else 0.0

    def check(self) -> None:
        """`RuntimeError` unless each read is written or dropped for a reason."""
        dropped = sum(self.dropped.values())
        if self.reads_in != self.reads_out + dropped:
            raise RuntimeError(
                f"{self.reads_in} reads came in, but {self.reads_out} went out and "
                f"{dropped} were dropped"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; what fastp reports has the same name, for MultiQC."""
        low = ("unqualified", "mean_quality", "errors")
        dropped = {**dict.fromkeys([*REASONS, "duplicate"], 0), **self.dropped}
        adapter_cuts = [self.trimmed_reads.get(x, 0) for x in ("adapter", "overlap")]
        adapter_bases = [self.trimmed_bases.get(x, 0) for x in ("adapter", "overlap")]
        answer: dict[str, Any] = {
            "summary": {
                "diffbio_eqx_version": __version__,
                "sequencing": "paired end" if self.paired else "single end",
                "before_filtering": joined(self.before),
                "after_filtering": joined(self.after),
            },
            "filtering_result": {
                "passed_filter_reads": self.reads_in
                - sum(dropped.values())
                + dropped["duplicate"],
                "corrected_reads": self.corrected_reads,
                "corrected_bases": self.corrected_bases,
                "low_quality_reads": sum(dropped[name] for name in low),
                "too_many_N_reads": dropped["n_content"],
                "too_short_reads": dropped["short"],
                "too_long_reads": dropped["long"],
            },
            "adapter_cutting": {
                "adapter_trimmed_reads": sum(adapter_cuts),
                "adapter_trimmed_bases": sum(adapter_bases),
                "adapters": self.adapters,
                "kit": self.kit,
                "expected_false_trim_rate": self.false_trim_rate,
                "expected_false_cuts": self.false_cuts,
                "expected_false_bases": self.false_bases,
            },
            "trimmed": {"reads": self.trimmed_reads, "bases": self.trimmed_bases},
            "dropped": dropped,
            "error_correction": self.correction,
            "notes": self.notes,
            "command": self.command,
        }
        if self.molecules is not None:
            answer["duplication"] = {
                "rate": self.duplicate_share,
                "molecules": self.molecules,
            }
        seen = int(self.inserts[1:].sum())
        if seen:
            answer["insert_size"] = {
                "peak": int(self.inserts[1:].argmax()) + 1,
                "unknown": self.reads_in // (1 + self.paired) - seen,
                "histogram": [int(x) for x in self.inserts],
            }
        for number, (one, two) in enumerate(
            zip(self.before, self.after, strict=True), 1
        ):
            answer[f"read{number}_before_filtering"] = one.to_dict()
            answer[f"read{number}_after_filtering"] = two.to_dict()
        return answer

    def write_json(self, path: str | os.PathLike) -> None:
        """Write `to_dict`, beside first and then renamed."""
        with written_whole(path) as file:
            json.dump(self.to_dict(), file, indent=1)
            file.write("\n")

    def __str__(self) -> str:
        n, out = self.reads_in, self.reads_out
        bases = [sum(p.total_bases for p in x) for x in (self.before, self.after)]
        pairs = f" ({n // 2:,} pairs)" if self.paired else ""
        lines = [
            *(f"note: {note}" for note in self.notes),
            f"{n:,} reads{pairs} in, {out:,} out ({_percent(out, n)}); "
            f"{bases[0]:,} bases in, {bases[1]:,} out ({_percent(bases[1], bases[0])})",
        ]
        if self.kit:
            lines.append(f"  adapters: {self.kit}")
        trimmed = [
            f"{_STAGE_WORDS[stage]} {bases:,} of {self.trimmed_reads[stage]:,} reads"
            for stage, bases in self.trimmed_bases.items()
            if bases
        ]
        lines.append(f"  trimmed bases: {'; '.join(trimmed) or 'none'}")
        if self.cuts:
            lines.append(
                f"  expected wrong among {self.cuts:,} cuts of adapters: "
                f"{100 * self.false_trim_rate:.2g} %"
            )
        words = REASON_WORDS | {"duplicate": "copies"}
        dropped = [f"{words[k]} {v:,}" for k, v in self.dropped.items() if v]
        lines.append(f"  dropped reads: {'; '.join(dropped) or 'none'}")
        if self.correction:
            lines.append(f"  errors: {self.correction}")
        if self.duplicate_share is not None:
            what = "pairs" if self.paired else "reads"
            lines.append(
                f"  copies: {100 * self.duplicate_share:.2g} % of the {what} that "
                f"pass; {self.molecules:,.0f} molecules"
            )
        return "\n".join([*lines, f"written to {' and '.join(self.outputs)}"])

    def trimmed_rows(self) -> dict[str, int]:
        """Trimmed bases by stage in words, for a table."""
        return {_STAGE_WORDS[k]: v for k, v in self.trimmed_bases.items()}

    def dropped_rows(self) -> dict[str, int]:
        """Dropped reads by reason in words, for a table."""
        words = REASON_WORDS | {"duplicate": "copies of another read"}
        return {words[k]: v for k, v in self.dropped.items()}


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
