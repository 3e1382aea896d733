"""Flags and weights of a whole file, against samtools and by hand."""

from pathlib import Path

import numpy as np
import pysam
import pytest
from sam_files import write_sam

from diffbio_eqx.data.duplicate_ends import DuplicateStream
from diffbio_eqx.jobs.mark_duplicates import mark_duplicates
from diffbio_eqx.operators.reads.duplicate_weighting import DuplicateWeighting

STORED = Path(__file__).parent.parent / "reference/preprocessing/duplicates"
BASES = "ACGTACGTAC"


def fragment(name, start, quality="I", tags="", flag=0, cigar="10M"):
    marks = quality * 10
    return f"{name} {flag} c {start} 60 {cigar} * 0 0 {BASES} {marks} RG:Z:a {tags}\n"


def pair(name, start, end, quality="I", tags=""):
    """Two records: the forward read at `start`, the reverse one that ends at `end`."""
    marks, mate = quality * 10, end - 9
    return (
        f"{name} 99 c {start} 60 10M = {mate} 50 {BASES} {marks} RG:Z:a {tags}\n",
        f"{name} 147 c {mate} 60 10M = {start} -50 {BASES} {marks} RG:Z:a {tags}\n",
    )


def records(path):
    with pysam.AlignmentFile(path) as file:
        return list(file)


def weights(path):
    return {(r.query_name, r.is_read2): r.get_tag("dw") for r in records(path)}


def flagged(path):
    return {r.query_name for r in records(path) if r.is_duplicate}


def pairs(*names_and_more):
    """Pairs of one place as the text of a sorted file."""
    both = [pair(name, 100, 150, *more) for name, *more in names_and_more]
    return "".join(first for first, _ in both) + "".join(second for _, second in both)


@pytest.mark.parametrize("suffix", ["bam", "sam"])
def test_flags_are_those_of_samtools(tmp_path, suffix, recwarn):
    source = tmp_path / f"in.{suffix}"
    with pysam.AlignmentFile(STORED / "reads.sam") as reads:
        mode = "wb" if suffix == "bam" else "w"
        with pysam.AlignmentFile(source, mode, template=reads) as file:
            for read in reads:
                file.write(read)
    out = tmp_path / "out.bam"
    summary = mark_duplicates(source, out)
    expected = [
        line.split("\t") for line in (STORED / "flags.tsv").read_text().splitlines()
    ]
    assert [[r.query_name, str(r.flag)] for r in records(out)] == expected
    marked = sum(int(flag) & 1024 > 0 for _, flag in expected)
    assert summary.duplicates == marked == summary.to_dict()["duplicates"]
    for read in records(out):
        assert read.get_tag("dw") == (0.0 if read.is_duplicate else 1.0)
    assert not recwarn.list


def test_everything_else_of_a_record_stays(tmp_path, recwarn):
    out, again = tmp_path / "out.bam", tmp_path / "again.bam"
    mark_duplicates(STORED / "reads.sam", out)
    mark_duplicates(out, again, clear_flags=True)
    plain = lambda read: [
        field
        for at, field in enumerate(read.to_string().split("\t"))
        if at != 1 and not field.startswith("dw:")
    ]
    with pysam.AlignmentFile(STORED / "reads.sam") as file:
        before = [plain(read) for read in file]
    assert [plain(read) for read in records(out)] == before
    assert [r.to_string() for r in records(again)] == [
        r.to_string() for r in records(out)
    ]
    with pysam.AlignmentFile(again) as file:
        programs = file.header.to_dict()["PG"]
        assert [p["ID"] for p in programs] == ["diffbio-eqx", "diffbio-eqx.1"]
        assert programs[1]["PP"] == "diffbio-eqx"
        assert sum(1 for _ in file.fetch("c", 0, 3000)) > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "again.bam",
        "again.bam.bai",
        "out.bam",
        "out.bam.bai",
    ]


