"""`diffbio-eqx preprocess` as it is typed, and what it refuses."""

import gzip
import json

import pytest
from refusal import assert_refused

pytest.importorskip("xopen")

READ = "ACGTTGCAACGATTACAGGC" * 3
QUICK = "--no-error-correction --no-duplicate-weighting --no-adapter-removal".split()


def fastq(path, reads):
    text = "".join(f"@{name}\n{b}\n+\n{'I' * len(b)}\n" for name, b in reads)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.fixture
def files(tmp_path):
    reads = [(f"r{i}", READ[i:]) for i in range(4)]
    return [fastq(tmp_path / f"r{i}.fq.gz", reads) for i in (1, 2)]


@pytest.fixture
def preprocess(run, tmp_path):
    """Runs into a fresh folder; (how it ended, what the folder then holds)."""
    folder = tmp_path / "out"
    folder.mkdir()

    def go(*arguments, output="o.fq"):
        done = run("preprocess", *arguments, "-o", folder / output, *QUICK)
        return done, sorted(path.name for path in folder.iterdir())

    return go


def test_a_run(preprocess, files, tmp_path):
    out = tmp_path / "out"
    done, left = preprocess(*files, "-O", out / "o2.fq", "--json", out / "x.fastp.json")
    assert done.code == 0 and done.out == "", done.err
    assert left == ["o.fq", "o2.fq", "x.fastp.json"]
    assert done.lines[0].startswith("8 reads (4 pairs) in, 8 out (100.0 %); ")
    told = json.loads((out / "x.fastp.json").read_text())
    assert told["command"].startswith("diffbio-eqx preprocess ")
    assert told["summary"]["after_filtering"]["total_reads"] == 8


def test_example(run, tmp_path):
    done = run("preprocess", "--example", tmp_path / "reads")
    assert done.code == 0
    names = sorted(path.name for path in (tmp_path / "reads").iterdir())
    assert names == ["r1.fq.gz", "r2.fq.gz"]
    assert "must be new or empty" in run("preprocess", "--example", tmp_path).err


def test_two_inputs_need_two_outputs(preprocess, files):
    assert_refused(preprocess(*files), "second reads", "-O OUT2.fq.gz")


def test_one_input_has_one_output(preprocess, files, tmp_path):
    outcome = preprocess(files[0], "-O", tmp_path / "out" / "o2.fq")
    assert_refused(outcome, "none for single reads", "--interleaved")


def test_input_is_never_the_output(run, files):
    before = files[0].read_bytes()
    done = run("preprocess", files[0], "-o", files[0], *QUICK)
    assert done.code == 2 and "another file" in done.err
    assert files[0].read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--umi-tag", "RX"], "--umi-tag: expected to be left out for FASTQ"),
        (["--report", "x.pdf"], "--report"),
        (["--json", "/nowhere/x.json"], "--json"),
        (["--drop-duplicates"], "--no-duplicate-weighting"),
        (["--adapter-match-threshold", "2"], "match_threshold"),
        (["--interleaved"], "that of its mate"),
    ],
)
def test_options_that_do_not_fit(run, files, tmp_path, options, words):
    off = QUICK[:2] if "2" in options else QUICK
    done = run("preprocess", files[0], "-o", tmp_path / "o.fq", *options, *off)
    assert done.code == 2 and len(done.lines) == 1
    assert words in done.err
    assert not (tmp_path / "o.fq").exists()


def test_bad_files(preprocess, files, tmp_path):
    assert_refused(preprocess(tmp_path / "none.fq"), "none.fq")
    empty = tmp_path / "empty.fq"
    empty.write_text("")
    assert_refused(preprocess(empty), "empty.fq")
    short = tmp_path / "short.fq.gz"
    short.write_bytes(files[0].read_bytes()[:-20])
    assert_refused(preprocess(short), "short.fq.gz")
    fewer = fastq(tmp_path / "fewer.fq", [("r0", READ)])
    second = tmp_path / "out" / "o2.fq"
    assert_refused(preprocess(files[0], fewer, "-O", second), "ends after 1 records")
    other = fastq(tmp_path / "other.fq", [(f"x{i}", READ) for i in range(4)])
    assert_refused(preprocess(files[0], other, "-O", second), "x0")


