"""Contract cases of all operators on reads before alignment."""

from adapter_cases import ADAPTERS
from contract import Case
from correction_cases import CORRECTION
from duplicate_cases import DUPLICATES
from trimming_cases import TRIMMING

PREPROCESSING_OPERATORS: dict[str, Case] = {
    **TRIMMING,
    **ADAPTERS,
    **DUPLICATES,
    **CORRECTION,
}
