"""`diffbio-eqx call`: reads in, variants out."""

from pathlib import Path
from typing import Annotated

import typer

from diffbio_eqx._checks import fail
from diffbio_eqx.cli.compilation import keep_compiled_programs
from diffbio_eqx.cli.invocation import command_line
from diffbio_eqx.cli.messages import say
from diffbio_eqx.cli.progress import genome_progress
from diffbio_eqx.cli.report_option import check_report

_MODELS = ("likelihood", "enhanced")


def call(
    reads: Annotated[
        Path, typer.Argument(metavar="READS", help="BAM, CRAM or SAM, sorted.")
    ],
    reference: Annotated[
        Path, typer.Option(help="FASTA that the reads were aligned to.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="File to write: .vcf, .vcf.gz or .bcf."),
    ],
    region: Annotated[
        str | None, typer.Option(help="Only here: chr20 or chr20:1000-2000.")
    ] = None,
    targets: Annotated[
        Path | None, typer.Option(help="BED: only what starts inside is written.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(help="Which sample, if the file holds several.")
    ] = None,
    ploidy: Annotated[int, typer.Option(help="Copies of each contig, 1 or 2.")] = 2,
    theta: Annotated[
        str | None,
        typer.Option(
            help="Heterozygosity per base of the prior (indels: an eighth of it), or "
            "'flat' for no prior. [default: 0.001]"
        ),
    ] = None,
    gvcf: Annotated[
        bool, typer.Option("--gvcf", help="Also write reference blocks.")
    ] = False,
    model: Annotated[str, typer.Option(help="Only 'likelihood' so far.")] = (
        "likelihood"
    ),
    checkpoint: Annotated[
        Path | None, typer.Option(help="A model that 'train call' wrote.")
    ] = None,
    min_allele_fraction: Annotated[
        float, typer.Option(help="Leave out alternatives below this share of reads.")
    ] = 0.0,
    min_mapping_quality: Annotated[
        int, typer.Option(help="Leave out reads mapped worse than this (Phred).")
    ] = 0,
    low_quality: Annotated[
        float, typer.Option(help="Label records of lower QUAL than this LowQual.")
    ] = 3.0,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with counts and plots (.html).")
    ] = None,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Show no progress bar.")
    ] = False,
) -> None:
    """Call substitutions and indels of one sample.

    \b
    Example, on files that the demo makes:
        diffbio-eqx demo --out demo
        diffbio-eqx call demo/reads.bam --reference demo/reference.fa -o calls.vcf.gz
    """
    _check_model(model)
    prior = _theta(theta, checkpoint)
    check_report(report)
    keep_compiled_programs()
    from diffbio_eqx.io.read_filters import ReadFilters
    from diffbio_eqx.jobs.call import call_variants

    with genome_progress(region, show=not no_progress) as progress:
        summary = call_variants(
            reads,
            reference,
            output,
            region=region,
            targets=targets,
            sample=sample,
            ploidy=ploidy,
            theta=prior,
            gvcf=gvcf,
            checkpoint=checkpoint,
            min_allele_fraction=min_allele_fraction,
            low_quality=low_quality,
            filters=ReadFilters(min_mapping_quality=min_mapping_quality),
            command=command_line.get(),
            progress=progress,
        )
    say(str(summary))
    if report is not None:
        from diffbio_eqx.jobs.call_report import write_call_report

        write_call_report(report, summary)
        say(f"report in {report}")


def _check_model(model: str) -> None:
    if model == "enhanced":
        fail(
            "--model",
            expected="'likelihood'",
            got="'enhanced', which is not in this version yet",
            hint="leave the option out",
        )
    if model not in _MODELS:
        fail("--model", expected="'likelihood'", got=repr(model))


def _theta(text: str | None, checkpoint: Path | None) -> float | None:
    """The prior's heterozygosity; None for a flat prior."""
    if text is not None and checkpoint is not None:
        fail(
            "--theta",
            expected="to be left out beside --checkpoint, which brings its prior",
            got=repr(text),
            hint="leave one of the two out",
        )
    if text == "flat":
        return None
    try:
        return 0.001 if text is None else float(text)
    except ValueError:
        fail("--theta", expected="a number such as 0.001, or 'flat'", got=repr(text))
