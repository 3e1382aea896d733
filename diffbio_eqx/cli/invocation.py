"""The command line as it was typed, for the headers of output files."""

import shlex
from contextvars import ContextVar

command_line: ContextVar[str] = ContextVar("command_line", default="diffbio-eqx")


def remember(arguments: list[str]) -> None:
    """Keep `arguments` as the command line of this run."""
    command_line.set(shlex.join(["diffbio-eqx", *arguments]))
