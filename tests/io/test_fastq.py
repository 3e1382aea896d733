"""FASTQ in and out: arrays as dnaio reads them, and bytes as they were."""

import gzip
import random
import tracemalloc

import numpy as np
import pytest

from diffbio_eqx.io import FastqWriter, read_fastq_blocks

dnaio = pytest.importorskip("dnaio")
LETTERS = np.frombuffer(b"ACGTN", np.uint8)


def record(name, bases, qualities=None, plus=""):
    qualities = "#I" * len(bases) if qualities is None else qualities
    return f"@{name}\n{bases}\n+{plus}\n{qualities[: len(bases)]}\n"


def random_records(count, seed=0, longest=70, mate=1):
    draw = random.Random(seed)
    text = []
    for number in range(count):
        size = draw.randint(0, longest)
        bases = "".join(draw.choice("ACGTN") for _ in range(size))
        qualities = "".join(chr(33 + draw.randint(0, 41)) for _ in range(size))
        name = f"run:{number} {mate}:N:0:ACGT" if number % 3 else f"run:{number}"
        text.append(record(name, bases, qualities))
    return "".join(text)


def put(path, text):
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def sequences(block):
    rows = zip(block.bases, block.lengths, strict=True)
    return [LETTERS[row[:length]].tobytes() for row, length in rows]


@pytest.mark.parametrize("suffix", [".fastq", ".fq.gz"])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_arrays_are_what_dnaio_reads(tmp_path, suffix, size):
    path = put(tmp_path / f"r{suffix}", random_records(100))
    blocks = list(read_fastq_blocks(path, block=size))
    assert [block.first for block in blocks] == list(range(0, 100, size))
    with dnaio.open(path) as file:
        wanted = list(file)
    names = [n + (b" " + c if c else b"") for x in blocks for n, c in parts(x)]
    assert names == [one.name.encode() for one in wanted]
    got = [bases for block in blocks for bases in sequences(block)]
    assert got == [one.sequence.encode() for one in wanted]
    for block in blocks:
        assert block.bases.shape[1] % 32 == 0
        assert block.bases.shape[1] < max(block.lengths.max(), 1) + 32
        padding = np.arange(block.bases.shape[1]) >= block.lengths[:, None]
        assert (block.bases[padding] == 7).all()
        assert not block.qualities[padding].any()
    quality = [
        (row[:length] + 33).tobytes()
        for block in blocks
        for row, length in zip(block.qualities, block.lengths, strict=True)
    ]
    assert quality == [one.qualities.encode() for one in wanted]
    assert blocks[-1].progress == 1.0


def parts(block):
    return zip(block.names, block.comments, strict=True)


@pytest.mark.parametrize("suffix", [".fastq", ".fastq.gz"])
def test_what_is_read_is_written(tmp_path, suffix):
    text = random_records(50) + record("last/1 c d", "acgtRYn.", plus="last/1 c d")
    path, out = put(tmp_path / f"r{suffix}", text), tmp_path / f"o{suffix}"
    with FastqWriter(out) as file:
        for block in read_fastq_blocks(path, block=8):
            file.write(block)
    data = out.read_bytes()
    assert (gzip.decompress(data) if suffix.endswith("gz") else data) == text.encode()
    assert file.reads == 51 and not list(tmp_path.glob("*.part"))


def test_cut_and_dropped_and_replaced(tmp_path):
    text = "".join(record(f"r{i} x", "ACGTNacgtr"[i:]) for i in range(4))
    (block,) = read_fastq_blocks(put(tmp_path / "r.fq", text))
    bases = block.bases.copy()
    bases[3, 1] = 0  # N becomes A, under a lower case letter nothing changes
    start, end = np.array([2, 0, 0, 0]), np.array([8, 99, 0, 5])
    keep = np.array([True, False, True, True])
    wanted = record("r0 x", "GTNacg") + record("r2 x", "") + record("r3 x", "TAacg")
    wanted = wanted.replace("TAacg\n+\n#I#I#", "TAacg\n+\n#I#I#")
    with FastqWriter(tmp_path / "o.fq") as file:
        file.write(block, start, end, keep, bases=bases)
    assert (tmp_path / "o.fq").read_text() == wanted
    assert (file.reads, file.bases) == (3, 11)
    qualities = block.qualities.copy()
    qualities[0, 0] = 41
    got = block.to_text(qualities=qualities).tobytes().decode()
    assert got.startswith("@r0 x\nACGTNacgtr\n+\nJI#I")


def test_lower_case_u_and_ambiguity_codes(tmp_path):
    (block,) = read_fastq_blocks(put(tmp_path / "r.fq", record("r", "acgtuUnRy.")))
    assert block.bases[0, :10].tolist() == [0, 1, 2, 3, 3, 3, 4, 4, 4, 4]


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\n \n"])
def test_ends_of_files_and_of_lines(tmp_path, end):
    text = (record("a", "ACGT") + record("b c", "GG")).rstrip("\n")
    for name, feed in (("unix.fq", "\n"), ("dos.fq", "\r\n")):
        these = (text + end).replace("\n", feed)
        (block,) = read_fastq_blocks(put(tmp_path / name, these))
        assert block.names == [b"a", b"b"] and sequences(block) == [b"ACGT", b"GG"]
        assert block.to_text().tobytes().decode() == text + "\n"
        cut = block.to_text(start=np.array([1, 0]), keep=np.array([True, False]))
        assert cut.tobytes() == b"@a\nCGT\n+\nI#I\n"


