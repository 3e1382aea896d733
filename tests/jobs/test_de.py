"""Differential expression on files: what is written, said and refused."""

import base64
import re
import warnings

import numpy as np
import pytest
from fake_expression import use_fake

from diffbio_eqx.jobs.de import differential_expression
from diffbio_eqx.jobs.de_example import write_de_example

pytest.importorskip("formulaic")
pandas = pytest.importorskip("pandas")

SIX = ["baseMean", "log2FoldChange", "lfcSE", "stat", "pvalue", "padj"]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("de") / "example"
    write_de_example(folder, genes=300, seed=2)
    return folder


@pytest.fixture
def run(experiment, tmp_path, monkeypatch):
    use_fake(monkeypatch)

    def go(counts=None, samples=None, output="results.tsv", **options):
        options = {
            "design": "~ batch + condition",
            "contrast": ("condition", "treated", "control"),
            **options,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return differential_expression(
                experiment / "counts.tsv.gz" if counts is None else counts,
                experiment / "samples.tsv" if samples is None else samples,
                tmp_path / output,
                **options,
            )

    return go


def table_of(path):
    return pandas.read_csv(path, sep="\t", index_col=0)


def test_the_table_has_the_columns_of_deseq2_and_the_genes_in_order(run, tmp_path):
    summary = run()
    table = table_of(tmp_path / "results.tsv")
    assert list(table.columns) == SIX and table.index.name == "gene"
    assert list(table.index) == [f"gene{i + 1:04d}" for i in range(300)]
    part = summary.result
    for name in SIX:
        np.testing.assert_allclose(table[name], part.columns[name], rtol=1e-9)
    assert part.result.base_mean.dtype == np.float64
    assert part.info.coefficient_names[-1] == "condition_treated_vs_control"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.tsv"]


def test_what_is_said(run):
    text = str(run())
    assert "condition treated vs control (8 samples, 300 genes" in text
    c = run().result.counts
    assert f"adjusted p < 0.1: {c['up']} (" in text and f"{c['down']} (" in text
    assert c["up"] > 0 and c["with counts"] + c["without counts"] == 300


def test_counts_of_genes_are_those_of_the_table(run, tmp_path):
    part = run(alpha=0.01, lfc_threshold=0.5).result
    table, c = table_of(tmp_path / "results.tsv"), part.counts
    found = table[table.padj < 0.01]
    assert c["up"] == (found.log2FoldChange > 0.5).sum()
    assert c["down"] == (found.log2FoldChange < -0.5).sum()
    assert c["low counts"] == (table.pvalue.notna() & table.padj.isna()).sum()


def test_samples_may_be_in_another_order(run, experiment, tmp_path):
    head, *rows = (experiment / "samples.tsv").read_text().splitlines()
    other = tmp_path / "samples.tsv"
    other.write_text("\n".join([head, *rows[::-1]]) + "\n")
    first, second = run().result.columns, run(samples=other).result.columns
    for name in SIX:
        np.testing.assert_array_equal(first[name], second[name])


def test_the_reverse_contrast_changes_the_sign(run):
    forth = run().result.columns["log2FoldChange"]
    back = run(contrast="condition,control,treated").result.columns["log2FoldChange"]
    np.testing.assert_allclose(back, -forth, rtol=1e-9)
    ref = run(reference_levels={"condition": "treated"}, contrast=None)
    assert ref.result.info.contrast_name == "condition control vs treated"
    np.testing.assert_allclose(ref.result.columns["log2FoldChange"], -forth, rtol=1e-6)


def test_shrinkage_replaces_effects_and_keeps_the_test(run):
    plain, shrunk = run().result.columns, run(shrink="apeglm").result.columns
    np.testing.assert_allclose(
        shrunk["log2FoldChange"], plain["log2FoldChange"] / 2, rtol=1e-9
    )
    np.testing.assert_array_equal(shrunk["pvalue"], plain["pvalue"])
    assert list(shrunk) == [*SIX, "svalue"]
    assert list(run(shrink="normal").result.columns) == SIX


@pytest.mark.parametrize("shrink", ["apeglm", "normal"])
def test_shrinkage_of_other_contrasts_is_explained(run, shrink):
    summary = run(shrink=shrink, contrast="condition,control,treated")
    assert "control vs treated is no coefficient of the design" in summary.notes[0]
    assert not run(shrink=shrink).notes


def test_normal_shrinkage_is_not_for_interactions(run):
    with pytest.raises(ValueError, match="'apeglm' for a design with interactions"):
        run(shrink="normal", design="~ batch * condition", contrast=None)
    assert run(shrink="apeglm", design="~ batch * condition", contrast=None).parts


def test_the_likelihood_ratio_test_is_passed_on(run):
    summary = run(lrt="~ batch")
    assert summary.result.test == "lrt"
    assert "~ batch + condition against ~ batch" in str(summary)


def test_what_the_data_decide_is_a_warning(run, experiment, tmp_path):
    with pytest.raises(UserWarning, match="a local one"):
        run(trend="local")
    table = table_of(experiment / "counts.tsv.gz")
    for j in range(8):
        table.iloc[j::8, j] = 0
    zeros = tmp_path / "zeros.tsv"
    table.to_csv(zeros, sep="\t")
    with pytest.raises(UserWarning, match="poscounts"):
        run(zeros)


def test_arrays_are_not_needed_on_disk(run, experiment, tmp_path):
    frame = pandas.read_csv(experiment / "samples.tsv", sep="\t", index_col=0)
    summary = run(samples=frame)
    assert summary.result.samples == tuple(frame.index)


def test_h5ad_with_its_own_samples(run, experiment, tmp_path):
    anndata = pytest.importorskip("anndata")
    counts = table_of(experiment / "counts.tsv.gz").T
    obs = pandas.read_csv(experiment / "samples.tsv", sep="\t", index_col=0)
    data = anndata.AnnData(counts.to_numpy(float), obs=obs)
    data.var_names = list(counts.columns)
    data.write_h5ad(tmp_path / "bulk.h5ad")
    expected = run().result.columns
    summary = differential_expression(
        tmp_path / "bulk.h5ad",
        None,
        tmp_path / "r.tsv",
        design="~ batch + condition",
    )
    np.testing.assert_allclose(
        summary.result.columns["stat"], expected["stat"], rtol=1e-9
    )


def test_plots(run, tmp_path):
    pytest.importorskip("matplotlib")
    run(plots=tmp_path / "plots")
    names = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert names == [
        "dispersion.png",
        "ma.png",
        "p_values.png",
        "size_factors.png",
        "size_factors.tsv",
        "volcano.png",
    ]
    for path in (tmp_path / "plots").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
    table = table_of(tmp_path / "plots" / "size_factors.tsv")
    assert list(table.columns) == ["size_factor", "library_size"] and len(table) == 8


def test_the_report_holds_everything(run, tmp_path):
    pytest.importorskip("matplotlib")
    from diffbio_eqx.jobs.de_report import write_de_report

    summary = run()
    write_de_report(tmp_path / "report.html", summary)
    text = (tmp_path / "report.html").read_text()
    images = re.findall(r"src='data:image/png;base64,([^']+)'", text)
    assert len(images) == 5
    assert all(base64.b64decode(x).startswith(b"\x89PNG") for x in images)
    assert "http" not in text
    best = np.nanargmin(summary.result.columns["pvalue"])
    assert summary.result.genes[best] in text and "~ batch + condition" in text


def with_column(experiment, values):
    rows = (experiment / "samples.tsv").read_text().splitlines()
    extra = ["x", *values]
    return "\n".join(f"{a}\t{b}" for a, b in zip(rows, extra, strict=True)) + "\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"design": "~ nope"}, ["'nope'"]),
        ({"contrast": "condition,sick,control"}, ["'sick'"]),
        ({"lrt": "~ other"}, ["'other'"]),
        ({"shrink": "ashr"}, ["'apeglm'"]),
        ({"output": "results.xlsx"}, [".tsv"]),
        ({"output": "no/results.tsv"}, ["create it"]),
        ({"vst": "no/vst.tsv"}, ["create it"]),
        ({"counts": "no.tsv"}, ["counts not found"]),
        ({"samples": "no.tsv"}, ["sample table not found"]),
        ({"groups": ("donor", "type")}, ["as .h5ad"]),
        ({"reference_levels": {"condition": "sick"}}, ["'sick'"]),
    ],
)
def test_what_cannot_be(run, tmp_path, options, words):
    with pytest.raises(ValueError) as error:
        run(**options)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_no_table_of_samples(experiment, tmp_path, monkeypatch):
    use_fake(monkeypatch)
    with pytest.raises(ValueError, match="a second file"):
        differential_expression(
            experiment / "counts.tsv.gz", None, tmp_path / "r.tsv", design="~ 1"
        )


