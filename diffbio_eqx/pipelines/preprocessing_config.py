"""What a Preprocessing pipeline is made of, and the stages that follow from it."""

import dataclasses
from typing import Literal

from diffbio_eqx._checks import require, require_choice
from diffbio_eqx.data.kmer_codes import check_k
from diffbio_eqx.operators.reads.adapter_removal import TRUSEQ, TRUSEQ_2
from diffbio_eqx.operators.reads.quality_trimming import QualityTrimming
from diffbio_eqx.operators.reads.read_filter import ReadFilter
from diffbio_eqx.operators.reads.sliding_window import SlidingWindowTrimming

Adapters = str | tuple[str, ...] | None


@dataclasses.dataclass(frozen=True)
class PreprocessingPipelineConfig:
    """Structure and starting values of a `PreprocessingPipeline`.

    - `read_length`: columns of every sample, checked at the call; None takes any.
    - `enable_...`: whether the stage is there at all.
    - `poly_g_length`: least length of a tail of `poly_tail_base`, "G" or "any".
    - `adapter_sequence`, `adapter_sequence_2`: 3' adapters of reads and of their mates,
      one or several, `$` after an anchored one; None for none.
      `adapter_sequence_5`: 5' adapters of the reads; `linked`: see `AdapterRemoval`.
    - `adapter_match_threshold`: posterior probability of a cut above which it is made,
      by adapter or by the overlap of mates. `adapter_temperature` in log-odds.
    - `adapter_probability`: prior probability of an insert shorter than the read;
      `insert_mean`, `insert_spread`: of its length, see `AdapterPosterior`.
    - `least_overlap`: bases that mates must share to speak about their insert.
    - `quality_trimming`: "bwa" (as `cutadapt -q`) or "sliding_window" (as fastp;
      `window_direction` "front", "tail" or "right" and `window_size` are its own).
      `quality_threshold`: Phred, of the 3' end or of the mean of a window;
      `front_quality_threshold`: of the 5' end, "bwa" only; 0 cuts nothing there.
      `nextseq`: Gs at the 3' end have no quality, "bwa" only.
    - `minimum_length`, `maximum_length`, `maximum_n`, `mean_quality`,
      `maximum_errors`, `qualified_quality`, `unqualified_percent`: see `ReadFilter`;
      None leaves a rule out. A pair is dropped if either read is.
    - `duplicate_similarity_threshold`: lowest identity of two copies of a molecule;
      `duplicate_preference`: log-odds of the better of two, for each Phred more.
    - `error_correction_window`: k, the length of the words that are counted, odd;
      `trust_threshold`: the smallest count of a word that is trusted.
    """

    read_length: int | None = None
    enable_poly_g: bool = True
    poly_g_length: float = 10.0
    poly_tail_base: Literal["G", "any"] = "G"
    enable_adapter_removal: bool = True
    adapter_sequence: Adapters = TRUSEQ
    adapter_sequence_2: Adapters = TRUSEQ_2
    adapter_sequence_5: Adapters = None
    linked: bool = False
    adapter_match_threshold: float = 0.5
    adapter_temperature: float = 1.0
    adapter_probability: float = 0.3
    insert_mean: float = 150.0
    insert_spread: float = 1000.0
    enable_mate_overlap: bool = True
    least_overlap: int = 31
    enable_quality_trimming: bool = True
    quality_trimming: Literal["bwa", "sliding_window"] = "bwa"
    quality_threshold: float = 20.0
    front_quality_threshold: float = 0.0
    nextseq: bool = False
    window_direction: Literal["front", "tail", "right"] = "tail"
    window_size: int = 4
    enable_filters: bool = True
    minimum_length: float | None = 15.0
    maximum_length: float | None = None
    maximum_n: float | None = 5.0
    mean_quality: float | None = None
    maximum_errors: float | None = None
    qualified_quality: float = 15.0
    unqualified_percent: float | None = 40.0
    enable_duplicate_weighting: bool = True
    duplicate_similarity_threshold: float = 0.95
    duplicate_preference: float = 0.1
    enable_error_correction: bool = True
    error_correction_window: int = 23
    trust_threshold: float = 3.0

    def __post_init__(self):
        require(
            self.read_length is None
            or (isinstance(self.read_length, int) and self.read_length >= 1),
            "read_length",
            expected="a positive whole number or None",
            got=self.read_length,
            hint="give the number of columns of a block",
        )
        methods = ("bwa", "sliding_window")
        require_choice("quality_trimming", self.quality_trimming, methods)
        plain = self.front_quality_threshold == 0 and not self.nextseq
        require(
            self.quality_trimming == "bwa" or plain,
            "front_quality_threshold and nextseq",
            expected="to be left out with quality_trimming='sliding_window'",
            got=f"{self.front_quality_threshold} and {self.nextseq}",
            hint="use quality_trimming='bwa'",
        )
        check_k(self.error_correction_window)


def adapter_names(given: Adapters) -> tuple[str, ...]:
    """One adapter, several or none, as a tuple."""
    names = (given,) if isinstance(given, str) else tuple(given or ())
    return tuple(name for name in names if name)


def build_trimming(
    config: PreprocessingPipelineConfig,
) -> QualityTrimming | SlidingWindowTrimming:
    """The operator that `quality_trimming` names."""
    if config.quality_trimming == "bwa":
        return QualityTrimming(
            config.quality_threshold,
            config.front_quality_threshold,
            nextseq=config.nextseq,
        )
    return SlidingWindowTrimming(
        config.quality_threshold, config.window_direction, size=config.window_size
    )


def build_filter(config: PreprocessingPipelineConfig) -> ReadFilter:
    """The filter with the rules of the config."""
    names = (
        "minimum_length maximum_length maximum_n mean_quality maximum_errors "
        "qualified_quality unqualified_percent"
    )
    return ReadFilter(**{name: getattr(config, name) for name in names.split()})
