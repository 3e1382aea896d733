"""Duplicates of aligned reads: BAM or CRAM in, the same BAM with flags and weights."""

import dataclasses
import os
import struct
import sys
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from diffbio_eqx import _version
from diffbio_eqx._checks import require_choice
from diffbio_eqx.data.duplicate_ends import Decided, DuplicateStream
from diffbio_eqx.data.duplicate_families import DuplicateFamilies
from diffbio_eqx.io._alignment_header import read_header
from diffbio_eqx.io._bam_records import fixed_fields
from diffbio_eqx.io._bam_stream import bam_chunks, converted_chunks, truncated
from diffbio_eqx.io._errors import import_pysam, quiet
from diffbio_eqx.io.duplicate_records import (
    DUPLICATE,
    has_mate_tags,
    marked_records,
    read_ends,
)
from diffbio_eqx.operators.reads.duplicate_weighting import DuplicateWeighting


@dataclasses.dataclass
class DuplicateSummary:
    """What a run of `mark_duplicates` met, in reads.

    `records` in the file; `examined` primary, mapped and not failed, of which
    `in_pairs` and `fragments`; `orphans`, fragments whose mate should be mapped and is
    not in the file; `duplicate_pairs` (reads of them) and `duplicate_fragments`, and
    `duplicates` their sum; `already_flagged` came with the flag, and `kept_flags` of
    them keep it against our finding; `written` records.
    """

    records: int = 0
    examined: int = 0
    in_pairs: int = 0
    fragments: int = 0
    orphans: int = 0
    duplicate_pairs: int = 0
    duplicate_fragments: int = 0
    already_flagged: int = 0
    kept_flags: int = 0
    written: int = 0

    @property
    def duplicates(self) -> int:
        return self.duplicate_pairs + self.duplicate_fragments

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        share = self.duplicates / max(1, self.examined)
        more = {"duplicates": self.duplicates, "duplicate_share": share}
        return dataclasses.asdict(self) | more


def mark_duplicates(
    reads: str | os.PathLike,
    output: str | os.PathLike,
    *,
    reference: str | os.PathLike | None = None,
    umi_tag: str | None = None,
    umi_mismatch: bool = True,
    drop_duplicates: bool = False,
    clear_flags: bool = False,
    weighting: DuplicateWeighting | None = None,
    progress: Callable[[str], None] | None = None,
) -> DuplicateSummary:
    """Flag the copies of each molecule (0x400) and write a weight to every read.

    Flags are those of `samtools markdup` after `fixmate -m`, found without either: see
    `DuplicateStream` for the rules. Mates are found by name, so MC and ms tags are not
    needed. The weight in tag `dw:f` is that of `DuplicateWeighting`: 1 for the best
    read of a family and 0 for its copies, in its mode "hard"; a share of the family in
    its mode "soft". Reads that are no primary alignments have weight 1.

    **Arguments:**

    - `reads`: BAM, CRAM or SAM sorted by coordinate; `reference`: FASTA, for CRAM.
    - `output`: a `.bam`; its index is made. Every record stays in its place, and one
      @PG line is added.
    - `umi_tag`: tag of molecular identifiers (RX, say): copies have the same one, or,
      with `umi_mismatch`, one that is an error away (`umi_families`).
    - `drop_duplicates`: leave out reads with the flag.
    - `clear_flags`: forget flags that the file came with. They are kept otherwise, as
      samtools does without `-c`, with weight 0.
    - `weighting`: a trained operator, or one of another mode; hard by default.
    - `progress`: called with a few words now and then.

    Reads the file twice. Memory: 5 bytes a record, the reads within 65,536 bases and
    those whose mates lie further on (about 250 bytes each).

    **Returns** a `DuplicateSummary`. **Raises** `ValueError`, one line, for a file that
    is missing, not sorted, cut short or without contigs, or an output that is no BAM;
    nothing is written then. **Warns** of mates that are not there and of kept flags.
    """
    header = read_header(reads, reference)
    output = _checked_output(output, header.path)
    if umi_tag is not None and not (len(umi_tag) == 2 and umi_tag.isalnum()):
        raise ValueError(f"umi_tag must be two letters such as 'RX', got {umi_tag!r}.")
    operator = DuplicateWeighting(mode="hard") if weighting is None else weighting
    tell = progress or (lambda words: None)

    def chunks():
        if header.kind == "BAM":
            return bam_chunks(header.path, None)
        more = [] if reference is None else ["-T", os.fspath(reference)]
        return converted_chunks(header.path, [*more, header.path], header.kind)

    umi = None if umi_tag is None else "directional" if umi_mismatch else "equal"
    found = _Findings(operator)
    _find(chunks(), header, found, DuplicateStream(umi), umi_tag, tell)
    summary = found.summary
    if summary.orphans:
        warnings.warn(
            f"{summary.orphans} reads of {header.path!r} have mapped mates, which are "
            "not in the file: they are taken as fragments, as by samtools fixmate.",
            stacklevel=2,
        )
    _write(chunks(), header.path, output, found, clear_flags, drop_duplicates, tell)
    if summary.kept_flags:
        warnings.warn(
            f"{summary.kept_flags} reads of {header.path!r} came with the duplicate "
            "flag and are no copies by our rules: they keep it, as in samtools. Use "
            "clear_flags to find all flags anew.",
            stacklevel=2,
        )
    return summary


