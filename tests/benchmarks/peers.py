"""Other callers, run as they are in published comparisons: bcftools and freebayes.

    bcftools mpileup -d 1000 -q 1 -f REF BAM | bcftools call -mv | bcftools norm -f REF
    freebayes --min-mapping-quality 5 -f REF BAM | bcftools norm -f REF

Each function writes an indexed `.vcf.gz` and returns a `PeerRun`: its path, and the
CPU seconds of all its processes.

    python tests/benchmarks/peers.py READS.bam REF.fa OUT_FOLDER [chr:from-to]
"""

import dataclasses
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class PeerRun:
    """One run of a peer: its calls, CPU seconds (user + system) and wall seconds."""

    path: Path
    cpu: float
    wall: float


def run_bcftools(
    reads: str | os.PathLike,
    reference: str | os.PathLike,
    out: str | os.PathLike,
    *,
    region: str | None = None,
) -> PeerRun:
    """`bcftools mpileup | call -mv | norm`."""
    bam, fasta = shlex.quote(str(reads)), shlex.quote(str(reference))
    where = f"-r {shlex.quote(region)}" if region else ""
    return _run(
        f"bcftools mpileup -d 1000 -q 1 {where} -f {fasta} {bam} | bcftools call -mv",
        fasta,
        out,
        ("bcftools",),
    )


def run_freebayes(
    reads: str | os.PathLike,
    reference: str | os.PathLike,
    out: str | os.PathLike,
    *,
    region: str | None = None,
) -> PeerRun:
    """`freebayes --min-mapping-quality 5 | bcftools norm`.

    freebayes cannot read a compressed FASTA: one that ends in .gz is unpacked beside
    the output.
    """
    fasta = Path(reference)
    if fasta.suffix == ".gz":
        plain = Path(out).with_name(fasta.stem)
        if not plain.exists():
            with open(plain, "wb") as file:
                subprocess.run(["bgzip", "-dc", str(fasta)], stdout=file, check=True)
            subprocess.run(["samtools", "faidx", str(plain)], check=True)
        fasta = plain
    where = ""
    if region:
        name, colon, span = region.rpartition(":")
        if colon:  # freebayes counts from 0, the end stays out
            first, _, last = span.replace(",", "").partition("-")
            region = f"{name}:{int(first) - 1}-{last}"
        where = f"-r {shlex.quote(region)}"
    quoted = shlex.quote(str(fasta))
    bam = shlex.quote(str(reads))
    return _run(
        f"freebayes --min-mapping-quality 5 -f {quoted} {where} {bam}",
        quoted,
        out,
        ("bcftools", "freebayes"),
    )


def _run(call, fasta, out, tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise FileNotFoundError(f"not installed: {', '.join(missing)}")
    path = Path(out)
    norm = f"bcftools norm -f {fasta} -Oz -o {shlex.quote(str(path))} -"
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{call} | {norm}"],
        capture_output=True,
        text=True,
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{call} failed: {done.stderr[-1000:]}")
    subprocess.run(["bcftools", "index", "-f", "-t", str(path)], check=True)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return PeerRun(path, cpu, wall)


def main(arguments: list[str]) -> None:
    reads, reference, folder, *region = arguments
    Path(folder).mkdir(parents=True, exist_ok=True)
    where = region[0] if region else None
    for name, run in (("bcftools", run_bcftools), ("freebayes", run_freebayes)):
        result = run(reads, reference, Path(folder) / f"{name}.vcf.gz", region=where)
        print(f"{result.path}: {result.cpu:.1f} s CPU, {result.wall:.1f} s wall")


if __name__ == "__main__":
    main(sys.argv[1:])
