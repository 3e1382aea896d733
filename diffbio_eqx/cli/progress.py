"""A progress bar over the contigs of a genome."""

import contextlib
import re
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from diffbio_eqx.cli.messages import console

_SPAN = re.compile(r":([\d,]+)-([\d,]+)$")

Report = Callable[[str, int, int], None]


@contextlib.contextmanager
def genome_progress(region: str | None, *, show: bool) -> Iterator[Report | None]:
    """Gives `report(contig, position, length)`, or None where nothing is shown.

    One bar, for the contig at hand; of a `region` with two ends, for that region.
    Nothing is shown unless standard error is a terminal.
    """
    if not (show and console().is_terminal):
        yield None
        return
    span = _SPAN.search(region or "")
    low, high = (int(x.replace(",", "")) for x in span.groups()) if span else (0, None)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[place]}"),
        TimeElapsedColumn(),
        console=console(),
        transient=True,
    )
    with bar:
        task = bar.add_task("reading", total=None, place="")

        def report(contig: str, position: int, length: int) -> None:
            end = length if high is None else min(high, length)
            bar.update(
                task,
                description=contig,
                completed=position - low,
                total=end - low,
                place=f"{position:,} of {end:,}",
            )

        yield report
