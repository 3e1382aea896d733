"""`diffbio-eqx train`: models fitted to one's own truth."""

from pathlib import Path
from typing import Annotated

import typer

from diffbio_eqx._checks import fail
from diffbio_eqx.cli.compilation import keep_compiled_programs
from diffbio_eqx.cli.messages import say

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def _start() -> None:
    """Train a model on reads whose true variants are known.

    \b
    Example, on files that the demo makes:
        diffbio-eqx demo --out demo
        diffbio-eqx train call --reads demo/reads.bam --reference demo/reference.fa \\
            --truth demo/truth.vcf.gz --confident demo/confident.bed -o model.eqx
    """


@app.command("call")
def call(
    reads: Annotated[Path, typer.Option(help="BAM or CRAM, sorted.")],
    reference: Annotated[
        Path, typer.Option(help="FASTA that the reads were aligned to.")
    ],
    truth: Annotated[Path, typer.Option(help="VCF with the true genotypes.")],
    confident: Annotated[
        Path, typer.Option(help="BED: where the truth holds all variants.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Checkpoint to write (.eqx).")
    ],
    start: Annotated[
        str | None,
        typer.Option("--from", help="Checkpoint to start from, instead of untrained."),
    ] = None,
    adapt: Annotated[
        str,
        typer.Option(help="What to train: all, or front-end (not the classifier)."),
    ] = "all",
    region: Annotated[
        str | None, typer.Option(help="Only here: chr20 or chr20:1000-2000.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(help="Which sample, if the reads hold several.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Gradient steps.")] = 150,
    seed: Annotated[int, typer.Option(help="Order of the windows.")] = 0,
    min_mapping_quality: Annotated[
        int, typer.Option(help="Leave out reads mapped worse than this (Phred).")
    ] = 0,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Show no progress bar.")
    ] = False,
) -> None:
    """Train the caller, and keep the result only if held-out errors fall.

    \b
    Example, on files that the demo makes:
        diffbio-eqx demo --out demo
        diffbio-eqx train call --reads demo/reads.bam --reference demo/reference.fa \\
            --truth demo/truth.vcf.gz --confident demo/confident.bed -o model.eqx
        diffbio-eqx call demo/reads.bam --reference demo/reference.fa \\
            --checkpoint model.eqx -o calls.vcf.gz
    """
    _check(start)
    keep_compiled_programs()
    from diffbio_eqx.io.read_filters import ReadFilters
    from diffbio_eqx.jobs.train_caller import train_caller

    report = train_caller(
        reads,
        reference,
        truth,
        confident,
        output,
        region=region,
        sample=sample,
        checkpoint=start,
        adapt=adapt,
        steps=steps,
        seed=seed,
        filters=ReadFilters(min_mapping_quality=min_mapping_quality),
        progress=False if no_progress else None,
    )
    say(str(report))


def _check(start: str | None) -> None:
    """A wrong start is refused before the work, not after it."""
    if start == "pretrained":
        fail(
            "--from",
            expected="a checkpoint file",
            got="'pretrained', which is not in this version yet",
            hint="leave the option out to start untrained",
        )
    if start is not None and not Path(start).is_file():
        fail("--from", expected="a checkpoint file", got=f"{start!r}, not found")
