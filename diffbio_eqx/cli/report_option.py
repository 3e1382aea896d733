"""The option `--report`, which the commands share."""

from pathlib import Path

from diffbio_eqx._checks import fail


def check_report(report: Path | None) -> None:
    """The report is written last, so its place is looked at first."""
    if report is None:
        return
    if report.suffix not in (".html", ".htm"):
        fail("--report", expected="a name that ends in .html", got=repr(report.name))
    if not report.parent.is_dir():
        fail(
            "--report",
            expected="a folder that exists",
            got=repr(str(report.parent)),
            hint="create it first",
        )
