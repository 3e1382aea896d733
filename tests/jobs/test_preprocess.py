"""Preprocessing of files: reads in are reads out and reads dropped for a reason."""

import contextlib
import gzip
import json
import os
import threading

import numpy as np
import pytest

pytest.importorskip("xopen")

from diffbio_eqx.io.fastq import read_fastq_blocks
from diffbio_eqx.jobs.preprocess import preprocess
from diffbio_eqx.jobs.preprocess_adapters import KITS, find_kit
from diffbio_eqx.jobs.preprocess_example import write_preprocess_example
from diffbio_eqx.jobs.preprocess_report import write_preprocess_report
from diffbio_eqx.jobs.preprocess_statistics import CycleStatistics
from diffbio_eqx.operators.reads.adapter_removal import TRUSEQ
from diffbio_eqx.pipelines.preprocessing_config import PreprocessingPipelineConfig

OFF = dict(
    enable_poly_g=False,
    enable_adapter_removal=False,
    enable_quality_trimming=False,
    enable_filters=False,
    enable_error_correction=False,
    enable_duplicate_weighting=False,
)


def records(path):
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    lines = text.decode().splitlines()
    return list(zip(lines[0::4], lines[1::4], lines[3::4], strict=True))


def write(path, reads):
    path.write_text("".join(f"@{n}\n{b}\n+\n{q}\n" for n, b, q in reads))
    return path


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preprocess") / "example"
    insert = write_preprocess_example(folder, pairs=1500)
    return folder, insert


@pytest.fixture(scope="module")
def cleaned(example):
    folder, _ = example
    out = folder.parent / "c1.fq.gz", folder.parent / "c2.fq.gz"
    summary = preprocess(
        folder / "r1.fq.gz",
        out[0],
        mates=folder / "r2.fq.gz",
        mate_output=out[1],
        drop_duplicates=True,
    )
    return summary, out


def test_every_stage_stays_out_of_what_it_does_not_touch(example, tmp_path):
    folder, _ = example
    out = tmp_path / "same.fq"
    config = PreprocessingPipelineConfig(**OFF)
    summary = preprocess(folder / "r1.fq.gz", out, config=config)
    assert records(out) == records(folder / "r1.fq.gz")
    assert summary.before[0].to_dict() == summary.after[0].to_dict()
    assert not any(summary.trimmed_bases.values())
    assert sum(summary.dropped.values()) == 0 and summary.molecules is None


def test_pairs_are_cut_at_their_insert_corrected_and_copies_dropped(example, cleaned):
    summary, out = cleaned
    insert = example[1]
    ends = [records(path) for path in out]
    assert len(ends[0]) == len(ends[1]) == summary.reads_out // 2
    for one, two in zip(*ends, strict=True):
        assert one[0].split("/")[0] == two[0].split("/")[0]
    number = np.array([int(name[5:].split("/")[0]) - 1 for name, _, _ in ends[0]])
    length = np.array([len(bases) for _, bases, _ in ends[0]])
    short = insert[number] < 90
    assert short.sum() > 50
    assert np.mean(np.abs(length - insert[number])[short] <= 1) > 0.9
    assert summary.kit.startswith("TruSeq (its first bases in ")
    assert summary.dropped["duplicate"] > 100
    assert 0.02 < summary.duplicate_share < 0.2
    kept = summary.passed - summary.dropped["duplicate"] // 2
    assert summary.molecules == pytest.approx(kept)
    assert summary.corrected_bases > 100 and "corrected in" in summary.correction
    assert 0 <= summary.false_trim_rate < 0.05
    assert summary.inserts.sum() > 100 and summary.inserts[:30].sum() == 0
    assert not list(out[0].parent.glob("*.part"))


def test_sums(cleaned):
    summary, out = cleaned
    assert summary.reads_in == 3000
    assert summary.reads_in == summary.reads_out + sum(summary.dropped.values())
    for part, path in zip(summary.after, out, strict=True):
        found = records(path)
        assert part.reads == len(found)
        assert part.total_bases == sum(len(bases) for _, bases, _ in found)
        assert part.q30 == sum(ord(c) >= 63 for _, _, q in found for c in q)
    summary.dropped["short"] += 1
    with pytest.raises(RuntimeError, match="3000 reads came in"):
        summary.check()
    summary.dropped["short"] -= 1


def test_json_has_what_multiqc_reads(cleaned, tmp_path):
    summary, _ = cleaned
    path = tmp_path / "run.fastp.json"
    summary.write_json(path)
    told = json.loads(path.read_text())
    before = told["summary"]["before_filtering"]
    assert before["total_reads"] == 3000 and 0 < before["gc_content"] < 1
    assert before["q30_rate"] < told["summary"]["after_filtering"]["q30_rate"]
    result = told["filtering_result"]
    names = ("low_quality", "too_many_N", "too_short", "too_long")
    reads = sum(result[f"{name}_reads"] for name in names)
    assert reads + result["passed_filter_reads"] == 3000
    for name in ("read1_before_filtering", "read2_after_filtering"):
        part = told[name]
        assert len(part["quality_curves"]["mean"]) == part["total_cycles"] == 100
        assert set(part["content_curves"]) == set("ACGTN") | {"GC"}
    assert 0 < told["duplication"]["rate"] < 1
    assert told["adapter_cutting"]["adapter_trimmed_reads"] > 100
    assert told["insert_size"]["histogram"][told["insert_size"]["peak"]] > 0