def test_the_best_pair_stays_and_fragments_yield_to_pairs(tmp_path):
    text = pairs(["a", "5"], ["b", "I"], ["c", "I"])
    head, tail = text.splitlines(keepends=True)[:3], text.splitlines(keepends=True)[3:]
    text = "".join(head) + fragment("f", 100) + "".join(tail)
    path = write_sam(tmp_path / "in.bam", text)
    summary = mark_duplicates(path, tmp_path / "out.bam")
    assert flagged(tmp_path / "out.bam") == {"a", "c", "f"}
    assert (summary.duplicate_pairs, summary.duplicate_fragments) == (4, 1)
    dropped = mark_duplicates(path, tmp_path / "few.bam", drop_duplicates=True)
    assert [r.query_name for r in records(tmp_path / "few.bam")] == ["b", "b"]
    assert dropped.written == 2


def test_clips_are_added_to_find_the_start(tmp_path):
    text = fragment("a", 100) + fragment("b", 103, "5", cigar="1H3S7M")
    path = write_sam(tmp_path / "in.bam", text + fragment("c", 104, cigar="3S7M"))
    mark_duplicates(path, tmp_path / "out.bam")
    assert flagged(tmp_path / "out.bam") == set()
    text = fragment("a", 100) + fragment("b", 104, "5", cigar="1H3S7M")
    path = write_sam(tmp_path / "in.bam", text)
    mark_duplicates(path, tmp_path / "out.bam")
    assert flagged(tmp_path / "out.bam") == {"b"}


def test_umis_an_error_apart_are_one_molecule(tmp_path):
    umis = ["ACGT"] * 3 + ["ACGA", "TTTT", ""]
    text = pairs(
        *([f"r{i}", "I", f"RX:Z:{u}" if u else ""] for i, u in enumerate(umis))
    )
    path = write_sam(tmp_path / "in.bam", text)
    out = tmp_path / "out.bam"
    mark_duplicates(path, out, umi_tag="RX")
    assert flagged(out) == {"r1", "r2", "r3"}
    mark_duplicates(path, out, umi_tag="RX", umi_mismatch=False)
    assert flagged(out) == {"r1", "r2"}
    mark_duplicates(path, out)
    assert len(flagged(out)) == 5


def test_equal_fragments_go_by_name_unless_mates_were_fixed(tmp_path):
    text = fragment("r10", 100) + fragment("r9", 100) + fragment("r08", 100)
    path = write_sam(tmp_path / "in.bam", text)
    mark_duplicates(path, tmp_path / "out.bam")
    assert flagged(tmp_path / "out.bam") == {"r9", "r10"}
    path = write_sam(tmp_path / "in.bam", text.replace("RG:Z:a", "RG:Z:a MC:Z:10M"))
    mark_duplicates(path, tmp_path / "out.bam")
    assert flagged(tmp_path / "out.bam") == {"r9", "r08"}


def test_libraries_are_apart(tmp_path):
    header = (
        "@HD VN:1.6 SO:coordinate\n@SQ SN:c LN:1000\n"
        "@RG ID:a SM:s LB:one\n@RG ID:b SM:s LB:two"
    )
    text = fragment("x", 100) + fragment("y", 100).replace("RG:Z:a", "RG:Z:b")
    path = write_sam(tmp_path / "in.bam", text, header=header)
    mark_duplicates(path, tmp_path / "out.bam")
    assert flagged(tmp_path / "out.bam") == set()


def test_soft_weights_are_shares(tmp_path):
    path = write_sam(tmp_path / "in.bam", pairs(["a", "H"], ["b", "I"], ["c", "I"]))
    soft = DuplicateWeighting(preference=0.1, mode="soft")
    mark_duplicates(path, tmp_path / "out.bam", weighting=soft)
    found = weights(tmp_path / "out.bam")
    for mate in (False, True):
        shares = [found[name, mate] for name in "abc"]
        np.testing.assert_allclose(sum(shares), 1, rtol=1e-5)
        np.testing.assert_allclose(shares[1] / shares[0], np.exp(2.0), rtol=1e-4)
    assert flagged(tmp_path / "out.bam") == {"a", "c"}


