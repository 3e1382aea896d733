"""Are duplicates found as samtools finds them, and in time linear in reads?

    python tests/benchmarks/preprocessing_duplicates.py [--store] [--repeats 5]

1. Aligned: `mark_duplicates` on the NA12878 slice against `samtools sort -n`,
   `fixmate -m`, `sort`, `markdup` (without and with `-c`): recall and precision over
   records, the records that differ, CPU seconds of both routes. The same on fresh
   simulated pairs (1 Mb at 20x, 20 % copies, soft clips, 10 % with short inserts),
   which no rule was made for.
2. Without alignment: ART pairs (HS25, 2 x 150, GRCh38 chr20) of which 20 % are copies
   with qualities and errors of their own. CPU seconds of keys and families at 400,000
   reads over 100,000 reads (median of `--repeats` after a run to warm up), and recall
   and precision of copies against the truth: of pairs of reads that are (called)
   copies of each other.
"""

import argparse
import collections
import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pysam
from art_reads import Pairs, add_copies, read_pairs
from measuring import alternate, middle, show, write

from diffbio_eqx.data.duplicate_keys import (
    duplicate_families,
    read_keys,
    read_quality,
)
from diffbio_eqx.data.reads import Reads
from diffbio_eqx.io.simulation import write_simulation
from diffbio_eqx.jobs.mark_duplicates import mark_duplicates
from diffbio_eqx.simulate.genomes import simulate_genome
from diffbio_eqx.simulate.read_options import ReadOptions
from diffbio_eqx.simulate.reads import simulate_reads

_ROOT = Path(__file__).resolve().parents[2]
_CODES = np.full(256, 4, np.uint8)
_CODES[np.frombuffer(b"ACGT", np.uint8)] = np.arange(4)


def data_folder() -> Path:
    """The folder of genomic data."""
    data = Path(os.environ.get("DIFFBIO_EQX_DATA", _ROOT.parent / "shared"))
    return data / "data/genomics"


def flagged(path: Path) -> collections.Counter:
    """Records with the duplicate flag: name, mate, place."""
    with pysam.AlignmentFile(path) as file:
        marked = (read for read in file if read.is_duplicate)
        key = lambda r: (r.query_name, r.is_read2, r.pos, r.cigarstring)
        return collections.Counter(map(key, marked))


def simulated_alignments(folder: Path) -> Path:
    """A BAM of simulated pairs with copies."""
    options = ReadOptions(
        coverage=20.0, duplicates=0.2, unmarked=0.5, short_inserts=0.1, clip_within=5
    )
    genome = simulate_genome(1_000_000, seed=61)
    reads = simulate_reads(genome, options, seed=61)
    return Path(write_simulation(folder / "simulated", genome, reads).reads)


def aligned(folder: Path) -> dict:
    """Row 6."""
    real = data_folder() / "illumina-na12878/NA12878_S1.chr20.10_10p1mb.bam"
    found, rows = {}, []
    for name, source, option, clear in (
        ("kept", real, "", False),
        ("cleared", real, "-c", True),
        ("simulated", simulated_alignments(folder), "-c", True),
    ):
        before = os.times()
        subprocess.run(
            f"samtools sort -n {source} 2>/dev/null | samtools fixmate -m - - | "
            f"samtools sort - 2>/dev/null | samtools markdup {option} - theirs.bam",
            shell=True,
            check=True,
            cwd=folder,
        )
        after = os.times()
        theirs_time = sum(after[2:4]) - sum(before[2:4])
        start = time.process_time()
        mark_duplicates(source, folder / "ours.bam", clear_flags=clear)
        spent = time.process_time() - start
        ours, theirs = flagged(folder / "ours.bam"), flagged(folder / "theirs.bam")
        same = sum((ours & theirs).values())
        values = {
            "ours": sum(ours.values()),
            "samtools": sum(theirs.values()),
            "recall": same / sum(theirs.values()),
            "precision": same / sum(ours.values()),
            "only_ours": [list(key) for key in ours - theirs],
            "only_samtools": [list(key) for key in theirs - ours],
            "seconds": spent,
            "samtools_seconds": theirs_time,
        }
        found[name] = values
        numbers = [f"{values[k]:.4f}" for k in ("recall", "precision")]
        times = [f"{spent:.1f}", f"{theirs_time:.1f}"]
        rows.append([name, values["ours"], values["samtools"], *numbers, *times])
    show(
        "old flags,ours,samtools,recall,precision,seconds,samtools".split(","),
        rows,
    )
    return found


