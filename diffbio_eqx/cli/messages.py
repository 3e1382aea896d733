"""What the command line says: one line a message, on standard error."""

import contextlib
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator

from rich.console import Console

_console: Console | None = None


def console() -> Console:
    """The console of standard error that messages and progress bars share."""
    global _console
    if _console is None:
        _console = Console(stderr=True, highlight=False, soft_wrap=True)
    return _console


def say(text: str) -> None:
    """Print `text` as it is; above the progress bar, if there is one."""
    console().print(text, markup=False, emoji=False)


def one_line(error: BaseException | Warning | str) -> str:
    """The message of an error without line breaks; its kind where it has none."""
    text = " ".join(str(error).split())
    return text or type(error).__name__


def debugging() -> bool:
    """Whether DIFFBIO_EQX_DEBUG asks for tracebacks."""
    return os.environ.get("DIFFBIO_EQX_DEBUG", "") not in ("", "0")


def report_error(error: BaseException, hint: str = "") -> None:
    """Print `error: ...`, or the traceback when debugging."""
    if debugging():
        say("".join(traceback.format_exception(error)).rstrip())
    else:
        say(f"error: {one_line(error)}{hint}")


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Inside, a `UserWarning` is one line `warning: ...`, each text said once."""
    said: set[str] = set()

    def show(message, category, filename, lineno, file=None, line=None):
        text = one_line(message)
        if text not in said:
            said.add(text)
            say(f"warning: {text}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def stopped_like_interrupt() -> Iterator[None]:
    """Inside, SIGTERM raises `KeyboardInterrupt`, so that half-made files go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
