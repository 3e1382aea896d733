"""VCF, bgzipped VCF and BCF in: one sample's records, or one clear sentence."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from diffbio_eqx._checks import fail, require_extra
from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io._errors import need_file, quiet

_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def read_vcf(
    path: str | os.PathLike,
    *,
    region: str | tuple[str, int, int] | None = None,
    sample: str | None = None,
) -> list[VariantRecord]:
    """The records of one sample of a VCF or BCF, in the order of the file.

    Fields that a record lacks are None (or empty); genotypes may be missing, half
    missing or haploid. Records without a sample column are read with no genotype.

    **Arguments:**

    - `region`: `chr20`, `chr20:1001-2000` (1-based, both ends in) or a 0-based
      half-open `("chr20", 1000, 2000)`: records that overlap it. An index is used
      where there is one, else the file is read through.
    - `sample`: its name; None takes the only one, or the first of a file of several.

    **Raises** `ValueError`, naming file and place, for a file that is no VCF, ends too
    early or has a broken record, an unknown contig or sample, or no file.
    """
    pysam = require_extra("pysam", "genomics")
    path = Path(need_file(path, "variant file"))
    _check_complete(path)
    with quiet(), _open(pysam, path) as file:
        names = list(file.header.samples)
        if sample is not None and sample not in names:
            fail(
                f"sample {sample!r} of {path}",
                expected=f"one of {names}",
                got="no such column",
                hint="pass one of these names",
            )
        column = names.index(sample) if sample else (0 if names else None)
        rows = _rows(file, path, _parse_region(file, path, region))
        return [_record(row, column, path) for row in rows]


def check_reference_alleles(
    records: Iterable[VariantRecord],
    fetch: Callable[[str, int, int], str],
    path: str | os.PathLike,
) -> None:
    """Raise `ValueError` for the first record whose REF is not the reference's.

    `fetch(contig, start, end)` gives reference bases; `path` is named in the message.
    Cases do not matter, and N or another ambiguity code in the reference fits any base.
    """
    for record in records:
        found = fetch(record.contig, record.position, record.position + len(record.ref))
        pairs = zip(record.ref.upper(), found.upper(), strict=False)
        same = len(found) == len(record.ref)
        if not same or any(a != b and b in "ACGT" for a, b in pairs):
            fail(
                f"REF of {record.label} in {path}",
                expected=f"the reference's {found or 'nothing (contig ended)'}",
                got=record.ref,
                hint="use the FASTA that the file was made with",
            )


def _check_complete(path):
    with open(path, "rb") as file:
        start = file.read(18)
        if not start:
            fail(f"{path}", expected="a VCF or BCF", got="an empty file")
        if start[:2] == b"\x1f\x8b" and start[12:14] == b"BC":
            file.seek(-min(28, os.path.getsize(path)), os.SEEK_END)
            if file.read() != _BGZF_END:
                fail(
                    f"{path}",
                    expected="the empty block that ends every bgzip file",
                    got="a truncated file",
                    hint="copy or make the file again",
                )


def _open(pysam, path):
    try:
        return pysam.VariantFile(str(path))
    except (ValueError, OSError) as error:
        fail(
            f"{path}",
            expected="a VCF, bgzipped VCF or BCF",
            got=f"something else ({error})",
            hint="check the file name; a VCF starts with ##fileformat=VCF",
        )


def _parse_region(file, path, region):
    if region is None:
        return None
    if isinstance(region, str):
        region = _split_region(region, file.header.contigs)
    if region[0] not in file.header.contigs:
        names = list(file.header.contigs)
        fail(
            f"contig {region[0]!r} of {path}",
            expected=f"one of {names[:5]}{' ...' if len(names) > 5 else ''}",
            got="no such contig in the header",
            hint="names must be spelled alike (chr20, 20)",
        )
    return region


def _split_region(text, contigs):
    name, colon, span = text.rpartition(":")
    if text in contigs or not colon:
        return text, 0, 2**31 - 1
    first, _, last = span.replace(",", "").partition("-")
    if not first.isdigit() or not (last.isdigit() or not last):
        fail("region", expected="chr, chr:from or chr:from-to", got=repr(text))
    return name, int(first) - 1, int(last) if last else 2**31 - 1


def _rows(file, path, region) -> Iterator:
    use_index = region is not None and file.index is not None
    rows = iter(file.fetch(*region) if use_index else file)
    count, place = 0, "the header"
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except (OSError, ValueError, UnicodeDecodeError) as error:
            fail(
                f"{path}, record {count + 1} (after {place})",
                expected="a VCF record",
                got=f"a broken or truncated one ({error})",
                hint="check it with `bcftools view`",
            )
        count, place = count + 1, f"{row.chrom}:{row.pos}"
        inside = region is None or (
            row.chrom == region[0] and row.start < region[2] and row.stop > region[1]
        )
        if inside:
            yield row


def _record(row, column, path):
    values: dict = {}
    if column is not None:
        sample = row.samples[column]
        present = set(row.format.keys())
        if "GT" in present:
            genotype = tuple(sample["GT"] or ())
            values["genotype"] = genotype
            values["phased"] = bool(len(genotype) > 1 and sample.phased)
        for name in ("GQ", "DP"):
            value = _scalar(sample, name, present)
            values[name.lower()] = None if value is None else round(value)
        for name in ("AD", "PL", "GP"):
            value = sample[name] if name in present else None
            value = value if isinstance(value, tuple) or value is None else (value,)
            if value is not None and None not in value:
                values[name.lower()] = value
    try:
        info = dict(row.info)
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        fail(
            f"INFO of {row.chrom}:{row.pos} in {path}",
            expected="fields as the header describes them",
            got=str(error),
            hint="check it with `bcftools view`",
        )
    if row.stop != row.start + len(row.ref):
        info["END"] = row.stop
    return VariantRecord(
        row.chrom,
        row.start,
        row.ref,
        tuple(row.alts or ()),
        qual=row.qual,
        filters=tuple(row.filter.keys()),
        info=info,
        **values,
    )


def _scalar(sample, name, present):
    value = sample[name] if name in present else None
    if isinstance(value, tuple):
        value = value[0] if value else None
    return value
