"""The header of an alignment file: contigs, read groups, samples."""

import contextlib
import dataclasses
import os
import tempfile
import warnings
from collections.abc import Iterator

from diffbio_eqx.io._bam_stream import check_end, truncated
from diffbio_eqx.io._errors import import_pysam, need_file, quiet


@dataclasses.dataclass(frozen=True)
class AlignmentHeader:
    """What the header says: contig lengths, read groups (id to sample), the kind."""

    path: str
    kind: str
    lengths: dict[str, int]
    read_groups: dict[str, str]

    def choose_sample(self, wanted: str | None) -> str:
        """The one sample to read, by name where the file holds several."""
        samples = list(dict.fromkeys(self.read_groups.values()))
        if wanted is None and len(samples) > 1:
            raise ValueError(
                f"{self.path!r} holds {len(samples)} samples ({', '.join(samples)}). "
                "Choose one by name with `sample`."
            )
        if samples:
            if wanted is not None and wanted not in samples:
                raise ValueError(
                    f"sample {wanted!r} is not in {self.path!r}, which has "
                    f"{', '.join(samples)}."
                )
            return samples[0] if wanted is None else wanted
        if wanted is not None:
            return wanted
        stem = os.path.basename(self.path).split(".")[0] or "sample"
        warnings.warn(
            f"{self.path!r} names no sample (no @RG line with SM): {stem!r} is used. "
            "Give `sample`, or set one with 'samtools addreplacerg'.",
            stacklevel=3,
        )
        return stem


def read_header(
    path: str | os.PathLike, reference: str | os.PathLike | None
) -> AlignmentHeader:
    """Open the file, look at its header and its end, and close it.

    Raises `ValueError` where it is missing, no alignment file, cut short, without
    contigs, sorted otherwise than by coordinate, or CRAM without a reference.
    """
    text = need_file(path, "reads file")
    pysam = import_pysam()
    if reference is not None:
        reference = need_file(reference, "reference FASTA")
    try:
        with quiet():
            file = pysam.AlignmentFile(
                text, check_sq=False, reference_filename=reference
            )
    except (OSError, ValueError) as error:
        if os.path.getsize(text) == 0:
            raise ValueError(f"reads file {text!r} is empty. Make it again.") from error
        if "truncated" in str(error):
            raise truncated(text, "reads") from error
        raise ValueError(
            f"{text!r} is not a BAM, CRAM or SAM file. Give aligned reads; FASTQ must "
            "be aligned first (bwa mem, minimap2)."
        ) from error
    with file:
        kind = "BAM" if file.is_bam else "CRAM" if file.is_cram else "SAM"
        header = file.header.to_dict()
        lengths = dict(zip(file.references, file.lengths, strict=True))
    check_end(text, kind)
    if not lengths:
        raise ValueError(
            f"{text!r} lists no contigs (@SQ): its reads are not aligned. Align them "
            "first (bwa mem, minimap2)."
        )
    order = header.get("HD", {}).get("SO")
    if order == "queryname":
        raise ValueError(
            f"{text!r} is sorted by read name, not by coordinate. Sort it first: "
            "samtools sort -o sorted.bam reads.bam"
        )
    if kind == "CRAM" and reference is None:
        raise ValueError(
            f"CRAM file {text!r} is decoded with its FASTA. Give `reference`."
        )
    groups = header.get("RG", [])
    named = {group["ID"]: group["SM"] for group in groups if group.get("SM")}
    return AlignmentHeader(text, kind, lengths, named)


@contextlib.contextmanager
def group_arguments(groups: list[str] | None) -> Iterator[list[str]]:
    """Arguments of `samtools view` that keep these read groups (None: all)."""
    if groups is None:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="diffbio_eqx-") as folder:
        path = os.path.join(folder, "groups.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{group}\n" for group in groups)
        yield ["-R", path]
