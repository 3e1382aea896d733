"""One-line errors about files, and quiet from the C library below."""

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator


class MissingFileError(ValueError, FileNotFoundError):
    """A file that was named is not there."""


def need_file(path: str | os.PathLike, what: str) -> str:
    """The path as text, if a file is there; `what` names it in the error."""
    text = os.fspath(path)
    if not os.path.exists(text):
        raise MissingFileError(f"{what} not found: {text!r}. Check the path.")
    if os.path.isdir(text):
        raise ValueError(f"{what} must be a file, got a folder: {text!r}.")
    if not os.access(text, os.R_OK):
        raise ValueError(f"{what} cannot be read: {text!r}. Check its permissions.")
    return text


def import_pysam():
    """The pysam module, or the pip line that installs it."""
    try:
        import pysam
    except ImportError as error:
        raise ImportError(
            "reading and writing BAM, CRAM, FASTA and VCF needs pysam: "
            "pip install 'diffbio-eqx[genomics]'"
        ) from error
    return pysam


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """htslib prints nothing inside: what it would say is raised or warned by us."""
    pysam = import_pysam()
    before = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(before)


def other_contig_name(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that `name` probably stands for (chr20 for 20)."""
    known = list(known)
    bare = name.removeprefix("chr")
    same = {"M": ("MT",), "MT": ("M",)}.get(bare, ())
    for guess in (bare, "chr" + bare, *same, *("chr" + other for other in same)):
        if guess != name and guess in known:
            return guess
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    return close[0] if close else None


def unknown_contig(name: str, known: Iterable[str], where: str) -> ValueError:
    """The error for a contig that `where` does not hold."""
    known = list(known)
    guess = other_contig_name(name, known)
    if guess is None:
        listed = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        hint = f"It has {listed or 'no contigs'}."
    elif guess.removeprefix("chr") == name.removeprefix("chr"):
        hint = (
            f"It has {guess!r}: the two files name contigs differently, use the "
            "reference that the reads were aligned to."
        )
    else:
        hint = f"Did you mean {guess!r}?"
    return ValueError(f"contig {name!r} is not in {where}. {hint}")