@pytest.mark.parametrize("column", [0, slice(None)])
def test_samples_without_counts(run, experiment, tmp_path, column):
    table = table_of(experiment / "counts.tsv.gz")
    table.iloc[:, column] = 0
    path = tmp_path / "zeros.tsv"
    table.to_csv(path, sep="\t")
    word = "'sample1'" if column == 0 else "zeros only"
    with pytest.raises(ValueError, match=word):
        run(path)
    assert [p.name for p in tmp_path.iterdir()] == ["zeros.tsv"]


def test_the_example_is_what_it_says(tmp_path):
    made = write_de_example(tmp_path / "a", genes=50, seed=4)
    from diffbio_eqx.io.count_tables import read_counts, read_samples

    table = read_counts(tmp_path / "a" / "counts.tsv.gz")
    np.testing.assert_array_equal(table.counts, made.counts)
    samples = read_samples(tmp_path / "a" / "samples.tsv")
    assert samples.columns["condition"].levels == ("control", "treated")
    with pytest.raises(ValueError, match="new or empty"):
        write_de_example(tmp_path)


def test_stabilised_values_are_written(run, tmp_path, monkeypatch):
    import diffbio_eqx.jobs.de as job

    def stand_in(pipeline, one, design, *, blind):
        return one.counts.counts + (1000 if blind else 0)

    monkeypatch.setattr(job, "_stabilised", stand_in)
    run(vst=tmp_path / "vst.tsv.gz")
    table = table_of(tmp_path / "vst.tsv.gz")
    counts = run(vst=tmp_path / "vst.tsv", vst_blind=False)
    assert list(table.columns) == list(counts.result.samples)
    np.testing.assert_array_equal(table, table_of(tmp_path / "vst.tsv") + 1000)