def test_an_older_output_stays_when_the_input_is_bad(run, files, tmp_path):
    out = tmp_path / "o.fq"
    out.write_text("old")
    lines = fastq(tmp_path / "bad.fq", [("r0", READ), ("r1", READ)])
    lines.write_text(lines.read_text() + "@r2\nACG\n+\nII\n")
    assert run("preprocess", lines, "-o", out, *QUICK).code == 2
    assert out.read_text() == "old" and not list(tmp_path.glob("*.part"))


def test_aligned_reads(run, simulation, tmp_path):
    out = tmp_path / "marked.bam"
    told = tmp_path / "marked.json"
    done = run("preprocess", simulation.reads, "-o", out, "--json", told)
    assert done.code == 0, done.err
    assert "copies" in done.err and out.exists()
    assert json.loads(told.read_text())["records"] > 0
    done = run("preprocess", simulation.reads, "-o", tmp_path / "x.bam", "-O", "y")
    assert done.code == 2 and "aligned reads" in done.err


@pytest.mark.parametrize(
    "options, name",
    [
        (["--quality-threshold", "10"], "--quality-threshold"),
        (["--no-error-correction"], "--no-error-correction"),
        (["--interleaved"], "--interleaved"),
        (["-O", "second.bam"], "-O"),
    ],
)
def test_options_of_fastq_are_refused_for_alignments(
    run, simulation, tmp_path, options, name
):
    out = tmp_path / "out"
    out.mkdir()
    done = run("preprocess", simulation.reads, "-o", out / "x.bam", *options)
    left = [path.name for path in out.iterdir()]
    assert_refused((done, left), f"{name}: expected to be left out for aligned reads")


@pytest.mark.parametrize("same", [True, False])
def test_identifiers_tell_molecules_apart(run, simulation, tmp_path, same):
    """Every read twice: copies if their identifiers agree."""
    pysam = pytest.importorskip("pysam")
    twice, out = tmp_path / "twice.bam", tmp_path / "marked.bam"
    with pysam.AlignmentFile(str(simulation.reads)) as source:
        with pysam.AlignmentFile(str(twice), "wb", template=source) as target:
            for read in source:
                read.is_duplicate = False
                read.set_tag("RX", "AAAAAAAA")
                target.write(read)
                read.query_name += "b"
                read.set_tag("RX", "AAAAAAAA" if same else "CCCCCCCC")
                target.write(read)
    done = run("preprocess", twice, "-o", out, "--umi-tag", "RX")
    assert done.code == 0, done.err
    with pysam.AlignmentFile(str(out)) as found:
        marked = [read.is_duplicate for read in found]
    share = sum(marked) / len(marked)
    assert 0.45 < share < 0.6 if same else share < 0.1


def test_a_trained_pipeline_is_used(preprocess, files, tmp_path):
    import diffbio_eqx as dbx

    strict = dbx.create_preprocessing_pipeline(quality_threshold=45.0)
    dbx.save(tmp_path / "strict.eqx", strict)
    done, _ = preprocess(files[0], "--checkpoint", tmp_path / "strict.eqx")
    assert done.code == 0 and "4 reads in, 0 out" in done.err, done.err


def test_a_checkpoint_of_another_kind(preprocess, files, tmp_path):
    import diffbio_eqx as dbx

    dbx.save(tmp_path / "de.eqx", dbx.create_differential_expression_pipeline())
    outcome = preprocess(files[0], "--checkpoint", tmp_path / "de.eqx")
    assert_refused(outcome, "--checkpoint", "PreprocessingPipeline")
