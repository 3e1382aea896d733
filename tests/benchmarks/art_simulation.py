"""Data sets with exact truth from real GRCh38 sequence, HG002 genotypes and ART reads.

The recipe: two haplotypes of a slice of chr20 carry HG002's real genotypes with
random phase (records that touch another are left out, so the truth is exact; where
HG002 has no genotypes, 4.9-5.2 and 8.9-10 Mb, random ones are drawn on request),
`art_illumina -ss HS25 -p -l 150 -m 400 -s 80` reads each haplotype at half of the
coverage, `minimap2 -ax sr` aligns, `samtools` sorts and thins:

    art_illumina -q -ss HS25 -i hH.fa -p -l 150 -f COVERAGE/2 -m 400 -s 80
                 -rs {10 * read_seed + H} -na -o hH.          (H = 1, 2)
    minimap2 -t1 -ax sr -R '@RG\\tID:sim\\tSM:SIM' chr20.fa r1.fq r2.fq
        | samtools sort -o sim.bam -
    samtools view -b -s {read_seed}.{fraction} sim.bam -o thin.bam

The altered sets change the reads before alignment (`art_reads`): 10 % of the pairs
run into the adapter, 15 % are PCR copies that nobody marked, and of the bases
reported at Q41 2 % are made wrong (a true Q17).

Run `python tests/benchmarks/art_simulation.py --data FOLDER --out FOLDER [NAME ...]`;
`SETS` holds regions and seeds, `manifest.json` in the output folder says what lies
where. A set is made once: its folder carries a digest of what it was made from.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import art_reads
import numpy as np
import pysam

_VERSION = 1
_FASTA = "reference-grch38-chr20-21-10Mb/grch38.chr20_and_21_10M.fa.gz"
_GENOTYPES = "truth-hg002-grch38-chr20/HG002_v4.2.1.chr20.subset.vcf.gz"
_MARGIN = 300  # positions at either end of a region outside of the scored region


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one set is made; `thin` lists the coverages drawn from it besides."""

    start: int
    end: int
    coverage: float
    haplotype_seed: int
    read_seed: int
    profile: str = "HS25"
    thin: tuple[float, ...] = ()
    adapters: float = 0.0
    copies: float = 0.0
    true_error: tuple[tuple[int, float], ...] = ()
    binned: bool = False
    spike: float = 0.0
    contig: str = "chr20"

    def digest(self) -> str:
        text = json.dumps([_VERSION, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def altered(self) -> bool:
        return self.adapters > 0 or self.copies > 0


_ALTERED = {"adapters": 0.10, "copies": 0.15, "true_error": ((41, 0.02),)}


def _sets() -> dict[str, Recipe]:
    sets = {"dev": Recipe(6_400_000, 7_400_000, 30, 11, 11, thin=(10,))}
    for seed in (12, 13):  # for choices that need more than one draw of reads
        sets[f"dev_{seed}"] = Recipe(7_500_000, 8_700_000, 30, seed, seed, thin=(10,))
    places = {
        "a": (1_700_000, 2_900_000),
        "b": (3_700_000, 4_800_000),
        "c": (5_300_000, 6_300_000),
    }
    for i, (name, (start, end)) in enumerate(places.items()):
        sets[f"eval_{name}"] = Recipe(start, end, 30, 21 + i, 21 + i, thin=(10,))
    for seed in (1, 2, 3):  # the same haplotypes as eval_c
        sets[f"eval_c_altered_{seed}"] = Recipe(
            5_300_000, 6_300_000, 10, 23, 40 + seed, **_ALTERED
        )
    training = ((6_400_000, 7_400_000), (7_500_000, 8_100_000), (8_100_000, 8_700_000))
    for i, (start, end) in enumerate(training):
        for seed in (1, 2, 3):
            sets[f"train_{i + 1}_altered_{seed}"] = Recipe(
                start, end, 10, 11 + 40 * i, 50 + 10 * i + seed, **_ALTERED
            )
    sets["speed_5mb"] = Recipe(100_000, 5_100_000, 30, 81, 81, spike=1e-3)
    sets["memory_10mb"] = Recipe(60_000, 10_000_000, 30, 91, 91, spike=1e-3)
    return sets


SETS = _sets()


def prepare_reference(data: Path, out: Path, contig: str) -> Path:
    """`contig` of the packed reference as plain FASTA with its index."""
    path = out / "reference" / f"{contig}.fa"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with pysam.FastaFile(str(data / _FASTA)) as packed:
            text = packed.fetch(contig).upper()
        part = path.with_name(f"{contig}.part.fa")
        part.write_text(f">{contig}\n" + text + "\n")
        os.replace(part, path)
        pysam.faidx(str(path))
    return path


def genotypes(data: Path, recipe: Recipe, rng: random.Random) -> list[tuple]:
    """(start, stop, alleles, copies of the two haplotypes), none touching another."""
    found, last = [], -1
    low, high = recipe.start + 200, recipe.end - 200
    with pysam.VariantFile(str(data / _GENOTYPES)) as records:
        for record in records.fetch(recipe.contig, low, high):
            pair = list(record.samples[0]["GT"])
            if (
                record.start < last + 1
                or None in pair
                or len(pair) != 2
                or not any(pair)
            ):
                continue
            if record.stop > high or set("".join(record.alleles)) - set("ACGT"):
                continue
            rng.shuffle(pair)
            found.append((record.start, record.stop, record.alleles, tuple(pair)))
            last = record.stop
    return found


def spiked(recipe: Recipe, reference: str, found: list, rng: random.Random) -> list:
    """Random SNVs and short indels in the stretches over 50 kb without genotypes."""
    edges = [recipe.start + 200, *(f[0] for f in found), recipe.end - 200]
    new = []
    for low, high in zip(edges, edges[1:], strict=False):
        place = low + 1000
        while recipe.spike and high - low > 50_000:
            place += 3 + int(rng.expovariate(recipe.spike))
            if place > high - 1000:
                break
            base, after = reference[place], reference[place + 1]
            if "N" in (base, after):
                continue
            kind, stop = rng.random(), place + 1
            if kind < 0.86:
                alleles = (base, rng.choice([b for b in "ACGT" if b != base]))
            elif kind < 0.93:
                alleles = (base, base + rng.choice([b for b in "ACGT" if b != base]))
            elif base != after:
                alleles, stop = (base + after, base), place + 2
            else:
                continue
            pair = rng.choice([(0, 1), (1, 0), (1, 1)])
            new.append((place, stop, alleles, pair))
    return sorted(found + new)


def haplotypes(reference: str, recipe: Recipe, found: list) -> list[str]:
    """The two sequences of the region that carry the genotypes."""
    out = []
    for h in (0, 1):
        pieces, last = [], recipe.start
        for start, stop, alleles, pair in found:
            pieces += [reference[last:start], alleles[pair[h]]]
            last = stop
        out.append("".join([*pieces, reference[last : recipe.end]]))
    return out


def write_truth(path: Path, recipe: Recipe, length: int, found: list) -> None:
    """The genotypes as bgzipped, indexed VCF."""
    head = (
        f"##fileformat=VCFv4.2\n##contig=<ID={recipe.contig},length={length}>\n"
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tSIM\n"
    )
    rows = (
        f"{recipe.contig}\t{start + 1}\t.\t{alleles[0]}\t{','.join(alleles[1:])}"
        f"\t50\tPASS\t.\tGT\t{pair[0]}|{pair[1]}\n"
        for start, _, alleles, pair in found
    )
    with pysam.BGZFile(str(path), "wb") as file:
        file.write((head + "".join(rows)).encode())
    pysam.tabix_index(str(path), preset="vcf", force=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def sequence(recipe: Recipe, sequences: list[str], folder: Path) -> None:
    """r1.fq and r2.fq of both haplotypes in `folder`."""
    parts = []
    for h, text in enumerate(sequences, start=1):
        fasta = folder / f"h{h}.fa"
        fasta.write_text(f">simh{h}\n{text}\n")
        cover = recipe.coverage * (1 - recipe.copies) / 2
        command = (
            f"art_illumina -q -ss {recipe.profile} -i {fasta} -p -l 150 -f {cover}"
        )
        command += f" -m 400 -s 80 -rs {10 * recipe.read_seed + h} -na"
        command += " -ef" if recipe.altered else ""
        _run(*command.split(), "-o", str(folder / f"h{h}."))
        prefix = str(folder / f"h{h}.")
        parts.append(art_reads.read_pairs(prefix, error_free=recipe.altered))
    pairs = art_reads.join(parts)
    rng = np.random.default_rng([recipe.read_seed, 7])
    if recipe.adapters:
        pairs = art_reads.read_into_adapters(rng, pairs, recipe.adapters)
    if recipe.copies:
        pairs = art_reads.add_copies(rng, pairs, recipe.copies)
    if recipe.true_error:
        pairs = art_reads.miscalibrate(rng, pairs, dict(recipe.true_error))
    if recipe.binned:
        pairs = art_reads.bin_qualities(pairs)
    art_reads.write_fastq(pairs, folder / "r1.fq", folder / "r2.fq")


def align(recipe: Recipe, reference: Path, folder: Path, out: Path) -> None:
    """Sorted, indexed BAM, and one thinned BAM for each coverage asked for."""
    bam = out / f"{recipe.coverage:g}x.bam"
    group = r"@RG\tID:sim\tSM:SIM"
    reads = [str(folder / "r1.fq"), str(folder / "r2.fq")]
    mapper = ["minimap2", "-t1", "-ax", "sr", "-R", group, str(reference), *reads]
    with open(folder / "minimap2.log", "wb") as log:
        made = subprocess.Popen(mapper, stdout=subprocess.PIPE, stderr=log)
        sort = ["samtools", "sort", "-T", str(folder / "sort"), "-o", str(bam), "-"]
        subprocess.run(sort, check=True, stdin=made.stdout, stderr=log)
    if made.wait():
        raise RuntimeError(f"minimap2 failed, see {folder / 'minimap2.log'}")
    pysam.index(str(bam))
    for cover in recipe.thin:
        thin = out / f"{cover:g}x.bam"
        part = f"{recipe.read_seed + cover / recipe.coverage:.4f}"
        _run("samtools", "view", "-b", "-s", part, str(bam), "-o", str(thin))
        pysam.index(str(thin))


def make(name: str, recipe: Recipe, data: Path, out: Path) -> Path:
    """The folder of one set, made if it is not there."""
    final = out / f"{name}-{recipe.digest()}"
    if final.exists():
        return final
    reference = prepare_reference(data, out, recipe.contig)
    text = pysam.FastaFile(str(reference)).fetch(recipe.contig)
    rng = random.Random(recipe.haplotype_seed)
    found = genotypes(data, recipe, rng)
    found = spiked(recipe, text, found, rng)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder, made = Path(scratch), Path(scratch) / "made"
        made.mkdir()
        write_truth(made / "truth.vcf.gz", recipe, len(text), found)
        low, high = recipe.start + _MARGIN, recipe.end - _MARGIN
        (made / "confident.bed").write_text(f"{recipe.contig}\t{low}\t{high}\n")
        sequence(recipe, haplotypes(text, recipe, found), folder)
        align(recipe, reference, folder, made)
        (made / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe)))
        shutil.move(made, final)
    return final


def write_manifest(out: Path) -> dict:
    """manifest.json: every set that is there, one entry for each coverage."""
    manifest = {}
    for name, recipe in SETS.items():
        folder = out / f"{name}-{recipe.digest()}"
        for cover in (recipe.coverage, *recipe.thin) if folder.exists() else ():
            manifest[f"{name}_{cover:g}x"] = {
                "bam": str(folder / f"{cover:g}x.bam"),
                "reference": str(out / "reference" / f"{recipe.contig}.fa"),
                "truth": str(folder / "truth.vcf.gz"),
                "bed": str(folder / "confident.bed"),
                "region": f"{recipe.contig}:{recipe.start + 1}-{recipe.end}",
                "coverage": cover,
                "true_error": {str(q): e for q, e in recipe.true_error},
                "seeds": [recipe.haplotype_seed, recipe.read_seed],
            }
    part = out / "manifest.part.json"
    part.write_text(json.dumps(manifest, indent=1))
    os.replace(part, out / "manifest.json")
    return manifest


def main() -> None:
    """Makes the sets named (all of them by default) and the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of: {' '.join(SETS)}")
    parser.add_argument("--data", type=Path, default=os.environ.get("DIFFBIO_EQX_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.names or SETS:
        print(make(name, SETS[name], Path(chosen.data), chosen.out), flush=True)
        write_manifest(chosen.out)


if __name__ == "__main__":
    main()
