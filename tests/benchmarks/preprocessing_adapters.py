"""Adapters: where is each read cut, against cutadapt, AdapterRemoval and fastp?

    python tests/benchmarks/preprocessing_adapters.py --data ../shared/data/genomics
        --out FOLDER [--row 1 3 4]

Row 1: ART HS25 reads of 150 bases from two haplotypes of chr20:1.0-1.6 Mb with HG002's
genotypes (25x each), adapters added by `make_adapter_truth.py` (insert lengths
N(190, 70), an error in the adapter at each base's rate). Printed: share of adapter
reads cut exactly, and share of clean reads touched, for a series of thresholds, with
the default parameters and with parameters estimated from the reads themselves (no
truth); the peers; and the counting limit, which cuts the first exact overlap of at
least k bases. Default constants were chosen on chr20:6.0-7.2 Mb with other seeds.

Row 3: reads with adapter found and the lengths that are left, real small RNA.

Row 4: pairs by their overlap against fastp: of the pairs that either cuts, precision
and recall of the cut position. NA12878 as `samtools fastq` gives it, and ART pairs of
which 30 % have inserts of 40 to 149 bases.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import art_reads
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from measuring import show, write

from diffbio_eqx.operators.reads.adapter_blocks import AdapterBlocks
from diffbio_eqx.operators.reads.adapter_estimate import estimate_adapters
from diffbio_eqx.operators.reads.adapter_removal import TRUSEQ, AdapterRemoval
from diffbio_eqx.operators.reads.mate_blocks import MateBlocks
from diffbio_eqx.operators.reads.mate_overlap import MateOverlap

_CODES = np.full(256, 4, np.uint8)
_CODES[np.frombuffer(b"ACGT", np.uint8)] = np.arange(4)
_FASTA = "reference-grch38-chr20-21-10Mb/grch38.chr20_and_21_10M.fa.gz"
_GENOTYPES = "truth-hg002-grch38-chr20/HG002_v4.2.1.chr20.subset.vcf.gz"
_SMALL_RNA = "TGGAATTCTCGGGTGCCAAGGAACTC"
BLOCK = 8192


def read_fastq(path: Path) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """Names, codes and Phred, padded to a multiple of 32."""
    text = path.read_bytes().split(b"\n")[:-1]
    names = [line[1:].split()[0] for line in text[0::4]]
    lengths = np.array([len(line) for line in text[1::4]])
    width = -(-int(lengths.max()) // 32) * 32
    bases = np.full((len(names), width), 7, np.uint8)
    qualities = np.zeros((len(names), width), np.uint8)
    real = np.arange(width) < lengths[:, None]
    bases[real] = _CODES[np.frombuffer(b"".join(text[1::4]), np.uint8)]
    qualities[real] = np.frombuffer(b"".join(text[3::4]), np.uint8) - 33
    return names, bases, qualities


def lengths_by_name(path: Path) -> dict[bytes, int]:
    """Length of every read of a FASTQ."""
    text = path.read_bytes().split(b"\n")[:-1]
    short = lambda line: line[1:].split()[0].removesuffix(b"/1").removesuffix(b"/2")
    pairs = zip(text[0::4], text[1::4], strict=True)
    return {short(name): len(bases) for name, bases in pairs}


def run(command: str, folder: Path) -> None:
    """One peer, quietly."""
    subprocess.run(command, shell=True, check=True, cwd=folder, capture_output=True)


# ---- row 1 ------------------------------------------------------------------------


def adapter_set(data: Path, out: Path, seed: int, start: int, end: int) -> Path:
    """The notes' set: `adapt.fq` with the true insert length behind the name."""
    out.mkdir(parents=True, exist_ok=True)
    target = out / "adapt.fq"
    if target.exists():
        return target
    run(f"gunzip -c {data / _FASTA} > ref.fa", out)
    script = data / "simulated-example/make_haplotypes.py"
    where = f"{data / _GENOTYPES} chr20 {start} {end} {seed} sim"
    run(f"{sys.executable} {script} ref.fa {where}", out)
    for h in (1, 2):
        art = "art_illumina -q -ss HS25 -l 150 -f 25.1 -na"
        run(f"{art} -i sim.h{h}.fa -rs {seed}{h} -o h{h}", out)
        run(f"head -n 399960 h{h}.fq > part{h}.fq", out)
    run("cat part1.fq part2.fq > se.fq", out)
    text = (data / "fastq/make_adapter_truth.py").read_text()
    (out / "make.py").write_text(text.replace("seed(1)", f"seed({seed})"))
    run("python3 make.py", out)
    return target