def test_flags_of_the_input_stay_unless_cleared(tmp_path):
    path = write_sam(tmp_path / "in.bam", fragment("a", 100, flag=1024))
    with pytest.warns(UserWarning, match="clear_flags"):
        summary = mark_duplicates(path, tmp_path / "out.bam")
    assert (summary.already_flagged, summary.kept_flags) == (1, 1)
    assert weights(tmp_path / "out.bam") == {("a", False): 0.0}
    mark_duplicates(path, tmp_path / "out.bam", clear_flags=True)
    assert flagged(tmp_path / "out.bam") == set()


def test_missing_mates_are_told_of(tmp_path):
    path = write_sam(tmp_path / "in.bam", pair("a", 100, 150)[0])
    with pytest.warns(UserWarning, match="1 reads .* taken as fragments"):
        summary = mark_duplicates(path, tmp_path / "out.bam")
    assert (summary.orphans, summary.fragments) == (1, 1)


def test_small_pieces_of_a_stream_decide_as_the_whole(tmp_path, monkeypatch, recwarn):
    from diffbio_eqx.data import duplicate_ends
    from diffbio_eqx.io import _bam_stream

    monkeypatch.setattr(_bam_stream, "CHUNK", 3000)
    monkeypatch.setattr(duplicate_ends, "CLIP", 8)
    held = []
    add = DuplicateStream.add
    keep = lambda self, *x: (add(self, *x), held.append(len(self._kept)))[0]
    monkeypatch.setattr(DuplicateStream, "add", keep)
    out = tmp_path / "out.bam"
    mark_duplicates(STORED / "reads.sam", out)
    expected = (STORED / "flags.tsv").read_text().split()[1::2]
    assert [str(r.flag) for r in records(out)] == expected
    assert len(held) > 5 and held[-1] < 200


def test_bad_input_is_one_line_and_nothing_is_written(tmp_path):
    out = tmp_path / "new" / "out.bam"
    good = write_sam(tmp_path / "good.bam", fragment("a", 100) + fragment("b", 120))
    with pytest.raises(ValueError, match="folder of the output"):
        mark_duplicates(good, out)
    out.parent.mkdir()
    mixed = fragment("a", 100) + fragment("b", 90)
    unsorted = write_sam(tmp_path / "unsorted.bam", mixed, index=False)
    cut = tmp_path / "cut.bam"
    cut.write_bytes(Path(good).read_bytes()[:-40])
    text = tmp_path / "text.bam"
    text.write_text("no reads here\n")
    for path, word in [
        (unsorted, "not sorted"),
        (cut, "truncated"),
        (text, "not a BAM"),
        (tmp_path / "none.bam", "not found"),
    ]:
        with pytest.raises(ValueError, match=word) as error:
            mark_duplicates(path, out)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="suffix"):
        mark_duplicates(good, out.with_suffix(".cram"))
    with pytest.raises(ValueError, match="is the input"):
        mark_duplicates(good, good)
    with pytest.raises(ValueError, match="umi_tag"):
        mark_duplicates(good, out, umi_tag="RX:Z")
    assert not list(out.parent.iterdir())


def test_a_file_without_reads(tmp_path):
    path = write_sam(tmp_path / "in.bam", "")
    assert mark_duplicates(path, tmp_path / "out.bam").records == 0
    assert records(tmp_path / "out.bam") == []


@pytest.mark.slow
def test_na12878_as_samtools(data_root, tmp_path, recwarn):
    folder = data_root / "data/genomics/illumina-na12878"
    out = tmp_path / "out.bam"
    path = folder / "NA12878_S1.chr20.10_10p1mb.bam"
    summary = mark_duplicates(path, out, clear_flags=True)
    assert summary.duplicates == 482  # the same ones as samtools 1.16.1
    assert (summary.duplicate_pairs, summary.duplicate_fragments) == (249, 233)
    assert len(recwarn.list) == 1
