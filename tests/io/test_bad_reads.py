"""Bad alignment files: one line that says what to do, never a traceback of pysam."""

import pysam
import pytest
from sam_files import write_sam

from diffbio_eqx.io.bam import AlignmentFile
from diffbio_eqx.io.read_filters import ReadFilters

READ = "q1 0 c 11 60 4M * 0 0 ACGT IIII RG:Z:a\n"


def one_line(error):
    message = str(error.value)
    assert "\n" not in message and message[-1] in ".l)m" and len(message) < 400
    return message


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="not found.*Check the path") as error:
        AlignmentFile(tmp_path / "none.bam")
    one_line(error)
    with pytest.raises(FileNotFoundError):
        AlignmentFile(tmp_path / "none.bam")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"hello\nworld\n", "not a BAM, CRAM or SAM file"),
        (b"@r1\nACGT\n+\nIIII\n", "not a BAM, CRAM or SAM file|lists no contigs"),
        (b"\x1f\x8b\x08\x00garbage", "not a BAM, CRAM or SAM file|truncated"),
    ],
)
def test_files_of_another_kind(tmp_path, content, match, capfd):
    path = tmp_path / "x.bam"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as error:
        AlignmentFile(path)
    one_line(error)
    assert capfd.readouterr().err == ""


def test_a_folder(tmp_path):
    with pytest.raises(ValueError, match="must be a file, got a folder"):
        AlignmentFile(tmp_path)


@pytest.mark.parametrize("cut", [28, 100, 2000])
def test_truncated_bam(tmp_path, cut, capfd):
    text = "".join(READ.replace("q1", f"q{i}") for i in range(4000))
    path = write_sam(tmp_path / "a.bam", text)
    whole = (tmp_path / "a.bam").read_bytes()
    (tmp_path / "a.bam").write_bytes(whole[:-cut])
    with pytest.raises(ValueError, match="truncated.*quickcheck") as error:
        AlignmentFile(path)
    one_line(error)
    assert capfd.readouterr().err == ""


