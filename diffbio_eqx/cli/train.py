"""`diffbio-eqx train`: models fitted to one's own truth."""

from pathlib import Path
from typing import Annotated

import typer

from diffbio_eqx.cli.compilation import keep_compiled_programs
from diffbio_eqx.cli.messages import say

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _start(context: typer.Context) -> None:
    """Train a model on reads whose true variants are known.

    \b
    Example, on files that the demo makes:
        diffbio-eqx demo --out demo
        diffbio-eqx train call --reads demo/reads.bam --reference demo/reference.fa \\
            --truth demo/truth.vcf.gz --confident demo/confident.bed -o model.eqx
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


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
) -> None:
    """Train the caller, and keep what helps on held-back regions.

    \b
    Example, on files that the demo makes:
        diffbio-eqx demo --out demo
        diffbio-eqx train call --reads demo/reads.bam --reference demo/reference.fa \\
            --truth demo/truth.vcf.gz --confident demo/confident.bed -o model.eqx
        diffbio-eqx call demo/reads.bam --reference demo/reference.fa \\
            --checkpoint model.eqx -o calls.vcf.gz
    """
    keep_compiled_programs()
    from diffbio_eqx.jobs.train_caller import train_caller

    say(str(train_caller(reads, reference, truth, confident, output)))