class _Findings:
    """Flag and weight of each record so far, and the counts."""

    def __init__(self, operator):
        self.summary = DuplicateSummary()
        self._operator = operator
        self.duplicate = np.zeros(1 << 16, bool)
        self.weight = np.ones(1 << 16, np.float32)

    def grow(self, records: int) -> None:
        self.summary.records += records
        short = self.summary.records - len(self.duplicate)
        if short > 0:
            more = max(short, len(self.duplicate))
            self.duplicate = np.concatenate([self.duplicate, np.zeros(more, bool)])
            self.weight = np.concatenate([self.weight, np.ones(more, np.float32)])

    def put(self, decided: Decided) -> None:
        counts, copy = self.summary, ~decided.best
        counts.examined += len(copy)
        counts.in_pairs += int(decided.pair.sum())
        counts.fragments += int((~decided.pair).sum())
        counts.duplicate_pairs += int((copy & decided.pair).sum())
        counts.duplicate_fragments += int((copy & ~decided.pair).sum())
        self.duplicate[decided.index] = copy
        self.weight[decided.index] = self._weights(decided)

    def _weights(self, decided):
        weight = decided.best.astype(np.float32)
        if self._operator.relaxation.mode != "soft":
            return weight
        _, number, size = np.unique(
            decided.family, return_inverse=True, return_counts=True
        )
        rows = np.flatnonzero((size[number.reshape(-1)] > 1) & ~decided.beaten)
        if len(rows):
            block = DuplicateFamilies.from_groups(
                decided.family[rows], decided.score[rows]
            ).padded(1 << int(len(rows) - 1).bit_length())
            weight[rows] = np.asarray(_weigh(self._operator, block))[: len(rows)]
        return weight


@eqx.filter_jit
def _weigh(operator, block):
    return operator(jax.tree.map(jax.numpy.asarray, block))


def _find(chunks, header, found, stream, umi_tag, tell):
    names = list(header.lengths)
    libraries = _libraries(header.path, header)
    last = (-1, -1)
    for buffer, offsets in chunks:
        fixed = fixed_fields(buffer, offsets)
        # Reads without a place come last.
        contig = np.where(fixed["contig"] < 0, len(names), fixed["contig"])
        contig, start = contig.astype(np.int64), fixed["start"].astype(np.int64)
        step, inside = np.diff(contig), np.diff(start)
        if (
            (contig[0], start[0]) < last
            or (step < 0).any()
            or ((step == 0) & (inside < 0)).any()
        ):
            raise ValueError(
                f"{header.path!r} is not sorted by coordinate. Sort it first: "
                "samtools sort -o sorted.bam reads.bam"
            )
        last = (int(contig[-1]), int(start[-1]))
        try:
            if not found.summary.records:
                # Equal fragments go by the order that samtools meets them in: that of
                # a file from `fixmate`, else the one that `sort -n` would make.
                stream.by_name = not has_mate_tags(buffer, offsets)
            ends = read_ends(
                buffer,
                offsets,
                found.summary.records,
                libraries=libraries,
                umi_tag=umi_tag,
            )
        except (ValueError, IndexError) as error:
            if "UMI" in str(error):
                raise
            raise truncated(header.path, header.kind) from error
        found.grow(len(offsets))
        found.put(stream.add(ends, *last))
        tell(f"{found.summary.records:,} reads looked at")
    rest = stream.close()
    if rest is not None:
        found.put(rest)
    found.summary.orphans = stream.orphans


