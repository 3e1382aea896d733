"""Lines of a VCF 4.3 file: the header and one record."""

import re
from collections.abc import Collection, Mapping

from diffbio_eqx._checks import fail
from diffbio_eqx.data.variant_records import VariantRecord

UNSEEN = "<*>"
_BASES = re.compile("[ACGTN]+")
_ALT = re.compile(r"[ACGTN]+|\*|<\*>")
_FORMAT = """\
GT,1,String,Genotype
GQ,1,Integer,Phred-scaled posterior probability that the genotype is not the called one
DP,1,Integer,Depth of the reads that were counted
AD,R,Integer,Reads of each allele
PL,G,Integer,Phred-scaled genotype likelihoods rounded to integers
GP,G,Float,Posterior probabilities of the genotypes
"""
_MIN_DP = "MIN_DP,1,Integer,Smallest depth in the reference block\n"
_INFO = {
    "END": ("1", "Integer", "Last position of the record"),
    "DP": ("1", "Integer", "Depth of the reads that were counted"),
}


def header_lines(
    contigs: Mapping[str, int],
    sample: str,
    *,
    source: str,
    command: str,
    reference: str,
    filters: Mapping[str, str],
    info: Mapping[str, tuple[str, str, str]],
    gvcf: bool,
) -> list[str]:
    """The header, line by line, without line ends."""
    one_line = lambda text: " ".join(text.split())
    lines = ["##fileformat=VCFv4.3", f"##source={source}"]
    if command:
        lines.append(f"##commandline={one_line(command)}")
    if reference:
        lines.append(f"##reference={one_line(reference)}")
    lines.append('##FILTER=<ID=PASS,Description="All filters passed">')
    for name, text in filters.items():
        if name != "PASS":
            lines.append(f'##FILTER=<ID={name},Description="{text}">')
    for name, length in contigs.items():
        lines.append(f"##contig=<ID={name},length={length}>")
    if gvcf:
        lines.append('##ALT=<ID=*,Description="Any allele that was not seen">')
    for name, (number, kind, text) in (_INFO | dict(info)).items():
        lines.append(
            f'##INFO=<ID={name},Number={number},Type={kind},Description="{text}">'
        )
    for row in (_FORMAT + (_MIN_DP if gvcf else "")).splitlines():
        name, number, kind, text = row.split(",", 3)
        lines.append(
            f'##FORMAT=<ID={name},Number={number},Type={kind},Description="{text}">'
        )
    columns = "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".split()
    lines.append("\t".join([*columns, sample]))
    return lines


def record_line(record: VariantRecord, *, min_depth: int | None = None) -> str:
    """One record as a line, line end included; absent fields are left out."""
    phase = "|" if record.phased else "/"
    genotype = phase.join("." if a is None else str(a) for a in record.genotype)
    fields = [("GT", genotype or ".")]
    for name, value in (("GQ", record.gq), ("DP", record.dp), ("MIN_DP", min_depth)):
        if value is not None:
            fields.append((name, str(value)))
    for name, row, pattern in (
        ("AD", record.ad, "d"),
        ("PL", record.pl, "d"),
        ("GP", record.gp, ".6g"),
    ):
        if row is not None:
            fields.append((name, ",".join(format(x, pattern) for x in row)))
    names, values = zip(*fields, strict=True)
    columns = (
        record.contig,
        str(record.position + 1),
        ".",
        record.ref,
        ",".join(record.alts) or ".",
        "." if record.qual is None else f"{record.qual:.6g}",
        ";".join(record.filters) or ".",
        ";".join(_info_entry(*entry) for entry in record.info.items()) or ".",
        ":".join(names),
        ":".join(values),
    )
    return "\t".join(columns) + "\n"


def _info_entry(name, value):
    if value is True:
        return name
    values = value if isinstance(value, tuple | list) else (value,)
    text = (format(x, ".6g") if isinstance(x, float) else str(x) for x in values)
    return f"{name}={','.join(text)}"


def check_record(
    record: VariantRecord,
    lengths: Mapping[str, int],
    filters: Collection[str],
    info: Collection[str],
) -> None:
    """Raise `ValueError` for a record that would make a VCF nobody can read."""
    what = f"record {record.label}"
    if record.contig not in lengths:
        hint = "pass its length in `contigs`"
        fail(what, expected="a contig of the header", got=record.contig, hint=hint)
    if not 0 <= record.position < record.end <= lengths[record.contig]:
        got = f"[{record.position}, {record.end}) (0-based)"
        expected = f"to lie inside the contig's {lengths[record.contig]} bases"
        fail(what, expected=expected, got=got)
    if not _BASES.fullmatch(record.ref):
        fail(what, expected="REF in bases A C G T N", got=repr(record.ref))
    for alt in record.alts:
        if not _ALT.fullmatch(alt) or alt == record.ref:
            expected = "each ALT in bases A C G T N other than REF, or * or <*>"
            fail(what, expected=expected, got=repr(alt))
    count, ploidy = 1 + len(record.alts), len(record.genotype) or 2
    if any(a is not None and not 0 <= a < count for a in record.genotype):
        expected = f"allele indexes below {count}"
        fail(f"genotype of {what}", expected=expected, got=record.genotype)
    sizes = {"ad": count, "pl": count, "gp": count}
    if ploidy == 2:
        sizes |= {"pl": count * (count + 1) // 2, "gp": count * (count + 1) // 2}
    for name, size in sizes.items():
        row = getattr(record, name)
        if row is not None and len(row) != size:
            fail(f"{name} of {what}", expected=f"{size} numbers", got=len(row))
    if unknown := set(record.filters) - set(filters):
        hint = "describe it in the writer's `filters`"
        fail(f"FILTER of {what}", expected=sorted(filters), got=unknown, hint=hint)
    if unknown := set(record.info) - set(info):
        hint = "describe it in the writer's `info`"
        fail(f"INFO of {what}", expected=sorted(info), got=unknown, hint=hint)
