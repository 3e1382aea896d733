"""A simulation as the files that a sequencing project has."""

import dataclasses
import os
import shutil
import struct
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np

from diffbio_eqx._checks import fail, require_extra
from diffbio_eqx.io.bam_writing import bam_records
from diffbio_eqx.simulate.genomes import DiploidGenome
from diffbio_eqx.simulate.reads import SimulatedReads

_LINE = 60  # bases on a line of the FASTA
_READS_AT_ONCE = 16384
_LETTERS = np.frombuffer(b"ACGTN", np.uint8)


@dataclasses.dataclass(frozen=True)
class SimulationFiles:
    """Where a simulation lies: FASTA, sorted BAM, truth VCF, confident BED."""

    reference: Path
    reads: Path
    truth: Path
    confident: Path


def _write_reference(pysam: ModuleType, path: Path, contig: str, codes) -> None:
    text = _LETTERS[codes].tobytes()
    lines = [text[i : i + _LINE] for i in range(0, len(text), _LINE)]
    path.write_bytes(b">" + contig.encode() + b"\n" + b"\n".join(lines) + b"\n")
    pysam.faidx(str(path))


def _write_reads(pysam, path: Path, contig, sample, size, reads: SimulatedReads):
    text = (
        f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:{contig}\tLN:{size}\n"
        f"@RG\tID:{sample}\tSM:{sample}\tPL:ILLUMINA\tLB:{sample}\n"
    ).encode()
    name = contig.encode() + b"\0"
    header = b"BAM\1" + struct.pack("<i", len(text)) + text
    header += struct.pack("<ii", 1, len(name)) + name + struct.pack("<i", size)
    tags = b"RGZ" + sample.encode() + b"\0"
    with pysam.BGZFile(str(path), "wb") as file:
        file.write(header)
        for low in range(0, len(reads), _READS_AT_ONCE):
            part = slice(low, min(low + _READS_AT_ONCE, len(reads)))
            first, last = reads.cigar_begin[part.start], reads.cigar_begin[part.stop]
            file.write(
                bam_records(
                    bases=reads.bases[part],
                    qualities=reads.qualities[part],
                    start=reads.start[part],
                    end=reads.end[part],
                    cigar_operation=reads.cigar_operation[first:last],
                    cigar_length=reads.cigar_length[first:last],
                    cigar_begin=reads.cigar_begin[part.start : part.stop + 1] - first,
                    flag=reads.flag[part],
                    mapping_quality=reads.mapping_quality[part],
                    mate_start=reads.mate_start[part],
                    template_length=reads.template_length[part],
                    number=reads.fragment[part],
                    prefix="sim",
                    tags=tags,
                )
            )
    pysam.index(str(path))


def _write_truth(pysam, path: Path, contig, sample, genome: DiploidGenome) -> None:
    head = (
        "##fileformat=VCFv4.3\n"
        f"##contig=<ID={contig},length={len(genome.reference)}>\n"
        '##FILTER=<ID=PASS,Description="All filters passed">\n'
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
        f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{sample}\n"
    )
    variants = genome.variants
    text = _LETTERS[variants.allele_bases].tobytes().decode()
    rows = zip(
        variants.start.tolist(),
        variants.allele_begin.tolist(),
        variants.allele_length.tolist(),
        variants.genotype.tolist(),
        strict=True,
    )
    lines = []
    for start, begin, length, (first, second) in rows:
        spelled = [text[b : b + n] for b, n in zip(begin, length, strict=True) if n]
        lines.append(
            f"{contig}\t{start + 1}\t.\t{spelled[0]}\t{','.join(spelled[1:])}"
            f"\t.\tPASS\t.\tGT\t{first}|{second}\n"
        )
    with pysam.BGZFile(str(path), "wb") as file:
        file.write((head + "".join(lines)).encode())
    pysam.tabix_index(str(path), preset="vcf", force=True)


def write_simulation(
    folder: str | os.PathLike[str],
    genome: DiploidGenome,
    reads: SimulatedReads,
    *,
    contig: str = "chr1",
    sample: str = "SIM",
    margin: int = 200,
) -> SimulationFiles:
    """Write `reference.fa`, `reads.bam`, `truth.vcf.gz`, `confident.bed`, all indexed.

    The BAM is sorted and has a read group with `sample`; the truth has phased
    genotypes; the confident region is the contig without `margin` positions at either
    end, where depth falls off. The folder is made beside its place and renamed, so
    that it is there whole or not at all.

    **Returns** the paths. **Raises** `ValueError` when the folder exists and is not
    empty, `ImportError` without pysam.
    """
    pysam = require_extra("pysam", "genomics")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fail(
            "folder of a simulation",
            expected="a folder that is new or empty",
            got=str(folder),
            hint="choose another, or delete this one first",
        )
    size = len(genome.reference)
    if not 0 <= 2 * margin < size:
        fail("margin", expected=f"0 to {(size - 1) // 2} positions", got=margin)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write_reference(pysam, part / "reference.fa", contig, genome.reference)
        _write_reads(pysam, part / "reads.bam", contig, sample, size, reads)
        _write_truth(pysam, part / "truth.vcf.gz", contig, sample, genome)
        bed = f"{contig}\t{margin}\t{size - margin}\n"
        (part / "confident.bed").write_text(bed)
        part.chmod(0o755)
        os.replace(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return SimulationFiles(
        reference=folder / "reference.fa",
        reads=folder / "reads.bam",
        truth=folder / "truth.vcf.gz",
        confident=folder / "confident.bed",
    )
