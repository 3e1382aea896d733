"""Help, version, wrong usage, and how failures end."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from diffbio_eqx import __version__
from diffbio_eqx.cli import main as entry

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "command",
    [[], ["demo"], ["preprocess"], ["call"], ["de"], ["train"], ["train", "call"]],
)
def test_help_has_an_example_that_parses(run, command):
    done = run(*command, "--help")
    assert (done.code, done.err) == (0, "")
    text = re.sub(r"\\\s*\n", " ", done.out)
    lines = [x.split() for x in text.splitlines() if x.startswith("      diffbio-eqx ")]
    wanted = ["diffbio-eqx", *command] if command else ["diffbio-eqx", "demo"]
    assert any(line[: len(wanted)] == wanted for line in lines)
    for line in lines:
        words = [word for word in line[1:] if not word.startswith("-")]
        name = words[:2] if words[0] == "train" else words[:1]
        told = run(*name, "--help").out
        for option in line:
            assert not option.startswith("-") or option in re.split(r"[\s,]+", told)


def test_no_command_prints_the_help(run):
    done, help_text = run(), run("--help")
    assert done.code == 0 and done.out == help_text.out and "Commands:" in done.out
    assert "Commands:" in run("train").out


def test_version(run):
    done = run("--version")
    assert (done.code, done.out) == (0, f"diffbio-eqx {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "No such command 'nope'; see diffbio-eqx --help"),
        (["call"], "Missing argument 'READS'; see diffbio-eqx call --help"),
        (["call", "a.bam"], "Missing option '--reference'"),
        (["call", "a.bam", "--nope"], "--nope"),
        (["call", "a", "--reference", "b", "-o", "c", "--ploidy", "x"], "--ploidy"),
        (["train", "call"], "Missing option"),
    ],
)
def test_wrong_usage_is_one_line(run, arguments, words):
    done = run(*arguments)
    assert done.code == 2 and done.out == ""
    assert len(done.lines) == 1
    assert done.err.startswith("error: ") and words in done.err


def fail_with(monkeypatch, error):
    def work(*_, **__):
        raise error

    monkeypatch.setattr("diffbio_eqx.jobs.demo.run_demo", work)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("first\n  second."), 2, "error: first second."),
        (OSError(28, "No space left", "x.vcf"), 2, "error: [Errno 28]"),
        (ImportError("pip install 'diffbio-eqx[genomics]'"), 2, "error: pip install"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (ZeroDivisionError("oh"), 1, "error: oh (ZeroDivisionError: this is a bug"),
        (ValueError("[bold]x[/bold] :smile:"), 2, "error: [bold]x[/bold] :smile:"),
    ],
)
def test_failures_end_in_one_line(run, monkeypatch, error, code, line):
    fail_with(monkeypatch, error)
    done = run("demo")
    assert done.code == code
    assert len(done.lines) == 1 and done.err.startswith(line)


def test_debugging_shows_the_traceback(run, monkeypatch):
    fail_with(monkeypatch, ValueError("deep inside"))
    monkeypatch.setenv("DIFFBIO_EQX_DEBUG", "1")
    done = run("demo")
    assert done.code == 2
    assert "Traceback" in done.err and "ValueError: deep inside" in done.err


def test_a_warning_is_one_line_and_said_once(run, monkeypatch):
    import warnings

    def work(*_, **__):
        for text in ("look\nhere", "look here", "there"):
            warnings.warn(text, stacklevel=1)

    monkeypatch.setattr("diffbio_eqx.jobs.demo.run_demo", work)
    done = run("demo")
    assert done.code == 0
    assert done.lines == ["warning: look here", "warning: there"]


def test_without_the_extra_there_is_the_pip_line(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "typer" else found(n)
    )
    assert entry.main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "error: the command line needs typer: pip install 'diffbio-eqx[cli,genomics]'\n"
    )


def test_the_process_ends_with_the_code():
    pytest.importorskip("typer")
    code = "import sys; from diffbio_eqx.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "call", "no.bam"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "DIFFBIO_EQX_CACHE": "off"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Missing option")
    assert len(done.stderr.splitlines()) == 1
