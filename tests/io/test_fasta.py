"""FASTA files: codes, indices made on the way, and errors."""

import gzip
import os
import shutil

import numpy as np
import pysam
import pytest

from diffbio_eqx.io.fasta import Fasta

TEXT = ">one some words\nACGTN\nacgtr\nAC\n>two\n\n>three\nGGGG\n"
ONE = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "r.fa"
    path.write_text(TEXT)
    return path


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "r.fa.gz"
    with pysam.BGZFile(str(path), "w") as file:
        file.write(TEXT.encode())
    return path


@pytest.mark.parametrize("kind", ["plain", "packed"])
def test_codes_and_lengths(kind, request):
    path = request.getfixturevalue(kind)
    with Fasta(path) as fasta:
        assert fasta.lengths == {"one": 12, "three": 4}
        assert fasta.codes("one").tolist() == ONE
        assert fasta.codes("one").dtype == np.uint8
        for start, end in ((0, 1), (3, 8), (5, 5), (11, 12)):
            assert fasta.codes("one", start, end).tolist() == ONE[start:end]
        assert fasta.codes("three", 2).tolist() == [2, 2]
    assert os.path.exists(f"{path}.fai")


def test_codes_outside_of_a_contig(plain):
    fasta = Fasta(plain)
    for start, end in ((-1, 3), (0, 13), (5, 4)):
        with pytest.raises(ValueError, match="0 <= start <= end <= 12"):
            fasta.codes("one", start, end)


def test_names_that_differ_between_files(tmp_path):
    path = tmp_path / "r.fa"
    path.write_text(">chr20\nACGT\n>chrM\nAC\n")
    fasta = Fasta(path)
    with pytest.raises(ValueError, match="'20' is not in.*'chr20'.*aligned to"):
        fasta.codes("20")
    with pytest.raises(ValueError, match="'MT' is not in.*'chrM'"):
        fasta.check({"MT": 2})
    with pytest.raises(ValueError, match="'chr7' is not in.*It has chr20, chrM"):
        fasta.codes("chr7")
    with pytest.raises(ValueError, match="has 4 bases in the reference.*and 5 in"):
        fasta.check({"chr20": 5, "chrM": 2})
    fasta.check({"chr20": 5, "chrM": 2}, contigs=["chrM"])
    fasta.check({"chr20": 4})


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"@r1\nACGT\n+\nIIII\n", "not a FASTA file: it begins with b'@'"),
        (gzip.compress(TEXT.encode(), mtime=0), "compressed by gzip.*bgzip"),
    ],
)
def test_files_of_another_kind(tmp_path, content, match):
    path = tmp_path / "r.fa.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match):
        Fasta(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="reference FASTA not found"):
        Fasta(tmp_path / "none.fa")


def test_damaged_text_and_index(tmp_path, plain, capfd):
    ragged = tmp_path / "ragged.fa"
    ragged.write_text(">a\nACGT\nAC\nACGTACGT\n")
    with pytest.raises(ValueError, match="damaged"):
        Fasta(ragged)
    (tmp_path / "r.fa.fai").write_text("one\t5000\t16\t5\t6\n")
    with pytest.raises(ValueError, match="damaged.*fai"):
        Fasta(plain).codes("one", 0, 5000)
    assert capfd.readouterr().err == ""


def test_an_index_older_than_its_file_is_said(plain):
    Fasta(plain)
    os.utime(f"{plain}.fai", (1, 1))
    with pytest.warns(UserWarning, match="older than the FASTA"):
        Fasta(plain)


def test_a_folder_that_cannot_be_written(plain, monkeypatch):
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: mode != os.W_OK and access(path, mode)
    )
    with pytest.warns(UserWarning, match="index is made for this run only"):
        fasta = Fasta(plain)
    assert fasta.codes("one").tolist() == ONE
    assert not os.path.exists(f"{plain}.fai")


def test_real_reference_equals_pysam(data_root, tmp_path):
    folder = data_root / "data/genomics/illumina-na12878"
    source = folder / "ucsc.hg19.chr20.unittest.fasta.gz"
    codes = Fasta(source).codes("chr20", 10_000_000, 10_010_000)
    with pysam.FastaFile(str(source)) as file:
        text = file.fetch("chr20", 10_000_000, 10_010_000).upper()
    assert "".join("ACGTN"[code] for code in codes) == text
    copy = tmp_path / "ref.fasta.gz"
    shutil.copyfile(source, copy)
    made = Fasta(copy).codes("chr20", 10_000_000, 10_010_000)
    assert np.array_equal(made, codes)
