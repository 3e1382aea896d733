"""The commands together, and how a run ends."""

from typing import Annotated

import typer

from diffbio_eqx._version import __version__
from diffbio_eqx.cli import call, de, demo, preprocess, train
from diffbio_eqx.cli.invocation import remember
from diffbio_eqx.cli.messages import (
    one_line,
    plain_warnings,
    report_error,
    say,
    stopped_like_interrupt,
)

_INTERRUPTED = 130

app = typer.Typer(
    name="diffbio-eqx",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("preprocess")(preprocess.preprocess)
app.command("call")(call.call)
app.command("de")(de.de)
app.add_typer(train.app, name="train")


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"diffbio-eqx {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Bioinformatics that is right by default and can be trained end to end.

    Clean reads from raw ones (preprocess), variants from reads (call), and genes that
    differ from counts (de).

    \b
    Try it, with no data at all:
        diffbio-eqx demo --out demo
    """


def run(arguments: list[str]) -> int:
    """Run one command; an exit code, and never a traceback (see `cli.main`)."""
    if arguments in ([], ["train"]):
        arguments = [*arguments, "--help"]
    remember(arguments)
    with plain_warnings(), stopped_like_interrupt():
        try:
            code = app(arguments, standalone_mode=False, prog_name="diffbio-eqx")
        except (KeyboardInterrupt, typer.Abort):
            code = _INTERRUPTED
        except (ValueError, OSError, ImportError) as error:
            report_error(error)
            return 2
        except Exception as error:
            return _usage_error(error) if _is_usage(error) else _bug(error)
    if code == _INTERRUPTED:  # some versions of typer turn the exception into it
        say("error: interrupted; no half-written file is left")
    return code if isinstance(code, int) else 0


def _is_usage(error: Exception) -> bool:
    """Whether the parser raised it (typer's own click, or the one it depends on)."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _usage_error(error) -> int:
    context = getattr(error, "ctx", None)
    command = "diffbio-eqx" if context is None else context.command_path
    text = one_line(error.format_message()).rstrip(".")
    say(f"error: {text}; see {command} --help")
    return 2


def _bug(error: Exception) -> int:
    report_error(
        error,
        f" ({type(error).__name__}: this is a bug of diffbio-eqx; run again with "
        "DIFFBIO_EQX_DEBUG=1 and report what it prints)",
    )
    return 1