def exact_and_touched(end: np.ndarray, insert: np.ndarray, length: int) -> tuple:
    """Share of adapter reads that are cut exactly, of clean reads that are cut."""
    has = insert < length
    return float((end == insert)[has].mean()), float((end < length)[~has].mean())


def curve(removal: AdapterRemoval, bases, qualities, insert, length) -> list:
    """(threshold, exact, touched) for a series of thresholds."""
    # A low threshold, so that every read that matters is scored.
    cutoff = jnp.asarray(np.log(1e-4), float)
    model = eqx.tree_at(lambda m: m.cutoff.raw, removal, cutoff)
    found = [
        AdapterBlocks(model)(bases[i : i + BLOCK], qualities[i : i + BLOCK])
        for i in range(0, len(bases), BLOCK)
    ]
    end, probability = (
        np.concatenate([getattr(part, name) for part in found])
        for name in ("end", "probability")
    )
    rows = []
    levels = [0.002, 0.004, 0.007, 0.01, 0.02, 0.05, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4]
    for level in [*levels, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99]:
        cut = np.where(probability > level, end, length)
        rows.append((level, *exact_and_touched(cut, insert, length)))
    return rows


def counting_limit(bases, insert, length) -> list:
    """Cut the first exact overlap of at least k bases of the adapter."""
    adapter = _CODES[np.frombuffer(TRUSEQ.encode(), np.uint8)]
    same = np.ones((len(bases), length), bool)
    for j, base in enumerate(adapter):
        same[:, : length - j] &= bases[:, j:length] == base
    rows = []
    for k in range(1, 8):
        here = same[:, : length - k + 1]
        end = np.where(here.any(1), here.argmax(1), length)
        rows.append((k, *exact_and_touched(end, insert, length)))
    return rows


def peers_single(path: Path, names, insert, length) -> dict:
    """Exact and touched of each tool."""
    folder = path.parent
    commands = {
        "cutadapt": f"cutadapt -a {TRUSEQ} -o OUT {path.name}",
        "AdapterRemoval": f"AdapterRemoval --file1 {path.name} --adapter1 {TRUSEQ} "
        "--minlength 0 --output1 OUT --discarded ar.d --settings ar.s",
        "fastp": f"fastp -i {path.name} -o OUT --adapter_sequence {TRUSEQ} -Q -L -G "
        "-w 1 -j fp.json -h fp.html",
    }
    answer = {}
    for tool, command in commands.items():
        target = folder / f"{tool}.fq"
        run(command.replace("OUT", target.name), folder)
        left = lengths_by_name(target)
        end = np.array([left.get(name, 0) for name in names])
        answer[tool] = exact_and_touched(end, insert, length)
    return answer