def test_report(cleaned, tmp_path):
    pytest.importorskip("matplotlib")
    summary, _ = cleaned
    write_preprocess_report(tmp_path / "run.html", summary)
    text = (tmp_path / "run.html").read_text()
    assert text.count("<img") == 4 and "cuts expected to be wrong" in text
    assert TRUSEQ in text and "src='http" not in text


def test_a_pipe_is_read_once(example, tmp_path):
    text = (example[0] / "r1.fq.gz").read_bytes()
    pipe, out = tmp_path / "pipe", tmp_path / "o.fq.gz"
    os.mkfifo(pipe)

    def feed():
        with contextlib.suppress(BrokenPipeError):
            pipe.write_bytes(text)

    feeder = threading.Thread(target=feed)
    feeder.start()
    preprocess(pipe, out, config=PreprocessingPipelineConfig(**OFF))
    feeder.join()
    assert records(out) == records(example[0] / "r1.fq.gz")
    feeder = threading.Thread(target=feed)
    feeder.start()
    with pytest.raises(ValueError, match="a pipe"):
        preprocess(pipe, tmp_path / "other.fq", drop_duplicates=True)
    feeder.join()
    assert not (tmp_path / "other.fq").exists()


def test_low_coverage_and_small_reads_are_not_corrected(tmp_path):
    rng = np.random.default_rng(0)
    for length, words in ((80, "are needed to tell errors"), (30, "small RNA")):
        drawn = rng.choice(list("ACGT"), (200, length))
        made = [(f"r{i}", "".join(row), "I" * length) for i, row in enumerate(drawn)]
        path, out = write(tmp_path / "r.fq", made), tmp_path / "o.fq"
        config = PreprocessingPipelineConfig(
            **OFF | {"enable_error_correction": True, "enable_filters": True}
        )
        summary = preprocess(path, out, config=config)
        assert summary.correction.startswith("not corrected: ")
        assert words in summary.correction and words in str(summary)
        assert records(out) == records(path)


def test_reasons(tmp_path):
    good = "ACGTTGCAAC" * 6
    made = [
        ("good", good, "I" * 60),
        ("short", good[:10], "I" * 10),
        ("n", "N" * 8 + good[8:], "I" * 60),
        ("low", good, "I" * 20 + "-" * 40),
    ]
    config = PreprocessingPipelineConfig(**OFF | {"enable_filters": True})
    out = tmp_path / "o.fq"
    summary = preprocess(write(tmp_path / "r.fq", made), out, config=config)
    assert [name for name, _, _ in records(out)] == ["@good"]
    dropped = {name: n for name, n in summary.dropped.items() if n}
    assert dropped == {"short": 1, "n_content": 1, "unqualified": 1}
    assert "too short 1" in str(summary)


def test_interleaved_is_the_same_as_two_files(example, tmp_path):
    folder, _ = example
    both = [records(folder / f"r{i}.fq.gz")[:60] for i in (1, 2)]
    flat = [(n[1:], b, q) for pair in zip(*both, strict=True) for n, b, q in pair]
    path = write(tmp_path / "i.fq", flat)
    config = PreprocessingPipelineConfig(
        **OFF | {"enable_quality_trimming": True, "enable_filters": True}
    )
    out = tmp_path / "o.fq"
    preprocess(path, out, interleaved=True, config=config)
    split = tmp_path / "1.fq", tmp_path / "2.fq"
    ends = [
        write(tmp_path / f"in{i}.fq", [(n[1:], b, q) for n, b, q in rows])
        for i, rows in enumerate(both)
    ]
    preprocess(ends[0], split[0], mates=ends[1], mate_output=split[1], config=config)
    pairs = zip(*map(records, split), strict=True)
    assert records(out) == [one for pair in pairs for one in pair]


def test_kits():
    for kit in KITS[1:4]:
        assert kit.first[:12] not in TRUSEQ


def test_a_kit_needs_evidence(tmp_path):
    rng = np.random.default_rng(1)
    drawn = ["".join(row) for row in rng.choice(list("ACGT"), (100, 60))]
    for adapter, name, sure in (
        ("CTGTCTCTTATACACATCT", "Nextera", True),
        ("", "TruSeq", False),
    ):
        made = [
            (f"r{i}", (row[:30] + adapter + row)[:60], "I" * 60)
            for i, row in enumerate(drawn)
        ]
        found = find_kit(next(read_fastq_blocks(write(tmp_path / "r.fq", made))))
        assert found.kit.name == name and found.sure == sure


def test_statistics_of_any_interval():
    rng = np.random.default_rng(2)
    bases = rng.integers(0, 5, (700, 64)).astype(np.uint8)
    qualities = rng.integers(0, 42, bases.shape).astype(np.uint8)
    start = rng.integers(0, 20, 700)
    end = start + rng.integers(0, 45, 700)
    found = CycleStatistics()
    for rows in (slice(0, 300), slice(300, 700)):
        found.add(bases[rows], qualities[rows], start[rows], end[rows])
    inside = (np.arange(64) >= start[:, None]) & (np.arange(64) < end[:, None])
    np.testing.assert_array_equal(found.depth, inside.sum(0))
    np.testing.assert_array_equal(found.quality, (qualities * inside).sum(0))
    for code in range(4):
        expected = ((bases == code) & inside).sum(0)
        np.testing.assert_array_equal(found.bases[code], expected)
    assert found.q20 == ((qualities >= 20) & inside).sum()
    np.testing.assert_array_equal(found.lengths, np.bincount(end - start))
