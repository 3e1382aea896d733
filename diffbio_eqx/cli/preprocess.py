"""`diffbio-eqx preprocess`: reads of the sequencer in, clean reads out."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from diffbio_eqx._checks import fail
from diffbio_eqx.cli.compilation import keep_compiled_programs
from diffbio_eqx.cli.invocation import command_line
from diffbio_eqx.cli.messages import console, say
from diffbio_eqx.cli.report_option import check_report

_ALIGNED = (".bam", ".cram", ".sam")
_OF_ALIGNED = ("umi_tag", "reference")
_OF_BOTH = ("reads", "output", "drop_duplicates", "json", "no_progress", "example")
_SPELLED = {"mates": "R2", "mate_output": "-O"}


def _example(folder: Path | None) -> Path | None:
    if folder is not None:
        from diffbio_eqx.jobs.preprocess_example import write_preprocess_example

        write_preprocess_example(folder)
        say(f"r1.fq.gz and r2.fq.gz are in {folder}")
        raise typer.Exit
    return folder


def preprocess(
    reads: Annotated[
        Path,
        typer.Argument(metavar="R1", help="FASTQ, plain or gzip; or sorted BAM, CRAM."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write: .fq, .fq.gz or .bam.")
    ],
    mates: Annotated[
        Path | None,
        typer.Argument(metavar="R2", help="FASTQ of the second reads of pairs."),
    ] = None,
    mate_output: Annotated[
        Path | None,
        typer.Option("-O", "--output-2", help="File to write for the second reads."),
    ] = None,
    interleaved: Annotated[
        bool,
        typer.Option("--interleaved", help="First and second reads alternate in R1."),
    ] = False,
    adapter_sequence: Annotated[
        str | None,
        typer.Option(help="3' adapter of R1. [default: of the kit that is seen]"),
    ] = None,
    adapter_sequence_2: Annotated[
        str | None,
        typer.Option(help="3' adapter of R2. [default: of the kit that is seen]"),
    ] = None,
    adapter_match_threshold: Annotated[
        float,
        typer.Option(help="Probability of a cut above which it is made, 0 to 1."),
    ] = 0.5,
    quality_threshold: Annotated[
        float, typer.Option(help="Trim the 3' end by this Phred, as cutadapt -q.")
    ] = 20.0,
    minimum_length: Annotated[
        int, typer.Option(help="Drop reads that are left with fewer bases.")
    ] = 15,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Keep the best of each molecule.")
    ] = False,
    no_poly_g: Annotated[
        bool, typer.Option("--no-poly-g", help="Leave tails of G.")
    ] = False,
    no_adapter_removal: Annotated[
        bool, typer.Option("--no-adapter-removal", help="Leave adapters.")
    ] = False,
    no_quality_trimming: Annotated[
        bool, typer.Option("--no-quality-trimming", help="Leave ends of low quality.")
    ] = False,
    no_filters: Annotated[
        bool, typer.Option("--no-filters", help="Drop no reads for length, N, quality.")
    ] = False,
    no_error_correction: Annotated[
        bool, typer.Option("--no-error-correction", help="Leave errors: one pass.")
    ] = False,
    no_duplicate_weighting: Annotated[
        bool, typer.Option("--no-duplicate-weighting", help="Do not look for copies.")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A trained PreprocessingPipeline: its numbers are used."),
    ] = None,
    umi_tag: Annotated[
        str | None, typer.Option(help="BAM: tag of molecular identifiers, as RX.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="CRAM: FASTA of the reference.")
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(help="Write counts; MultiQC reads a name *.fastp.json."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with counts and plots (.html).")
    ] = None,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Show no progress.")
    ] = False,
    example: Annotated[
        Path | None,
        typer.Option(
            callback=_example,
            is_eager=True,
            help="Write a small simulated pair of files into this folder, and end.",
        ),
    ] = None,
) -> None:
    """Trim, filter and correct reads; or weigh the copies in aligned reads.

    \b
    Example, on simulated pairs:
        diffbio-eqx preprocess --example reads
        diffbio-eqx preprocess reads/r1.fq.gz reads/r2.fq.gz -o clean1.fq.gz \\
            -O clean2.fq.gz --json run.fastp.json --report run.html
    """
    given = dict(locals())  # as typed: nothing else is bound yet
    check_report(report)
    if json is not None and not json.absolute().parent.is_dir():
        fail(
            "--json",
            expected="a folder that exists",
            got=repr(str(json.parent)),
            hint="create it first",
        )
    aligned = reads.suffix in _ALIGNED
    _check_fit(given, aligned=aligned)
    keep_compiled_programs()
    if aligned:
        _mark(reads, output, reference, umi_tag, drop_duplicates, json)
        return
    fields: dict[str, Any] = {
        "adapter_match_threshold": adapter_match_threshold,
        "quality_threshold": quality_threshold,
        "minimum_length": float(minimum_length),
        "enable_poly_g": not no_poly_g,
        "enable_adapter_removal": not no_adapter_removal,
        "enable_quality_trimming": not no_quality_trimming,
        "enable_filters": not no_filters,
        "enable_error_correction": not no_error_correction,
        "enable_duplicate_weighting": not no_duplicate_weighting,
    }
    adapters = {
        "adapter_sequence": adapter_sequence,
        "adapter_sequence_2": adapter_sequence_2,
    }
    fields |= {name: value for name, value in adapters.items() if value is not None}
    from diffbio_eqx.jobs.preprocess import preprocess as run

    known = adapter_sequence is not None or adapter_sequence_2 is not None
    with _progress(show=not no_progress) as progress:
        summary = run(
            reads,
            output,
            mates=mates,
            mate_output=mate_output,
            interleaved=interleaved,
            find_adapters=not known,
            drop_duplicates=drop_duplicates,
            command=command_line.get(),
            progress=progress,
            **_model(checkpoint, fields),
        )
    say(str(summary))
    if json is not None:
        summary.write_json(json)
        say(f"counts in {json}")
    if report is not None:
        from diffbio_eqx.jobs.preprocess_report import write_preprocess_report

        write_preprocess_report(report, summary)
        say(f"report in {report}")


def _check_fit(given: dict[str, Any], *, aligned: bool) -> None:
    """No option that would change something goes unheard."""
    known = inspect.signature(preprocess).parameters
    for name, value in given.items():
        of_bam = name in _OF_ALIGNED
        unfit = not (of_bam or name in _OF_BOTH) if aligned else of_bam
        if unfit and value != known[name].default:
            kind = "aligned reads" if aligned else "FASTQ"
            option = _SPELLED.get(name, "--" + name.replace("_", "-"))
            fail(option, expected=f"to be left out for {kind}", got=repr(str(value)))


def _model(checkpoint: Path | None, fields: dict[str, Any]) -> dict[str, Any]:
    """The trained pipeline without the stages that are off, or a config."""
    if checkpoint is None:
        from diffbio_eqx.pipelines.preprocessing_config import (
            PreprocessingPipelineConfig,
        )

        return {"config": PreprocessingPipelineConfig(**fields)}
    import equinox as eqx

    from diffbio_eqx.checkpoint import load
    from diffbio_eqx.pipelines.preprocessing import PreprocessingPipeline

    model = load(checkpoint)
    if not isinstance(model, PreprocessingPipeline):
        fail(
            "--checkpoint",
            expected="a PreprocessingPipeline",
            got=type(model).__name__,
        )
    stages = {
        "enable_poly_g": ["poly_tail"],
        "enable_adapter_removal": [
            "adapter_removal",
            "mate_adapter_removal",
            "mate_overlap",
        ],
        "enable_quality_trimming": ["quality_trimming"],
        "enable_filters": ["read_filter"],
        "enable_error_correction": ["error_correction"],
        "enable_duplicate_weighting": ["duplicate_weighting"],
    }
    for flag, names in stages.items():
        for name in names if not fields[flag] else []:
            where = lambda m, name=name: getattr(m, name)
            if where(model) is not None:
                model = eqx.tree_at(where, model, None)
    return {"pipeline": model}


def _mark(reads, output, reference, umi_tag, drop, json) -> None:
    from diffbio_eqx.io._tables import written_whole
    from diffbio_eqx.jobs.mark_duplicates import mark_duplicates

    found = mark_duplicates(
        reads,
        output,
        reference=reference,
        umi_tag=umi_tag,
        drop_duplicates=drop,
    )
    counts = found.to_dict()
    say(
        f"{found.records:,} records, {found.examined:,} reads looked at, "
        f"{found.duplicates:,} copies ({100 * counts['duplicate_share']:.2g} %); "
        f"{found.written:,} written to {output}"
    )
    if json is not None:
        import json as encoder

        with written_whole(json) as file:
            encoder.dump(counts, file, indent=1)
            file.write("\n")


@contextlib.contextmanager
def _progress(*, show: bool) -> Iterator[Callable[[float], None] | None]:
    if not (show and console().is_terminal):
        yield None
        return
    with console().status("starting") as status:
        yield lambda share: status.update(f"{100 * share:.0f} % of the reads")