def row_1(data: Path, out: Path) -> dict:
    """Accuracy on ART reads with known cuts."""
    path = adapter_set(data, out / "row1", 1, 1_000_000, 1_600_000)
    names, bases, qualities = read_fastq(path)
    insert = np.array([int(name.rsplit(b":", 1)[1]) for name in names])
    length = 150
    removal = AdapterRemoval()
    learned = estimate_adapters(removal, bases[:20_000], qualities[:20_000])
    shown = {
        "default": curve(removal, bases, qualities, insert, length),
        "estimated": curve(learned, bases, qualities, insert, length),
    }
    peers = peers_single(path, names, insert, length)
    limit = counting_limit(bases, insert, length)
    print(f"\n{len(names)} reads, {(insert < length).sum()} with adapter\n")
    table = [(tool, "", f"{e:.4f}", f"{t:.4f}") for tool, (e, t) in peers.items()]
    table += [("count", k, f"{e:.4f}", f"{t:.4f}") for k, e, t in limit]
    for name, rows in shown.items():
        table += [(name, level, f"{e:.4f}", f"{t:.4f}") for level, e, t in rows]
    show(["tool", "setting", "exact", "clean touched"], table)
    timing = speed(AdapterBlocks(removal), bases, qualities)
    print(f"\n{timing:,.0f} reads a second of CPU time, arrays in, arrays out")
    return {
        "reads": len(names),
        "with_adapter": int((insert < length).sum()),
        "peers": peers,
        "counting_limit": limit,
        "curves": shown,
        "reads_per_cpu_second": timing,
    }


def speed(blocks: AdapterBlocks, bases, qualities) -> float:
    """Reads of a CPU second, compiled."""
    blocks(bases[:BLOCK], qualities[:BLOCK])
    start = time.process_time()
    for i in range(0, len(bases), BLOCK):
        blocks(bases[i : i + BLOCK], qualities[i : i + BLOCK])
    return len(bases) / (time.process_time() - start)


# ---- row 3 ------------------------------------------------------------------------


def row_3(data: Path, out: Path) -> dict:
    """Small RNA against cutadapt: reads with adapter, lengths that are left."""
    folder = out / "row3"
    folder.mkdir(parents=True, exist_ok=True)
    run(f"gunzip -c {data}/fastq/bcbio_mirqca.fastq.gz > reads.fq", folder)
    run(f"cutadapt -a {_SMALL_RNA} -o cut.fq reads.fq", folder)
    names, bases, qualities = read_fastq(folder / "reads.fq")
    text = (folder / "cut.fq").read_bytes().split(b"\n")[1:-1:4]
    theirs = np.array([len(line) for line in text])
    whole = (bases != 7).sum(1)
    removal = AdapterRemoval(_SMALL_RNA)
    answer = {"reads": len(names), "cutadapt": int((theirs < whole).sum())}
    rows = []
    for name, model in {
        "default": removal,
        "estimated": estimate_adapters(removal, bases, qualities),
    }.items():
        ours = AdapterBlocks(model)(bases, qualities).end
        top = int(whole.max()) + 1
        parts = [np.bincount(x, minlength=top) for x in (ours, theirs)]
        apart = float(np.abs(parts[0] - parts[1]).sum() / 2 / len(names))
        same = float((ours == theirs).mean())
        found = int((ours < whole).sum())
        answer[name] = {"found": found, "lengths_apart": apart, "same_cut": same}
        ratio = found / answer["cutadapt"] - 1
        rows.append(
            (name, found, answer["cutadapt"], f"{ratio:+.2%}", f"{apart:.2%}", same)
        )
    header = ["parameters", "found", "cutadapt", "difference", "lengths apart", "same"]
    print()
    show(header, rows)
    return answer


# ---- row 4 ------------------------------------------------------------------------


def art_pairs(
    data: Path, folder: Path, region: str = "2000001-2600000", seed: int = 5
) -> None:
    """ART pairs of which 30 % run into the adapter: `r1.fq`, `r2.fq`."""
    run(f"samtools faidx {data / _FASTA} chr20:{region} > ref.fa", folder)
    art = f"art_illumina -q -ss HS25 -p -l 150 -f 20 -m 400 -s 80 -ef -na -rs {seed}"
    run(f"{art} -i ref.fa -o art", folder)
    pairs = art_reads.read_pairs(str(folder / "art"), error_free=True)
    pairs = art_reads.read_into_adapters(np.random.default_rng(seed), pairs, 0.3)
    art_reads.write_fastq(pairs, folder / "r1.fq", folder / "r2.fq")


