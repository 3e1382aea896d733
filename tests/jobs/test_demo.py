"""The demo, small: its files, its summary, and what it refuses."""

import pytest

FILES = {
    "calls.untrained.vcf.gz",
    "calls.untrained.vcf.gz.tbi",
    "calls.vcf.gz",
    "calls.vcf.gz.tbi",
    "confident.bed",
    "error_curve.png",
    "model.eqx",
    "reads.bam",
    "reads.bam.bai",
    "reference.fa",
    "reference.fa.fai",
    "summary.txt",
    "training.png",
    "truth.vcf.gz",
    "truth.vcf.gz.tbi",
}


@pytest.mark.slow
def test_a_small_demo_writes_everything_and_tells_it(tmp_path):
    pytest.importorskip("pysam")
    pytest.importorskip("matplotlib")
    from diffbio_eqx.checkpoint import load_metadata
    from diffbio_eqx.io.vcf_reader import read_vcf
    from diffbio_eqx.jobs.demo import run_demo

    told = []
    out = tmp_path / "demo"
    result = run_demo(out, length=60_000, steps=6, progress=False, tell=told.append)
    assert result.folder == out
    assert {path.name for path in out.iterdir()} == FILES
    assert all(path.stat().st_size > 0 for path in out.iterdir())
    summary = (out / "summary.txt").read_text()
    assert told[-1] == summary.rstrip("\n")
    assert [line.split()[0] for line in told[:-1]] == [
        "simulating",
        "calling",
        "training",
        "calling",
    ]
    # Nothing that is scored was trained on.
    border = 42_000
    split = load_metadata(out / "model.eqx")["split"]
    assert max(row[2] for row in split) <= border
    truth = [r for r in read_vcf(out / "truth.vcf.gz") if border <= r.position < 59_800]
    lines = summary.splitlines()
    for name, score in (("untrained", result.before), ("trained", result.after)):
        for kind in ("snp", "indel"):
            counts = getattr(score, kind)
            start = f"{name:<10} {kind:<6} {counts.tp_truth:>5} {counts.fp:>5} "
            assert sum(line.startswith(start) for line in lines) == 1
        file = "calls.vcf.gz" if name == "trained" else "calls.untrained.vcf.gz"
        calls = list(read_vcf(out / file))
        assert calls and min(r.position for r in calls) >= border
        found = score.all.tp_truth + score.all.fn
        assert 0.7 * len(truth) <= found <= 1.3 * len(truth) and found > 10
        assert score.snp.recall > 0.7
    assert result.training.reason in summary
    assert "--truth TRUTH.vcf.gz" in summary


def test_a_folder_in_use_is_refused(tmp_path):
    pytest.importorskip("pysam")
    from diffbio_eqx.jobs.demo import run_demo

    (tmp_path / "mine.txt").write_text("keep")
    told = []
    with pytest.raises(ValueError, match="new or empty"):
        run_demo(tmp_path, length=3000, steps=1, tell=told.append)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
