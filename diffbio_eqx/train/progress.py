"""A progress bar: rich where it is installed, else one line on stderr."""

import sys
import time
from types import TracebackType
from typing import Any


class Progress:
    """Shows step and loss; does nothing unless stderr is a terminal or it was asked.

    Use as a context manager and call `update(finished, text)`.
    """

    def __init__(self, total: int, *, show: bool | None):
        self._total = total
        self._on = sys.stderr.isatty() if show is None else show
        self._bar: Any = None
        self._task: Any = None
        self._last = 0.0

    def __enter__(self) -> "Progress":
        if self._on:
            self._bar = _rich_bar()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("fit", total=self._total, note="")
        return self

    def update(self, finished: int, note: str) -> None:
        """Show that `finished` steps are done."""
        if not self._on:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=finished, note=note)
            return
        now = time.monotonic()
        if now - self._last > 0.5 or finished == self._total:
            self._last = now
            line = f"\rfit {finished}/{self._total} {note}"
            print(line, end="", file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._on:
            print(file=sys.stderr)


def _rich_bar() -> Any:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Bar(*columns, console=Console(stderr=True))