@pytest.mark.slow
def test_a_real_run_is_that_of_r(data_root, tmp_path):
    counts = data_root / "data" / "expression" / "sim_outliers_counts.tsv.gz"
    reference = data_root / "reference" / "expression" / "sim_outliers_condition_only_R"
    summary = differential_expression(
        counts,
        counts.with_name("sim_outliers_coldata.tsv"),
        tmp_path / "results.tsv",
        design="~ condition",
        contrast="condition,B,A",
        shrink="apeglm",
        vst=tmp_path / "vst.tsv",
    )
    ours = table_of(tmp_path / "results.tsv")
    assert list(ours.columns) == [*SIX, "svalue"] and len(ours) == 1500
    wald = table_of(reference / "wald.tsv.gz")
    shrunken = table_of(reference / "shrinkage.tsv.gz")
    stabilised = table_of(reference / "vst_blind.tsv.gz")
    assert ours.loc[~ours.index.isin(wald.index)].padj.isna().all()
    ours = ours.loc[wald.index]
    for name, column in {
        "baseMean": wald.baseMean,
        "stat": wald.stat,
        "pvalue": wald.pvalue_default,
        "padj": wald.padj_default,
        "log2FoldChange": shrunken.apeglm_log2FoldChange.loc[wald.index],
        "lfcSE": shrunken.apeglm_lfcSE.loc[wald.index],
    }.items():
        assert (ours[name].isna() == column.isna()).all()
        np.testing.assert_allclose(ours[name], column, rtol=1e-4, atol=1e-4)
    ours = table_of(tmp_path / "vst.tsv").loc[stabilised.index]
    np.testing.assert_allclose(ours, stabilised, atol=1e-4)
    c = summary.result.counts
    # By shrunken effects, one of which is on the other side of 0 (118 and 111 else).
    assert (c["up"], c["down"], c["outliers replaced"]) == (117, 112, 49)
