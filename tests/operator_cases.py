"""Every operator, small, with an example item: the contract tests run over this dict.

A new operator adds a line to the cases of its field (several lines for several
settings); a test fails until it does. Keep shapes tiny: each case compiles about four
programs.
"""

from contract import Case
from expression_cases import EXPRESSION_OPERATORS
from preprocessing_cases import PREPROCESSING_OPERATORS
from variant_cases import VARIANT_OPERATORS

OPERATORS: dict[str, Case] = {
    **VARIANT_OPERATORS,
    **EXPRESSION_OPERATORS,
    **PREPROCESSING_OPERATORS,
}