def fresh_art_pairs(data: Path, folder: Path) -> None:
    """The same of another region and seed, made once nothing was tuned any more."""
    art_pairs(data, folder, "7000001-7600000", 6)


def na12878_pairs(data: Path, folder: Path) -> None:
    """NA12878's pairs in the order of their names."""
    bam = data / "illumina-na12878/NA12878_S1.chr20.10_10p1mb.bam"
    run(
        f"samtools collate -O -u {bam} part | "
        "samtools fastq -1 r1.fq -2 r2.fq -0 /dev/null -s /dev/null -n -",
        folder,
    )


def row_4(data: Path, out: Path) -> dict:
    """Pairs against fastp."""
    answer, rows = {}, []
    sets = {"NA12878": na12878_pairs, "ART": art_pairs, "ART, fresh": fresh_art_pairs}
    for name, make in sets.items():
        folder = out / f"row4_{name.replace(', ', '_')}"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "r2.fq").exists():
            make(data, folder)
        run(
            "fastp -i r1.fq -I r2.fq -o f1.fq -O f2.fq -Q -L -G -w 1 "
            "-j fp.json -h fp.html",
            folder,
        )
        (names, b1, q1), (_, b2, q2) = (
            read_fastq(folder / f"r{mate}.fq") for mate in (1, 2)
        )
        key = [n.removesuffix(b"/1") for n in names]
        whole = np.stack([(b != 7).sum(1) for b in (b1, b2)])
        theirs = [lengths_by_name(folder / f"f{mate}.fq") for mate in (1, 2)]
        theirs = np.array([[left.get(k, 0) for k in key] for left in theirs])
        blocks = MateBlocks(MateOverlap())
        blocks(b1[:1024], q1[:1024], b2[:1024], q2[:1024])
        start = time.process_time()
        parts = [
            blocks(*(x[i : i + BLOCK] for x in (b1, q1, b2, q2)))
            for i in range(0, len(names), BLOCK)
        ]
        spent = time.process_time() - start
        ours = np.stack(
            [
                np.concatenate([getattr(p, f) for p in parts])
                for f in ("end", "mate_end")
            ]
        )
        cut, their_cut = ((x < whole).any(0) for x in (ours, theirs))
        same = cut & their_cut & (ours == theirs).all(0)
        precision, recall = same.sum() / cut.sum(), same.sum() / their_cut.sum()
        result = {
            "pairs": len(names),
            "ours": int(cut.sum()),
            "fastp": int(their_cut.sum()),
            "same": int(same.sum()),
            "precision": float(precision),
            "recall": float(recall),
            "pairs_per_cpu_second": len(names) / spent,
        }
        if name != "NA12878":
            truth = np.array(
                [int(n.split(b":insert")[1]) if b":insert" in n else 150 for n in key]
            )
            for tool, ends in (("ours", ours), ("fastp", theirs)):
                right = (ends == np.minimum(truth, 150)).all(0)
                result[f"{tool}_right"] = float(right.mean())
                result[f"{tool}_right_of_short"] = float(right[truth < 150].mean())
        answer[name] = result
        rows.append([name, *(f"{v:.5g}" for v in result.values())])
        odd = np.flatnonzero((cut | their_cut) & ~same)[:8]
        for i in odd:
            print(key[i].decode(), "ours", ours[:, i], "fastp", theirs[:, i])
    print()
    show(
        ["set", *answer["NA12878"]], [row[: 1 + len(answer["NA12878"])] for row in rows]
    )
    return answer


def main() -> None:
    """Run the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--row", type=int, nargs="+", default=[1, 3, 4])
    given = parser.parse_args()
    rows = {1: row_1, 3: row_3, 4: row_4}
    for row in given.row:
        result = rows[row](given.data.resolve(), given.out.resolve())
        write(f"preprocessing_adapters_{row}", result)


if __name__ == "__main__":
    main()