def simulate(folder: Path, pairs: int, seed: int) -> tuple[Reads, np.ndarray]:
    """ART pairs with 20 % copies, in random order, and the fragment of each."""
    reference = data_folder() / (
        "reference-grch38-chr20-21-10Mb/grch38.chr20_and_21_10M.fa.gz"
    )
    with pysam.FastaFile(str(reference)) as fasta:
        name = next(x for x in fasta.references if x.endswith("20"))
        bases = fasta.fetch(name, 3_000_000, 8_000_000)
    (folder / "part.fa").write_text(f">part\n{bases}\n")
    fold = 0.8 * pairs * 300 / len(bases)
    command = "art_illumina -ss HS25 -i part.fa -p -l 150 -m 400 -s 80 -na -ef -sam"
    subprocess.run(
        [*command.split(), "-f", f"{fold:.6f}", "-rs", str(seed), "-o", "art"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    plain = read_pairs(str(folder / "art"), error_free=True)
    rng = np.random.default_rng(seed)
    everything: Pairs = add_copies(rng, plain, 0.2)
    number = {name: i for i, name in enumerate(plain.names)}
    source = np.array([number[n.split(b":copy")[0]] for n in everything.names])
    order = rng.permutation(len(source))
    mates = [
        (_CODES[everything.bases[order, mate]], everything.qualities[order, mate])
        for mate in (0, 1)
    ]
    reads = Reads.from_arrays(*mates[0], mate=Reads.from_arrays(*mates[1]))
    return reads, source[order]


def pairs_in(*labels: np.ndarray) -> float:
    """Pairs of rows that agree in all labels."""
    _, sizes = np.unique(np.stack(labels), axis=1, return_counts=True)
    return float((sizes * (sizes - 1) / 2).sum())


def unaligned(folder: Path, repeats: int) -> dict:
    """Row 8."""
    sets = {size: simulate(folder, size // 2, 100 + size) for size in (100000, 400000)}

    def whole(reads):
        return duplicate_families(read_keys(reads), read_quality(reads)).family

    routes = {
        str(size): lambda reads=reads: whole(reads) for size, (reads, _) in sets.items()
    }
    spent = alternate(routes, repeats)
    middles = {name: float(np.median(times)) for name, times in spent.items()}
    ratio = middles["400000"] / middles["100000"]
    rows, found = [], {"ratio": ratio, "seconds": middles}
    for size, (reads, source) in sets.items():
        block = duplicate_families(read_keys(reads), read_quality(reads))
        copy = block.certain | (block.similarity >= 0.95)
        family = np.where(copy, block.family, -1 - np.arange(len(copy)))
        both = pairs_in(source, family)
        recall = both / pairs_in(source)
        precision = both / max(1.0, pairs_in(family))
        found[f"quality_{size}"] = {"recall": recall, "precision": precision}
        rate = f"{2 * len(source) / middles[str(size)] / 1e3:.0f} k"
        times = middle(spent[str(size)])
        rows.append([size, times, rate, f"{recall:.5f}", f"{precision:.5f}"])
    show(["reads", "CPU seconds", "reads/s", "recall", "precision"], rows)
    print(f"\n400 k over 100 k reads: {ratio:.2f} times the time (at most 5 wanted)")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        results = {"aligned": aligned(Path(scratch))}
        print()
        results["unaligned"] = unaligned(Path(scratch), given.repeats)
    if given.store:
        write("preprocessing_duplicates", results)


if __name__ == "__main__":
    main()
