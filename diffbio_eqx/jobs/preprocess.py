"""Preprocessing of FASTQ files: clean reads out, and everything counted."""

import dataclasses
import itertools
import os
from collections.abc import Callable

from diffbio_eqx._checks import fail, require
from diffbio_eqx.io.fastq import read_fastq_blocks
from diffbio_eqx.io.fastq_writer import FastqWriter
from diffbio_eqx.jobs.ahead import worked_ahead
from diffbio_eqx.jobs.preprocess_adapters import find_kit, with_estimates
from diffbio_eqx.jobs.preprocess_run import PreprocessRun
from diffbio_eqx.jobs.preprocess_summary import PreprocessSummary
from diffbio_eqx.pipelines.preprocessing import PreprocessingPipeline
from diffbio_eqx.pipelines.preprocessing_config import PreprocessingPipelineConfig

_BLOCK = 8192


def preprocess(
    reads: str | os.PathLike,
    output: str | os.PathLike,
    *,
    mates: str | os.PathLike | None = None,
    mate_output: str | os.PathLike | None = None,
    interleaved: bool = False,
    pipeline: PreprocessingPipeline | None = None,
    config: PreprocessingPipelineConfig | None = None,
    find_adapters: bool = True,
    drop_duplicates: bool = False,
    command: str = "",
    progress: Callable[[float], None] | None = None,
) -> PreprocessSummary:
    """Trim, filter, correct and weigh the reads of one FASTQ file or of a pair.

    The hard limit of the pipeline, in blocks: poly-G tail -> adapters (of pairs: the
    overlap of mates where it cuts, else the adapter) -> quality -> filters. Errors are
    corrected in a second pass, by words counted in what the first pass left; copies
    are told by keys from the first.

    Errors are not corrected where that would do harm, and the summary says so: reads
    of less than 46 bases in the mean (small RNA), and spectra whose words are seen
    less than 8 times in the mean or have no peak.

    Memory: three blocks of 8,192 reads; with correction or `drop_duplicates` 17 bytes a
    read for the first pass's decisions; 64 bytes a read or pair to find copies, four
    times that at the end; with correction the table of words (`KmerCounter`).

    **Arguments:**

    - `reads`, `mates`: FASTQ, plain or gzip; `interleaved`: both ends in `reads`.
    - `output`, `mate_output`: `.gz` is packed. Interleaved input gives interleaved
      output unless there is a `mate_output`.
    - `pipeline`: a trained one, taken as it is; or `config`, of which one is built.
    - `find_adapters`: without a `pipeline`, replace the config's adapters by those of
      the kit that is seen in the first reads (TruSeq if none is).
    - `drop_duplicates`: write only the best read, or pair, of each molecule.
    - `command`: for the summary. `progress`: called with the share that is done.

    **Returns** a `PreprocessSummary`: reads in are reads out and reads dropped for a
    reason, which is checked before anything is renamed.

    **Raises** `ValueError`, one line, for files that cannot be read or do not fit
    together, and for outputs that are missing or are inputs; nothing is written then.
    """
    paths = [os.fspath(x) for x in (reads, mates) if x is not None]
    outputs = [os.fspath(x) for x in (output, mate_output) if x is not None]
    paired = interleaved or mates is not None
    _check_outputs(paths, outputs, paired=paired, interleaved=interleaved)
    require(
        pipeline is None or config is None,
        "pipeline and config",
        expected="one of them",
        got="both",
        hint="leave out config, or build the pipeline of it",
    )
    blocks = lambda: read_fastq_blocks(
        reads, mates, block=_BLOCK, interleaved=interleaved
    )
    stream = blocks()
    first = next(stream)
    stream = itertools.chain([first], stream)  # a pipe cannot be opened again
    summary = PreprocessSummary(tuple(paths), tuple(outputs), paired, command)
    if pipeline is None:
        config = PreprocessingPipelineConfig() if config is None else config
        pipeline = _built(config, first, summary, find_adapters=find_adapters)
    elif pipeline.adapter_removal is not None:
        summary.kit = "those of the trained pipeline"
    run = PreprocessRun(pipeline, summary, trained=config is None, drop=drop_duplicates)
    tell = progress or (lambda share: None)
    with FastqWriter(*outputs) as writer:
        if run.two_passes:
            _check_can_be_read_again(paths)
            for block, made in worked_ahead(run.trimmer, stream):
                run.look(block, made)
                tell(block.progress / 2)
            run.decide()
            for block in blocks():
                run.write(writer, block, *run.recall(block))
                tell(0.5 + block.progress / 2)
        else:
            for block, made in worked_ahead(run.trimmer, stream):
                run.write(writer, block, *run.look(block, made))
                tell(block.progress)
            run.decide()
        run.finish()
    return summary


def _check_outputs(inputs, outputs, *, paired, interleaved):
    two = len(inputs) == 2
    if two and len(outputs) == 1:
        fail(
            "output of the second reads",
            expected="a second file for two inputs",
            got="none",
            hint="give -O OUT2.fq.gz (mate_output)",
        )
    require(
        paired or len(outputs) == 1,
        "output of the second reads",
        expected="none for single reads",
        got=repr(outputs[-1]),
        hint="give the second reads, or --interleaved if both are in one file",
    )
    require(
        not (two and interleaved),
        "interleaved",
        expected="one file",
        got="two",
        hint="leave out --interleaved or the second file",
    )
    for one in outputs:
        for other in inputs:
            if os.path.exists(one) and os.path.exists(other):
                if os.path.samefile(one, other):
                    fail("output", expected="another file", got=f"the input {one!r}")


def _check_can_be_read_again(paths):
    for path in paths:
        require(
            os.path.isfile(path),
            f"input {path!r}",
            expected="a file, which can be read twice",
            got="a pipe",
            hint="switch off error correction and --drop-duplicates to read it once",
        )


def _built(config, block, summary, *, find_adapters):
    """The pipeline of a config, adapters found and their shares estimated."""
    if config.enable_adapter_removal and find_adapters:
        found = find_kit(block)
        same = dict(
            adapter_sequence=found.kit.first, adapter_sequence_2=found.kit.second
        )
        config = dataclasses.replace(config, **same)
        why = f"its first bases in {found.reads:,} of {found.looked:,} reads"
        if not found.sure:
            why = f"no kit is seen in the first {found.looked:,} reads"
        summary.kit = f"{found.kit.name} ({why})"
    elif config.enable_adapter_removal:
        summary.kit = "those given"
    return with_estimates(PreprocessingPipeline(config), block)
