"""`diffbio-eqx demo`: the whole story on simulated data."""

from pathlib import Path
from typing import Annotated

import typer

from diffbio_eqx.cli.compilation import keep_compiled_programs


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(
        "diffbio-demo"
    ),
    seed: Annotated[int, typer.Option(help="Everything follows from it.")] = 0,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Show no progress bar.")
    ] = False,
) -> None:
    """Simulate, call, train, call again, and compare; needs no data.

    Everything is written to the folder, which must be new or empty: the simulation,
    the calls before and after, the model, two plots and the summary that is printed.

    \b
    Example:
        diffbio-eqx demo --out demo
    """
    keep_compiled_programs()
    from diffbio_eqx.jobs.demo import run_demo

    run_demo(out, seed=seed, progress=False if no_progress else None, tell=typer.echo)
