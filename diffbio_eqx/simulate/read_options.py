"""What the simulated sequencing run is like."""

import dataclasses
from collections.abc import Mapping

from diffbio_eqx._checks import fail, require_range
from diffbio_eqx.simulate.qualities import QualityProfile, error_table


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """A paired-end run.

    - `coverage`: mean depth (copies included); `read_length`: bases of each mate.
    - `insert_mean`, `insert_sd`: normal insert size (adapter to adapter), at least 40.
    - `quality`: profile of reported qualities. Errors are drawn at the rate they
      report, except where `miscalibration` (reported Phred -> true error) differs:
      `{41: 0.02}` makes 2 % of the bases reported at Q41 wrong.
    - `indel_error`: sequencing indels per base outside of runs; in homopolymers the
      rate per base grows by `run_growth` for each base beyond the fourth (at most
      5 % a run). They lie at the start of a run, so they are left-aligned.
    - `short_inserts`: share of pairs with an insert of 40 to read_length - 1, which
      run on into the adapter (TruSeq). `adapter_kept`: adapter tails up to this many
      bases stay aligned as mismatches, longer ones are soft-clipped.
    - `duplicates`: share of pairs that are PCR copies (same fragment, own qualities
      and errors); `unmarked`: share of the copies without flag 0x400.
    - `coverage_spread`: standard deviation of the log depth along the genome (smooth,
      knots every 300 bases); `gc_bias`: fragments fall off by `exp(-gc_bias x^2 / 2)`,
      x = (local GC - 0.45) / 0.1.
    - `mismapped`: share of pairs that come from a diverged copy (2 % substitutions,
      the same in all of them) and were mapped here, with mapping quality 0-40;
      others have 60.
    - `clip_within`: an indel this close to a read's end is soft-clipped with the
      bases beyond it, as local aligners do; 0 keeps the exact alignment.

    **Raises** `ValueError` when a field is out of range.
    """

    coverage: float | int = 30.0
    read_length: int = 150
    insert_mean: float | int = 400.0
    insert_sd: float | int = 80.0
    quality: QualityProfile = QualityProfile()
    miscalibration: Mapping[int, float] | None = None
    indel_error: float = 2e-5
    run_growth: float = 1.5
    short_inserts: float = 0.0
    adapter_kept: int = 5
    duplicates: float = 0.0
    unmarked: float = 1.0
    coverage_spread: float = 0.0
    gc_bias: float = 0.0
    mismapped: float = 0.0
    clip_within: int = 0

    def __post_init__(self) -> None:
        require_range("coverage", self.coverage, 0.0, 1e5, open_low=True)
        require_range("read_length", self.read_length, 50.0, 1000.0)
        require_range("insert_mean", self.insert_mean, 40.0, 1e5)
        require_range("insert_sd", self.insert_sd, 0.0, 1e5)
        require_range("indel_error", self.indel_error, 0.0, 0.05)
        require_range("run_growth", self.run_growth, 1.0, 10.0)
        require_range("adapter_kept", self.adapter_kept, 0.0, float(self.read_length))
        require_range("duplicates", self.duplicates, 0.0, 0.9)
        for name in ("short_inserts", "unmarked", "mismapped"):
            require_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("coverage_spread", "gc_bias"):
            require_range(name, getattr(self, name), 0.0, 10.0)
        if not 0 <= self.clip_within <= 20:
            fail(
                "clip_within",
                expected="0 to 20 bases",
                got=self.clip_within,
                hint="0 keeps the exact alignment",
            )
        error_table(self.miscalibration)
