"""Small alignment files written from SAM text."""

from pathlib import Path

import pysam


def write_sam(path: Path, records: str, *, header: str = "", index: bool = True) -> str:
    """A BAM or SAM file (by its suffix) of tab- or blank-separated records.

    The header defaults to contig `c` of 1,000 bases and read group `a` of sample `s`.
    """
    if not header:
        header = (
            "@HD VN:1.6 SO:coordinate\n@SQ SN:c LN:1000\n@SQ SN:d LN:500\n@RG ID:a SM:s"
        )
    lines = ["\t".join(line.split()) for line in (header + "\n" + records).splitlines()]
    text = path.with_name(path.name + ".text.sam")
    text.write_text("\n".join(line for line in lines if line) + "\n")
    if path.suffix == ".sam":
        path.write_text(text.read_text())
        return str(path)
    pysam.view("-b", "-o", str(path), str(text), catch_stdout=False)
    if index:
        pysam.index(str(path))
    return str(path)
