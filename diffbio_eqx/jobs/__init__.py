"""Whole runs on files, importable: what the command line does."""

from diffbio_eqx.jobs.call import call_variants as call_variants
from diffbio_eqx.jobs.call_summary import CallSummary as CallSummary
