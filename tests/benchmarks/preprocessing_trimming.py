"""Is hard trimming the same as that of cutadapt and fastp on real reads?

    python tests/benchmarks/preprocessing_trimming.py DATA_FOLDER SCRATCH_FOLDER

Runs the installed tools on the real FASTQ sets and on the reads of the NA12878 BAM (by
`samtools fastq`), and compares read by read. Prints, for each set and rule, the reads,
those that either cuts or drops, and the shares that agree among both.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from measuring import show, write

from diffbio_eqx.io import read_fastq_blocks
from diffbio_eqx.operators.reads.poly_tail import PolyTail
from diffbio_eqx.operators.reads.quality_trimming import QualityTrimming
from diffbio_eqx.operators.reads.read_filter import ReadFilter
from diffbio_eqx.operators.reads.sliding_window import SlidingWindowTrimming

FASTP = "fastp -w 1 -A -j /dev/null -h /dev/null"
BARE = f"{FASTP} -G -Q -L"
RULES = {
    "cutadapt -q 20": ("cutadapt", QualityTrimming(20.0)),
    "cutadapt -q 15,10": ("cutadapt", QualityTrimming(10.0, 15.0)),
    "cutadapt --nextseq-trim 20": ("cutadapt", QualityTrimming(20.0, nextseq=True)),
    "--cut_front": (BARE, SlidingWindowTrimming(20.0, "front")),
    "--cut_tail": (BARE, SlidingWindowTrimming(20.0, "tail")),
    "--cut_right": (BARE, SlidingWindowTrimming(20.0, "right")),
    "-g": (f"{FASTP} -Q -L", PolyTail(10)),
    "-x": (f"{FASTP} -G -Q -L", PolyTail(10, "any")),
    "-q 15 -u 40 -n 5 -l 15": (f"{FASTP} -G", ReadFilter()),
    "-e 25": (f"{FASTP} -G", ReadFilter(mean_quality=25.0)),
    "cutadapt --max-ee 1": (
        "cutadapt",
        ReadFilter(
            unqualified_percent=None,
            maximum_n=None,
            minimum_length=None,
            maximum_errors=1.0,
        ),
    ),
}


def records(path: Path) -> list[tuple[bytes, bytes]]:
    """Name and sequence of each read; no file and no read are an empty list."""
    if not path.exists() or not path.stat().st_size:
        return []
    found = []
    for block in read_fastq_blocks(path):
        lines = block.to_text().tobytes().split(b"\n")
        found += zip(lines[0::4], lines[1::4], strict=False)
    return [one for one in found if one[0]]


def ours(operator, path: Path) -> list[bytes]:
    """What is left of each read, empty where it is dropped."""
    left = []
    for block in read_fastq_blocks(path):
        start, end = np.zeros_like(block.lengths), block.lengths
        if isinstance(operator, ReadFilter):
            keep, _ = operator.block_passes(block.bases, block.qualities, start, end)
            end = np.where(keep, end, 0)
        else:
            start, end = operator.block_spans(block.bases, block.qualities, start, end)
        left += block.to_text(start, end).tobytes().split(b"\n")[1::4]
    return left


def theirs(command: str, reads: list, path: Path, out: Path) -> list[bytes]:
    """What the tool leaves of each read."""
    out.unlink(missing_ok=True)
    words = command.split()
    files = ["-o", str(out)]
    files = [*files, "-i", str(path)] if words[0] == "fastp" else [*files, str(path)]
    subprocess.run([*words, *files], check=True, capture_output=True)
    left, kept = [], iter(records(out))
    following = next(kept, None)
    for name, _ in reads:  # names may repeat: the order is that of the file
        if following is not None and following[0] == name:
            left.append(following[1])
            following = next(kept, None)
        else:
            left.append(b"")
    if following is not None:
        raise RuntimeError("the tool changed the order of reads")
    return left


def main() -> None:
    """Compare and print."""
    data, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    folder = data / "data/genomics"
    bam = folder / "illumina-na12878/NA12878_S1.chr20.10_10p1mb.bam"
    sets = {"NA12878": scratch / "na12878.fq"}
    done = subprocess.run(["samtools", "fastq", str(bam)], capture_output=True)
    sets["NA12878"].write_bytes(done.stdout)
    for name in ("bcbio_mirqca.fastq.gz", "picard_5k-30BB2AAXX.3.fastq"):
        sets[name.split("_")[0]] = folder / "fastq" / name
    rows, totals = [], {"reads": 0, "same": 0, "cut": 0, "same of cut": 0}
    for name, path in sets.items():
        reads = records(path)
        before = [one[1] for one in reads]
        for rule, (tool, operator) in RULES.items():
            command = rule if tool == "cutadapt" else f"{tool} {rule}"
            other = theirs(command, reads, path, scratch / "out.fq")
            mine = ours(operator, path)
            cut = same = both = 0
            for a, b, whole in zip(mine, other, before, strict=True):
                touched = a != whole or b != whole
                cut, same = cut + touched, same + (a == b)
                both += touched and a == b
            parts = (len(mine), same, cut, both)
            for key, value in zip(totals, parts, strict=True):
                totals[key] += value
            share = f"{both / cut:.5f}" if cut else "-"
            label = rule if tool == "cutadapt" else f"fastp {rule}"
            rows.append((name, label, len(mine), cut, f"{same / len(mine):.6f}", share))
    show(["set", "rule", "reads", "cut by either", "identical", "of those cut"], rows)
    print(totals)
    write("preprocessing_trimming", {"rows": rows, "totals": totals})


if __name__ == "__main__":
    main()
