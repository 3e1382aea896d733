"""`diffbio-eqx de` as it is typed."""

import gzip
import shlex

import pytest
from fake_expression import use_fake
from refusal import assert_refused

from diffbio_eqx.jobs import de_plots

pytest.importorskip("formulaic")
pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    from diffbio_eqx.jobs.de_example import write_de_example

    folder = tmp_path_factory.mktemp("de") / "experiment"
    write_de_example(folder, genes=200, seed=1)
    return folder


@pytest.fixture
def de(run, experiment, tmp_path, monkeypatch):
    """Runs `de` into a fresh folder; (how it ended, what the folder then holds)."""
    use_fake(monkeypatch)
    folder = tmp_path / "out"
    folder.mkdir()

    def go(*options, counts=None, samples=None, output="results.tsv", design=None):
        done = run(
            "de",
            counts or experiment / "counts.tsv.gz",
            samples or experiment / "samples.tsv",
            "--design",
            design or "~ batch + condition",
            "-o",
            folder / output,
            *options,
        )
        return done, sorted(path.name for path in folder.iterdir())

    return go


def test_a_run(de, tmp_path):
    done, left = de("--contrast", "condition,treated,control")
    assert done.code == 0 and done.out == "" and left == ["results.tsv"]
    assert done.lines[0].startswith("condition treated vs control (8 samples, 200 ")
    assert done.lines[-1] == f"written to {tmp_path / 'out' / 'results.tsv'}"
    table = pandas.read_csv(tmp_path / "out" / "results.tsv", sep="\t", index_col=0)
    assert list(table.columns) == (
        "baseMean log2FoldChange lfcSE stat pvalue padj".split()
    )


def test_everything_that_can_be_written(de, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    done, left = de(
        *("--contrast", "condition_treated_vs_control", "--shrink", "apeglm"),
        *("--plots", out / "plots", "--report", out / "report.html"),
        *("--reference", "condition=control", "--no-cooks-filter"),
        output="results.tsv.gz",
    )
    assert done.code == 0, done.err
    assert left == ["plots", "report.html", "results.tsv.gz"]
    text = gzip.decompress((out / "results.tsv.gz").read_bytes()).decode()
    assert text.splitlines()[0].endswith("\tpadj\tsvalue")
    assert done.lines[-1] == f"report in {out / 'report.html'}"


def test_the_example_of_the_help(run, tmp_path, monkeypatch):
    use_fake(monkeypatch)
    monkeypatch.setattr(de_plots, "PLOTS", {"ma": de_plots.ma_plot})
    monkeypatch.chdir(tmp_path)
    text = run("de", "--help").out.replace("\\\n", " ")

    lines = [
        x for x in map(str.strip, text.splitlines()) if x.startswith("diffbio-eqx de")
    ]
    assert len(lines) == 2
    for line in lines:
        done = run(*shlex.split(line)[1:])
        assert done.code == 0, done.err
    assert (tmp_path / "results.tsv").exists()


def test_notes_and_warnings_are_lines(de, tmp_path):
    head = "sample\tbatch\tcondition\tdose\n"
    rows = [f"sample{i + 1}\tb{i // 4}\tc{i % 2}\t{i % 3}" for i in range(8)]
    rows[3] = rows[3].replace("c1", "c2")
    path = tmp_path / "samples.tsv"
    path.write_text(head + "\n".join(rows) + "\n")
    done, left = de(samples=path, design="~ condition + dose")
    assert done.code == 0 and left == ["results.tsv"]
    assert done.lines[0].startswith("warning: no replicates: sample sample4")
    assert done.lines[1].startswith("note: dose holds numbers")


def good(experiment):
    return gzip.decompress((experiment / "counts.tsv.gz").read_bytes()).decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: "", ["empty file"]),
        (lambda t: t.splitlines()[0] + "\n", ["only a header"]),
        (lambda t: t.replace("gene0002\t", "gene0001\t"), ["'gene0001' in rows 1"]),
        (lambda t: t.replace("sample2", "sample1"), ["'sample1' in columns 1 and 2"]),
        (lambda t: t.replace("gene0003\t", "gene0003\t0.5"), ["line 4", "whole"]),
        (lambda t: t.replace("gene0003\t", "gene0003\t-1"), ["line 4", "'sample1'"]),
        (lambda t: t.replace("gene0003\t", "gene0003\tNA\t"), ["line 4", "9 cells"]),
        (lambda t: t + "last\t1\t2\n", ["line 202", "9 cells", "got 3"]),
        (lambda t: t.replace("sample", "S"), ["'sample1'", "'S1'"]),
        (lambda t: t.replace("gene0005\t", "gene0005\tx"), ["line 6"]),
    ],
)
def test_bad_counts(de, experiment, tmp_path, change, words):
    path = tmp_path / "counts.tsv"
    path.write_text(change(good(experiment)))
    assert_refused(de(counts=path), *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: "", ["empty file"]),
        (lambda t: t.replace("sample8\tb2\ttreated\n", ""), ["'sample8'", "subset"]),
        (lambda t: t.replace("treated", ""), ["'condition'", "'sample2'"]),
        (lambda t: t.replace("treated", "control"), ["'control' in every sample"]),
        (lambda t: t.replace("sample2", "sample1"), ["'sample1' in rows 1 and 2"]),
        (lambda t: t + "sample9\tb1\tcontrol\n", ["'sample9'"]),
        (lambda t: t + "sample9\n", ["line 10", "3 cells"]),
    ],
)
def test_bad_samples(de, experiment, tmp_path, change, words):
    path = tmp_path / "samples.tsv"
    path.write_text(change((experiment / "samples.tsv").read_text()))
    assert_refused(de(samples=path), *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--contrast", "condition,sick,control"], ["'sick'", "control, treated"]),
        (["--contrast", "condition"], ["condition_treated_vs_control"]),
        (["--reference", "condition"], ["column=level"]),
        (["--reference", "condition=sick"], ["'sick'"]),
        (["--lrt", "~ batch + condition"], ["not smaller"]),
        (["--lrt", "~ nope"], ["'nope'"]),
        (["--shrink", "ridge"], ["'apeglm'"]),
        (["--pseudobulk", "donor"], ["donor,cell_type"]),
        (["--pseudobulk", "donor,type"], [".h5ad"]),
        (["--report", "page.txt"], [".html"]),
        (["--plots", __file__], ["a folder"]),
    ],
)
def test_options_that_cannot_be(de, options, words):
    assert_refused(de(*options), *words)


