"""Bad FASTQ files: one line with file and record number, and nothing half-written."""

import gzip
import os

import pytest
from test_fastq import put, random_records, record

from diffbio_eqx.io import FastqWriter, read_fastq_blocks

pytest.importorskip("dnaio")
GOOD = record("a", "ACGT") + record("b", "GGTT")


def refused(match, *paths, **options):
    with pytest.raises(ValueError, match=match) as error:
        for _ in read_fastq_blocks(*paths, **options):
            pass
    message = str(error.value)
    assert "\n" not in message and message.endswith(".") and len(message) < 400
    return message


def test_missing_file_and_folder(tmp_path):
    refused("not found", tmp_path / "none.fq")
    refused("must be a file, got a folder", tmp_path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b">chr1\nACGT\n", "looks like a FASTA file"),
        (b"BAM\1" + bytes(40), "looks like a BAM file: `samtools fastq`"),
        (gzip.compress(b"BAM\1" + bytes(40), mtime=0), "looks like a BAM file"),
        (b"@HD\tVN:1.6\n@SQ\tSN:c\n", "looks like a SAM file"),
        (b"BZh91AY&SY", "packed by bzip2"),
        (b"hello\n" * 8, "not a FASTQ file: it begins with b'hello"),
        (gzip.compress(b"hello\n" * 8, mtime=0), "not a FASTQ file"),
        (b"\x1f\x8b\x08\x00rubbish" * 30, "near record 1: the gzip data"),
        (b"@a\rACGT\r+\rIIII\r", "old Macintosh line ends"),
    ],
)
def test_files_of_another_kind(tmp_path, content, match):
    path = tmp_path / "x.fq"
    path.write_bytes(content)
    assert repr(str(path)) in refused(match, path)


@pytest.mark.parametrize("cut", [1, 9, 3000])
def test_truncated_gzip(tmp_path, cut):
    path = put(tmp_path / "x.fq.gz", random_records(1000))
    path.write_bytes(path.read_bytes()[:-cut])
    for threads in (0, 1):
        out = tmp_path / "o.fq.gz"
        with pytest.raises(ValueError, match="near record .* ends early"):
            with FastqWriter(out) as file:
                for block in read_fastq_blocks(path, block=10, threads=threads):
                    file.write(block)
        assert sorted(os.listdir(tmp_path)) == ["x.fq.gz"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (GOOD + "@c\nAC\n+\n", "record 3: the file ends after 3 of 4 lines"),
        (GOOD + "@c\n", "record 3: the file ends after 1 of 4 lines"),
        (GOOD + "@c\nACG\n+\nII\n", "record 3: 3 bases and 2 qualities"),
        (GOOD + "@c\nACG\n+\nIIII\n", "record 3: 3 bases and 4 qualities"),
        (GOOD + "c\nACG\n+\nIII\n", "record 3: its first line begins with no '@'"),
        (GOOD + "@c\nACG\n-\nIII\n", "record 3: its third line begins with no"),
        (GOOD + "@c\nACG\nACG\n+\nIIIIII\n", "record 3: .*third line"),
        (GOOD + "@c\nACG\n+d\nIII\n", "record 3: the name '@c' differs"),
        (GOOD + "@c\nAC*\n+\nIII\n", r"record 3: '\*' is no base .*base 3"),
        (GOOD + "@c\nACG\n+\nI\x7fI\n", r"record 3: .* is no quality .*base 2"),
        (GOOD + "@c\nACG\n+\nI I\n", "record 3: ' ' is no quality"),
        ("\n" + GOOD, "begins with b'.n@a"),
        (record("a", "ACGT").replace("\n+", "\n\n+") + GOOD, "record 1: "),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_bad_records(tmp_path, text, match, size):
    refused(match, put(tmp_path / "x.fq", text), block=size)


def test_old_qualities(tmp_path):
    old = record("a", "ACGT", "hhgB") * 3
    path = put(tmp_path / "x.fq", old)
    message = refused(r"Phred\+64 \('B' to 'h'\)", path)
    assert "seqtk" in message and "assume_phred33" in message
    (block,) = read_fastq_blocks(path, assume_phred33=True)
    assert block.qualities[0, 0] == 71
    for fine in ("IIHH", "KKKK", "~~~~", "hh5h"):
        assert list(
            read_fastq_blocks(put(tmp_path / "y.fq", record("a", "ACGT", fine)))
        )


def test_old_qualities_seen_late(tmp_path):
    text = record("a", "AC", "HH") * 4 + record("b", "AC", "hh")
    refused(r"Phred\+64", put(tmp_path / "x.fq", text), block=2)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_unequal_pairs(tmp_path, size):
    one, two = (put(tmp_path / n, GOOD) for n in ("1.fq", "2.fq"))
    put(two, GOOD + record("c", "A"))
    refused("1.fq' ends after 2 records, .*2.fq' has more", one, two, block=size)
    refused("1.fq' ends after 2 records", two, one, block=size)
    refused("expected two files", one, one)
    refused("leave out the second path", one, two, interleaved=True)


@pytest.mark.parametrize(
    ("one", "two", "match"),
    [
        ("b", "c", "record 2: its name is 'c', that of its mate is 'b'"),
        ("b/1", "c/2", "record 2: its name"),
        ("b", "b/2", "record 2: its name"),
        ("b/2", "b/1", "record 2: its name"),
        ("r1", "r2", "record 2: its name"),
        ("bb", "b", "record 2: its name"),
        ("b 1:N:0:A", "b 1:N:0:A", "record 2: both ends are numbered 1"),
    ],
)
def test_names_of_mates(tmp_path, one, two, match):
    files = [
        put(tmp_path / f"{k}.fq", record("a", "ACGT") + record(name, "ACGT"))
        for k, name in enumerate((one, two))
    ]
    for size in (1, 10):
        refused(match, *files, block=size)
    both = record(one, "ACGT") + record(two, "ACGT")
    text = record("a", "ACGT") * 2 + both
    refused(match, put(tmp_path / "m.fq", text), interleaved=True)


def test_odd_number_of_interleaved_reads(tmp_path):
    text = record("a", "ACGT") * 3
    for size in (1, 10):
        path = put(tmp_path / "m.fq", text)
        refused("3 records, an odd number", path, interleaved=True, block=size)


def test_bad_outputs(tmp_path):
    (block,) = read_fastq_blocks(put(tmp_path / "x.fq", GOOD))
    with pytest.raises(ValueError, match="folder that exists"):
        FastqWriter(tmp_path / "none" / "o.fq")
    with pytest.raises(ValueError, match="got a folder"):
        FastqWriter(tmp_path)
    with pytest.raises(ValueError, match="two names"):
        FastqWriter(tmp_path / "o.fq", tmp_path / "o.fq")
    with pytest.raises(ValueError, match="pairs of reads"):
        with FastqWriter(tmp_path / "o.fq", tmp_path / "p.fq") as file:
            file.write(block)
    assert os.listdir(tmp_path) == ["x.fq"]
