"""Whole runs on files, importable: what the command line does."""

from diffbio_eqx.jobs.call import call_variants as call_variants
from diffbio_eqx.jobs.call_report import write_call_report as write_call_report
from diffbio_eqx.jobs.call_summary import CallSummary as CallSummary
from diffbio_eqx.jobs.de import differential_expression as differential_expression
from diffbio_eqx.jobs.de_example import write_de_example as write_de_example
from diffbio_eqx.jobs.de_plots import write_de_plots as write_de_plots
from diffbio_eqx.jobs.de_report import write_de_report as write_de_report
from diffbio_eqx.jobs.de_summary import DeResult as DeResult
from diffbio_eqx.jobs.de_summary import DeSummary as DeSummary
from diffbio_eqx.jobs.demo import DemoResult as DemoResult
from diffbio_eqx.jobs.demo import run_demo as run_demo
from diffbio_eqx.jobs.mark_duplicates import mark_duplicates as mark_duplicates
from diffbio_eqx.jobs.preprocess import preprocess as preprocess
from diffbio_eqx.jobs.preprocess_example import (
    write_preprocess_example as write_preprocess_example,
)
from diffbio_eqx.jobs.preprocess_report import (
    write_preprocess_report as write_preprocess_report,
)
from diffbio_eqx.jobs.preprocess_summary import PreprocessSummary as PreprocessSummary
from diffbio_eqx.jobs.pseudobulk import PseudoBulk as PseudoBulk
from diffbio_eqx.jobs.pseudobulk import pseudobulk_counts as pseudobulk_counts
from diffbio_eqx.jobs.train_caller import TrainingReport as TrainingReport
from diffbio_eqx.jobs.train_caller import train_caller as train_caller