@pytest.mark.parametrize("design", ["~", "~ batch +", "~ batch + batch2", "y ~ batch"])
def test_designs_that_cannot_be(de, design):
    assert_refused(de(design=design), "design")


def test_files_and_folders_that_are_not_there(de, tmp_path):
    assert_refused(de(counts="no.tsv"), "counts not found: 'no.tsv'")
    assert_refused(de(samples="no.tsv"), "sample table not found: 'no.tsv'")
    assert_refused(de(output="no/results.tsv"), "create it")
    assert_refused(de(output="results.csv"), ".tsv")


def test_a_text_that_is_no_h5ad(run, tmp_path, monkeypatch):
    use_fake(monkeypatch)
    pytest.importorskip("anndata")
    path = tmp_path / "cells.h5ad"
    path.write_text("no")
    options = [
        "--pseudobulk",
        "donor,type",
        "--design",
        "~ x",
        "-o",
        tmp_path / "r.tsv",
    ]
    done = run("de", path, *options)
    assert done.code == 2 and "no h5ad file" in done.err and len(done.lines) == 1


def test_no_samples(run, experiment, tmp_path, monkeypatch):
    use_fake(monkeypatch)
    options = ["--design", "~ x", "-o", tmp_path / "r.tsv"]
    done = run("de", experiment / "counts.tsv.gz", *options)
    assert done.code == 2 and "a second file" in done.err


def test_a_refused_run_leaves_the_older_file_alone(de, tmp_path):
    old = tmp_path / "out" / "results.tsv"
    old.write_text("old\n")
    done, left = de("--contrast", "condition,a,b")
    assert done.code == 2 and left == ["results.tsv"]
    assert old.read_text() == "old\n"