def _write(chunks, reads, output, found, clear, drop, tell):
    pysam = import_pysam()
    summary, at = found.summary, 0
    part = f"{output}.{os.getpid()}.part"
    index = part + ".bai"
    try:
        with quiet(), pysam.BGZFile(part, "wb") as file:
            file.write(_header_bytes(reads))
            for buffer, offsets in chunks:
                rows = slice(at, at + len(offsets))
                at += len(offsets)
                had = fixed_fields(buffer, offsets)["flag"] & DUPLICATE != 0
                copy, weight = found.duplicate[rows], found.weight[rows]
                summary.already_flagged += int(had.sum())
                if not clear:
                    summary.kept_flags += int((had & ~copy).sum())
                    weight = np.where(had & ~copy, np.float32(0), weight)
                    copy = copy | had
                keep = ~copy if drop else np.ones(len(copy), bool)
                summary.written += int(keep.sum())
                file.write(marked_records(buffer, offsets, copy, weight, keep))
                tell(f"{at:,} of {summary.records:,} reads written")
        with quiet():
            try:
                pysam.index(part, index)
            except pysam.SamtoolsError:  # contigs of more than 512 Mb
                pysam.index("-c", part, index)
        with open(index, "rb") as file:
            kind = ".bai" if file.read(4) == b"BAI\1" else ".csi"
        os.replace(part, output)
        os.replace(index, output + kind)
    finally:
        for path in (part, index):
            if os.path.exists(path):
                os.unlink(path)


def _checked_output(output, reads):
    output = os.fspath(output)
    suffix = os.path.splitext(output)[1]
    require_choice("suffix of the output of mark_duplicates", suffix, [".bam"])
    folder = os.path.dirname(output) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"folder of the output not found: {folder!r}. Make it first.")
    if os.path.exists(output) and os.path.samefile(output, reads):
        raise ValueError(f"output {output!r} is the input. Give another name.")
    return output


def _libraries(path, header):
    """Number of the library of each read group; 0 where none is named."""
    pysam = import_pysam()
    with quiet(), pysam.AlignmentFile(path, check_sq=False) as file:
        groups = file.header.to_dict().get("RG", [])
    named = {group["ID"].encode(): group.get("LB", "") for group in groups}
    number = {"": 0}
    return {key: number.setdefault(lb, len(number)) for key, lb in named.items()}


def _header_bytes(path):
    """The BAM header of a file with our @PG line added."""
    pysam = import_pysam()
    with quiet(), pysam.AlignmentFile(path, check_sq=False) as file:
        text = str(file.header)
        programs = file.header.to_dict().get("PG", [])
        contigs = list(zip(file.references, file.lengths, strict=True))
    taken = {program.get("ID") for program in programs}
    name, number = "diffbio-eqx", 1
    while name in taken:
        name, number = f"diffbio-eqx.{number}", number + 1
    before = f"\tPP:{programs[-1]['ID']}" if programs else ""
    call = " ".join(sys.argv).replace("\t", " ").replace("\n", " ")
    version = _version.__version__
    text = f"{text}@PG\tID:{name}\tPN:diffbio-eqx{before}\tVN:{version}\tCL:{call}\n"
    raw = text.encode()
    out = [b"BAM\1", struct.pack("<i", len(raw)), raw, struct.pack("<i", len(contigs))]
    for contig, length in contigs:
        bare = contig.encode() + b"\0"
        out += [struct.pack("<i", len(bare)), bare, struct.pack("<i", length)]
    return b"".join(out)
