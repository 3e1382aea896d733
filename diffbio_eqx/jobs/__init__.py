"""Whole runs on files, importable: what the command line does."""

from diffbio_eqx.jobs.call import call_variants as call_variants
from diffbio_eqx.jobs.call_report import write_call_report as write_call_report
from diffbio_eqx.jobs.call_summary import CallSummary as CallSummary
from diffbio_eqx.jobs.demo import DemoResult as DemoResult
from diffbio_eqx.jobs.demo import run_demo as run_demo
from diffbio_eqx.jobs.train_caller import TrainingReport as TrainingReport
from diffbio_eqx.jobs.train_caller import train_caller as train_caller
