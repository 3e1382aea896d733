"""VCF 4.3, bgzipped VCF, BCF and gVCF out: sorted, indexed, whole or not at all."""

import os
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType, TracebackType

from diffbio_eqx._checks import fail, require_extra
from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io._errors import quiet
from diffbio_eqx.io.gvcf import ReferenceBlocks
from diffbio_eqx.io.vcf_text import UNSEEN, check_record, header_lines, record_line

_CSI_LENGTH = 2**29
LOW_QUALITY = MappingProxyType({"LowQual": "QUAL is below the caller's limit"})


def _source() -> str:
    try:
        return f"diffbio_eqx {metadata.version('diffbio_eqx')}"
    except metadata.PackageNotFoundError:  # run from a checkout
        return "diffbio_eqx"


class VcfWriter:
    """Writes the variant records of one sample; a context manager.

    The name chooses the format: `.vcf` text, `.vcf.gz` bgzipped with a tabix index
    (CSI if a contig is longer than 2^29), `.bcf` with a CSI index. Everything goes to
    files that end in `.part`, renamed when the `with` block ends; if it ends by an
    exception they are removed and an older file of that name stays as it was.

    **Arguments:**

    - `path`: name of the output file.
    - `contigs`: lengths by name, in the order of the reference.
    - `sample`: name of the only sample.
    - `command`, `reference`: for the header, left out when empty.
    - `filters`: descriptions by label; records may use these and `PASS`.
    - `info`: further INFO fields: (Number, Type, Description) by name.
    - `gvcf`: allow reference blocks; then no block may overlap anything.

    **Raises** `ValueError` for a wrong record (outside its contig, out of order,
    fields that do not fit its alleles, an undeclared FILTER or INFO name).

    ```python
    with VcfWriter("calls.vcf.gz", {"chr20": 64_444_167}, "NA12878") as out:
        out.write(VariantRecord("chr20", 99, "A", ("G",), genotype=(0, 1)))
    ```
    """

    def __init__(
        self,
        path: str | os.PathLike,
        contigs: Mapping[str, int],
        sample: str,
        *,
        command: str = "",
        reference: str = "",
        filters: Mapping[str, str] = LOW_QUALITY,
        info: Mapping[str, tuple[str, str, str]] = MappingProxyType({}),
        gvcf: bool = False,
    ):
        self._pysam = require_extra("pysam", "genomics")
        self.path = Path(path)
        if not self.path.name.endswith((".vcf", ".vcf.gz", ".bcf")):
            fail(
                "name of the output file",
                expected="an end in .vcf, .vcf.gz or .bcf",
                got=repr(self.path.name),
                hint="the end chooses the format",
            )
        if not self.path.parent.is_dir():
            fail(
                "folder of the output file",
                expected="a folder that exists",
                got=repr(str(self.path.parent)),
                hint="create it first",
            )
        self.gvcf = gvcf
        self._lengths = dict(contigs)
        self._rank = {name: i for i, name in enumerate(self._lengths)}
        self._filters, self._info = {"PASS", *filters}, {"END", "DP", *info}
        self._last = (-1, -1)
        self._block_end = self._covered = 0
        self._pending: tuple | None = None
        self._parts: list[Path] = []
        self._text = self._part()
        if self.path.suffix == ".vcf":
            self._file = open(self._text, "wb")
        else:
            self._file = self._pysam.BGZFile(str(self._text), "wb")
        lines = header_lines(
            self._lengths,
            sample,
            source=_source(),
            command=command,
            reference=reference,
            filters=filters,
            info=info,
            gvcf=gvcf,
        )
        self._file.write("".join(f"{line}\n" for line in lines).encode())

    def __enter__(self) -> "VcfWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, record: VariantRecord) -> None:
        """Write one record; it may not start before the one written last."""
        check_record(record, self._lengths, self._filters, self._info)
        self._flush()
        self._advance(record.contig, record.position, record.label)
        if record.position < self._block_end:
            fail(
                f"record {record.label}",
                expected=f"a start at or after {self._block_end + 1}, where the last "
                "reference block ends",
                got=record.position + 1,
                hint="give the spans of all records to `reference_blocks`",
            )
        self._covered = max(self._covered, record.end)
        self._file.write(record_line(record).encode())

    def write_blocks(self, contig: str, blocks: ReferenceBlocks) -> None:
        """Write reference blocks; one that continues the last one is joined to it."""
        self.write_window(contig, (), blocks)

    def write_window(
        self, contig: str, records: Iterable[VariantRecord], blocks: ReferenceBlocks
    ) -> None:
        """Write sorted records and sorted blocks of one contig in their joint order."""
        waiting = sorted(records, key=lambda record: record.position)
        columns = (blocks.start, blocks.end, blocks.ref, blocks.band, blocks.depth)
        lists = [x.tolist() for x in columns]
        lists += [x.tolist() for x in (blocks.min_depth, blocks.gq, blocks.pl)]
        index = 0
        for block in zip(*lists, strict=True):
            while index < len(waiting) and waiting[index].position < block[0]:
                self.write(waiting[index])
                index += 1
            self._add_block(contig, *block)
        for record in waiting[index:]:
            self.write(record)

    def _add_block(self, contig, start, end, ref, band, depth, low, gq, pl):
        if not self.gvcf:
            fail(
                "reference block",
                expected="a writer made with gvcf=True",
                got="gvcf=False",
            )
        last = self._pending
        if last and (last[0], last[2], last[4]) == (contig, start, band):
            size, more = last[2] - last[1], end - start
            mean = round((last[5] * size + depth * more) / (size + more))
            both = [min(a, b) for a, b in zip(last[8], pl, strict=True)]
            both = [value - min(both) for value in both]
            lowest = (min(last[6], low), min(last[7], gq))
            self._pending = (*last[:2], end, *last[3:5], mean, *lowest, both)
            self._block_end = self._covered = end
            return
        self._flush()
        self._advance(contig, start, f"block {contig}:{start + 1}")
        if start < self._covered:
            fail(
                f"reference block {contig}:{start + 1}",
                expected=f"a start at or after {self._covered + 1}, where what was "
                "written last ends",
                got=start + 1,
                hint="give the spans of all records to `reference_blocks`",
            )
        self._pending = (contig, start, end, ref, band, depth, low, gq, pl)
        self._block_end = self._covered = end

    def _flush(self):
        if self._pending is None:
            return
        contig, start, end, ref, _, depth, low, gq, pl = self._pending
        self._pending = None
        genotype = (0,) * (1 if len(pl) == 2 else 2)
        record = VariantRecord(
            contig,
            start,
            ref,
            (UNSEEN,),
            genotype=genotype,
            gq=gq,
            dp=depth,
            pl=tuple(pl),
            info={"END": end},
        )
        check_record(record, self._lengths, self._filters, self._info)
        self._file.write(record_line(record, min_depth=low).encode())

    def _advance(self, contig, position, label):
        if contig not in self._rank:
            fail(
                f"contig of {label}",
                expected="one of the header's contigs",
                got=repr(contig),
                hint="pass its length in `contigs`",
            )
        here = (self._rank[contig], position)
        if here < self._last:
            name = list(self._rank)[self._last[0]]
            fail(
                f"order of {label}",
                expected=f"a position not before {name}:{self._last[1] + 1}",
                got=f"{contig}:{position + 1}",
                hint="sort the records by contig of the header and position",
            )
        if here[0] != self._last[0]:
            self._block_end = self._covered = 0
        self._last = here

    def _part(self, ending: str = ".part") -> Path:
        part = self.path.with_name(self.path.name + ending)
        self._parts.append(part)
        return part

    def close(self) -> None:
        """Finish, index and rename; nothing is left under the name if that fails."""
        try:
            self._flush()
            self._file.close()
            with quiet():  # htslib looks for indexes of parts, and says so
                moves = self._finish()
            for ending in (".tbi", ".csi"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
            for part, final in moves:
                os.replace(part, final)
        finally:
            self._remove_parts()

    def abort(self) -> None:
        """Give up: remove what was written so far."""
        self._file.close()
        self._remove_parts()

    def _finish(self) -> list[tuple[Path, Path]]:
        if self.path.suffix == ".vcf":
            return [(self._text, self.path)]
        whole = self._text
        if self.path.suffix == ".bcf":
            whole = self._part(".bcf.part")
            with self._pysam.VariantFile(str(self._text)) as source:
                mode, header = "wb", source.header
                with self._pysam.VariantFile(str(whole), mode, header=header) as out:
                    for record in source:
                        out.write(record)
        csi = self.path.suffix == ".bcf" or max(self._lengths.values()) > _CSI_LENGTH
        ending = ".csi" if csi else ".tbi"
        index = self._part(f"{ending}.part")
        preset = "bcf" if self.path.suffix == ".bcf" else "vcf"
        self._pysam.tabix_index(
            str(whole), preset=preset, csi=csi, index=str(index), force=True
        )
        final = self.path.with_name(self.path.name + ending)
        return [(whole, self.path), (index, final)]

    def _remove_parts(self) -> None:
        for part in self._parts:
            part.unlink(missing_ok=True)
