"""Alleles come out in one spelling, the one of `bcftools norm`."""

import shutil
import subprocess

import numpy as np
import pytest

from diffbio_eqx.data.alleles import normalise_alleles, split_record, trim_alleles
from diffbio_eqx.data.variant_records import VariantRecord

REFERENCE = "GGCACACACATTTTTGACGT"


def fetch(contig, start, end):
    return REFERENCE[start:end]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((8, "CA", ("C",)), (8, "CA", ("C",))),
        ((3, "ACAT", ("AT",)), (3, "ACA", ("A",))),
        ((3, "GATT", ("GCTT",)), (4, "A", ("C",))),
        ((3, "CAA", ("CA", "C")), (3, "CAA", ("CA", "C"))),
        ((3, "AC", ("GT",)), (3, "AC", ("GT",))),
    ],
)
def test_trimming_takes_the_suffix_first_and_keeps_an_anchor(given, expected):
    assert trim_alleles(*given) == expected


def test_trimming_to_the_bare_change():
    assert trim_alleles(3, "CA", ("C",), keep=0) == (4, "A", ("",))
    assert trim_alleles(3, "C", ("CAA",), keep=0) == (4, "", ("AA",))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((8, "CAT", ("CT",)), (8, "CA", ("C",))),
        ((7, "ACA", ("A",)), (1, "GCA", ("G",))),
        ((9, "A", ("ACA",)), (1, "G", ("GCA",))),
        ((13, "TT", ("T",)), (9, "AT", ("A",))),
        ((13, "T", ("TT", "TTT")), (9, "A", ("AT", "ATT"))),
        ((4, "c", ("g",)), (4, "C", ("G",))),
        ((0, "GG", ("G",)), (0, "GG", ("G",))),
        ((4, "C", ("<*>",)), (4, "C", ("<*>",))),
        ((4, "C", ("T", "*")), (4, "C", ("T", "*"))),
    ],
)
def test_left_alignment(given, expected):
    assert normalise_alleles("c", *given, fetch) == expected


def test_an_indel_at_the_contig_start_is_anchored_on_the_right():
    poly = lambda contig, start, end: "AAAAC"[start:end]
    assert normalise_alleles("c", 2, "AA", ("A",), poly) == (0, "AA", ("A",))


def test_left_alignment_spells_the_same_haplotype_and_cannot_go_further():
    random = np.random.default_rng(0)
    moved = 0
    for _ in range(200):
        text = "".join(random.choice(list("AC"), 30))
        here = lambda contig, start, end, text=text: text[start:end]
        position, size = int(random.integers(5, 20)), int(random.integers(1, 4))
        ref, alt = text[position : position + 1 + size], text[position]
        place, new_ref, (new_alt,) = normalise_alleles("c", position, ref, (alt,), here)
        spell = lambda p, r, a, text=text: text[:p] + a + text[p + len(r) :]
        assert spell(place, new_ref, new_alt) == spell(position, ref, alt)
        assert len(new_ref) - len(new_alt) == size
        assert place == 0 or new_ref[-1] != new_alt[-1]
        moved += place < position
    assert moved > 50


def test_split_gives_each_called_allele_with_its_copies():
    record = VariantRecord("c", 8, "CA", ("C", "GA", "*"), genotype=(1, 2))
    found = split_record(record, fetch)
    assert [(a.position, a.ref, a.alt, a.copies) for a in found] == [
        (8, "CA", "C", 1),
        (8, "C", "G", 1),
    ]
    assert found[1].key == ("c", 8, "C", "G")
    assert split_record(VariantRecord("c", 8, "C", ("T",), genotype=(0, 0))) == []
    assert split_record(VariantRecord("c", 8, "C", ("T",)))[0].copies == 0
    (both,) = split_record(VariantRecord("c", 8, "C", ("T",), genotype=(1, 1)))
    assert both.copies == 2


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is absent")
def test_left_alignment_is_that_of_bcftools_norm(tmp_path):
    random = np.random.default_rng(1)
    text = "".join(random.choice(list("AACT"), 2000))
    (tmp_path / "r.fa").write_text(f">c\n{text}\n")
    lines, ours = [], []
    here = lambda contig, start, end: text[start:end]
    for position in range(20, 1900, 12):
        size = int(random.integers(1, 5))
        ref = alt = text[position : position + 1]
        if random.random() < 0.5:
            ref = text[position : position + 1 + size]
        else:
            alt = ref + text[position + 1 : position + 1 + size]
        lines.append(f"c\t{position + 1}\t.\t{ref}\t{alt}\t.\t.\t.")
        place, new_ref, (new_alt,) = normalise_alleles("c", position, ref, (alt,), here)
        ours.append((place + 1, new_ref, new_alt))
    head = "##fileformat=VCFv4.3\n##contig=<ID=c,length=2000>\n"
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (tmp_path / "in.vcf").write_text(head + "\n".join(lines) + "\n")
    done = subprocess.run(
        ["bcftools", "norm", "-f", "r.fa", "in.vcf"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [x.split("\t") for x in done.stdout.splitlines() if not x.startswith("#")]
    assert sorted((int(x[1]), x[3], x[4]) for x in rows) == sorted(ours)
    given = {(int(x.split("\t")[1]), *x.split("\t")[3:5]) for x in lines}
    assert len(set(ours) - given) > 20