def test_gzip_of_several_members(tmp_path):
    pieces = [random_records(20, seed).encode() for seed in range(3)]
    path = tmp_path / "r.fq.gz"
    path.write_bytes(b"".join(map(gzip.compress, pieces)) + gzip.compress(b""))
    blocks = list(read_fastq_blocks(path, block=1000, threads=1))
    assert b"".join(b.to_text().tobytes() for b in blocks) == b"".join(pieces)


def test_gzip_without_the_suffix_and_bgzip(tmp_path):
    pysam = pytest.importorskip("pysam")
    text = random_records(30)
    packed = put(tmp_path / "r.gz", text).rename(tmp_path / "r.fastq")
    bgzip = tmp_path / "b.fq.gz"
    with pysam.BGZFile(str(bgzip), "wb") as file:
        file.write(text.encode())
    for path in (packed, bgzip):
        (block,) = read_fastq_blocks(path)
        assert block.to_text().tobytes() == text.encode()


@pytest.mark.parametrize("form", ["same", "slash", "illumina"])
@pytest.mark.parametrize("interleaved", [False, True])
def test_pairs(tmp_path, form, interleaved):
    tail = {"same": ("", ""), "slash": ("/1", "/2"), "illumina": (" 1:N:0", " 2:N:0")}
    ends = [
        [record(f"q{i}{t}", "ACGT"[k:] * (i % 3)) for i in range(9)]
        for k, t in enumerate(tail[form])
    ]
    texts = ["".join(end) for end in ends]
    mixed = "".join(a + b for a, b in zip(*ends, strict=True))
    if interleaved:
        source = [put(tmp_path / "m.fq", mixed)]
    else:
        source = [put(tmp_path / f"{k}.fq.gz", text) for k, text in enumerate(texts)]
    blocks = list(read_fastq_blocks(*source, block=4, interleaved=interleaved))
    assert [len(block) for block in blocks] == [4, 4, 1]
    assert [block.first for block in blocks] == [0, 4, 8]
    outs = [tmp_path / "o1.fq", tmp_path / "o2.fq"]
    with FastqWriter(*outs) as two, FastqWriter(tmp_path / "o.fq") as one:
        for block in blocks:
            two.write(block)
            one.write(block)
    assert [out.read_text() for out in outs] == texts
    assert (tmp_path / "o.fq").read_text() == mixed
    assert one.reads == 18


def test_as_reads_pads_rows(tmp_path):
    text = record("a/1", "ACG") + record("a/2", "GG")
    (block,) = read_fastq_blocks(put(tmp_path / "r.fq", text), interleaved=True)
    reads = block.as_reads(4)
    assert reads.bases.shape == (4, 32) and reads.mate.bases.shape == (4, 32)
    assert reads.read_mask.tolist() == [True, False, False, False]
    assert np.asarray(reads.lengths).tolist() == [3, 0, 0, 0]
    with pytest.raises(ValueError, match="rows: expected at least 1, got 0"):
        block.as_reads(0)


def test_nothing_half_written(tmp_path):
    path = put(tmp_path / "r.fq", record("a", "ACGT"))
    out = put(tmp_path / "o.fq", "before")
    (block,) = read_fastq_blocks(path)
    with pytest.raises(RuntimeError), FastqWriter(out) as file:
        file.write(block)
        raise RuntimeError
    assert out.read_text() == "before" and not list(tmp_path.glob("*.part"))


def test_memory_is_that_of_a_block(tmp_path):
    path = tmp_path / "r.fq.gz"
    path.write_bytes(gzip.compress(random_records(500).encode(), 1) * 200)
    tracemalloc.start()
    reads = sum(len(block) for block in read_fastq_blocks(path, block=500))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reads == 100_000 and peak < 12e6  # the file holds 11 MB of text


def test_very_long_reads_come_in_smaller_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("diffbio_eqx.io.fastq._CELLS", 2_000)
    text = "".join(record(f"r{i}", "ACGT" * (200 if i == 5 else 5)) for i in range(20))
    blocks = list(read_fastq_blocks(put(tmp_path / "r.fq", text)))
    assert max(block.bases.size for block in blocks) <= 2_000
    assert b"".join(b.to_text().tobytes() for b in blocks) == text.encode()


def test_real_files(data_root):
    folder = data_root / "data/genomics/fastq"
    for name in ("bcbio_mirqca.fastq.gz", "picard_5k-30BB2AAXX.3.fastq"):
        blocks = list(read_fastq_blocks(folder / name))
        with dnaio.open(folder / name) as file:
            wanted = "".join(one.sequence for one in file).encode()
        assert b"".join(x for block in blocks for x in sequences(block)) == wanted