def test_damage_inside_a_bam(tmp_path):
    text = "".join(READ.replace("q1", f"q{i}") for i in range(4000))
    path = write_sam(tmp_path / "a.bam", text)
    data = bytearray((tmp_path / "a.bam").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    (tmp_path / "a.bam").write_bytes(data)
    with pytest.raises(ValueError, match="truncated or damaged"):
        AlignmentFile(path).read_rows("c")


def test_truncated_cram(tmp_path):
    reference = tmp_path / "r.fa"
    reference.write_text(">c\n" + "ACGT" * 250 + "\n>d\n" + "A" * 500 + "\n")
    bam = write_sam(tmp_path / "a.bam", READ)
    cram = tmp_path / "a.cram"
    pysam.view("-C", "-T", str(reference), "-o", str(cram), bam, catch_stdout=False)
    assert AlignmentFile(cram, reference=reference).sample == "s"
    cram.write_bytes(cram.read_bytes()[:-10])
    with pytest.raises(ValueError, match="truncated"):
        AlignmentFile(cram, reference=reference)


def test_cram_needs_its_reference(tmp_path, capfd):
    reference, other = tmp_path / "r.fa", tmp_path / "o.fa"
    reference.write_text(">c\n" + "ACGT" * 250 + "\n>d\n" + "A" * 500 + "\n")
    other.write_text(">c\n" + "GGCA" * 250 + "\n>d\n" + "A" * 500 + "\n")
    bam = write_sam(tmp_path / "a.bam", READ)
    cram = str(tmp_path / "a.cram")
    pysam.view("-C", "-T", str(reference), "-o", cram, bam, catch_stdout=False)
    pysam.index(cram)
    with pytest.raises(ValueError, match="decoded with its FASTA.*reference"):
        AlignmentFile(cram)
    with pytest.raises(ValueError, match="reference FASTA not found"):
        AlignmentFile(cram, reference=tmp_path / "none.fa")
    file = AlignmentFile(cram, reference=other)
    with pytest.raises(ValueError, match="could not be decoded.*FASTA") as error:
        file.read_rows("c")
    one_line(error)
    assert capfd.readouterr().err == ""


def test_unsorted_reads(tmp_path):
    text = READ.replace(" 11 ", " 90 ") + READ
    path = write_sam(tmp_path / "a.bam", text, index=False)
    with pytest.raises(ValueError, match="not sorted by coordinate.*samtools sort"):
        list(AlignmentFile(path).windows())
    header = "@HD VN:1.6 SO:queryname\n@SQ SN:c LN:1000\n@RG ID:a SM:s"
    path = write_sam(tmp_path / "b.bam", READ, header=header, index=False)
    with pytest.raises(ValueError, match="sorted by read name.*samtools sort"):
        AlignmentFile(path)


def test_contigs_out_of_order(tmp_path):
    text = READ.replace(" c ", " d ") + READ
    path = write_sam(tmp_path / "a.bam", text, index=False)
    with pytest.raises(ValueError, match="not sorted by coordinate"):
        list(AlignmentFile(path).windows())


def test_unaligned_reads(tmp_path):
    header = "@HD VN:1.6\n@RG ID:a SM:s"
    text = "q1 4 * 0 0 * * 0 0 ACGT IIII RG:Z:a\n"
    path = write_sam(tmp_path / "a.bam", text, header=header, index=False)
    with pytest.raises(ValueError, match="no contigs.*not aligned"):
        AlignmentFile(path)


def test_unknown_contigs_and_regions(tmp_path):
    header = "@HD VN:1.6 SO:coordinate\n@SQ SN:chr20 LN:1000\n@RG ID:a SM:s"
    text = READ.replace(" c ", " chr20 ")
    file = AlignmentFile(write_sam(tmp_path / "a.bam", text, header=header))
    with pytest.raises(ValueError, match="'20' is not in.*It has 'chr20'") as error:
        file.read_rows("20")
    one_line(error)
    with pytest.raises(ValueError, match="'chr7' is not in.*It has chr20"):
        next(file.windows("chr7"))
    for start, end in ((5, 5), (-1, 5), (5, 1001), (9, 3)):
        with pytest.raises(ValueError, match="0 <= start < end <= 1000"):
            file.read_rows("chr20", start, end)
    with pytest.raises(ValueError, match="size >= 1"):
        next(file.windows(size=0))


def test_no_reads_is_said(tmp_path):
    path = write_sam(tmp_path / "a.bam", READ)
    with pytest.warns(UserWarning, match="no reads in c:501-600 .*it has none"):
        assert len(AlignmentFile(path).read_rows("c", 500, 600)) == 0
    strict = AlignmentFile(path, filters=ReadFilters(min_mapping_quality=61))
    with pytest.warns(UserWarning, match="none of 1 reads passes the filters"):
        assert len(strict.read_rows("c")) == 0
    with pytest.warns(UserWarning, match="no reads in d:1-500"):
        assert [len(w.rows) for w in AlignmentFile(path).windows("d")] == [0]


def test_no_sample_name_is_said(tmp_path):
    header = "@HD VN:1.6 SO:coordinate\n@SQ SN:c LN:1000"
    text = READ.replace(" RG:Z:a", "")
    path = write_sam(tmp_path / "patient7.sorted.bam", text, header=header)
    with pytest.warns(UserWarning, match="names no sample.*'patient7' is used"):
        file = AlignmentFile(path)
    assert file.sample == "patient7" and len(file.read_rows("c")) == 1
    assert AlignmentFile(path, sample="me").sample == "me"


def test_damaged_index(tmp_path):
    path = write_sam(tmp_path / "a.bam", READ)
    (tmp_path / "a.bam.bai").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="index.*damaged.*samtools index"):
        AlignmentFile(path).read_rows("c")


@pytest.mark.parametrize(
    "fields", [{"min_mapping_quality": -1}, {"min_mapping_quality": 256}]
)
def test_filters_out_of_range(fields):
    with pytest.raises(ValueError, match=r"\[0, 255\], got"):
        ReadFilters(**fields)


def test_depth_cap_out_of_range():
    with pytest.raises(ValueError, match="at least 1 read, got 0"):
        ReadFilters(max_depth=0)
