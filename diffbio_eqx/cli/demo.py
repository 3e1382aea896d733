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
) -> None:
    """Simulate, call, train, call again, and compare; needs no data.

    \b
    Example:
        diffbio-eqx demo --out demo
    """
    keep_compiled_programs()
    from diffbio_eqx.jobs.demo import run_demo

    run_demo(out, seed=seed)
