"""Pseudo-bulk: sums over cells, and what is constant within a donor."""

import warnings

import numpy as np
import pytest
from fake_expression import use_fake

from diffbio_eqx.io.anndata_counts import AnnDataCounts, read_anndata_counts
from diffbio_eqx.jobs import de_plots
from diffbio_eqx.jobs.de import differential_expression
from diffbio_eqx.jobs.pseudobulk import pseudobulk_counts

anndata = pytest.importorskip("anndata")
pandas = pytest.importorskip("pandas")
sparse = pytest.importorskip("scipy.sparse")
pytest.importorskip("formulaic")

DONORS = [f"d{i}" for i in range(6)]


def cells(seed=0, genes=40):
    """Six donors in two conditions, three types; d5 has three cells of type c."""
    draw = np.random.default_rng(seed)
    rows = [
        (donor, kind)
        for donor in DONORS
        for kind in "abc"
        for _ in range(3 if (donor, kind) == ("d5", "c") else 12)
    ]
    donors = np.array([r[0] for r in rows])
    number = np.array([int(d[1:]) for d in donors])
    counts = draw.poisson(draw.gamma(1, 3, genes), (len(rows), genes))
    counts[:, :5] *= 1 + (number % 2)[:, None]
    obs = pandas.DataFrame(
        {
            "donor": pandas.Categorical(donors),
            "cell_type": pandas.Categorical([r[1] for r in rows]),
            "condition": np.where(number % 2, "sick", "well"),
            "age": number * 1.5 + 20,
            "depth": counts.sum(1),
            "phase": draw.choice(["G1", "S"], len(rows)),
        },
        index=[f"cell{i}" for i in range(len(rows))],
    )
    order = draw.permutation(len(rows))
    data = anndata.AnnData(sparse.csr_matrix(counts[order].astype(np.float32)))
    data.obs = obs.iloc[order]
    data.var_names = [f"g{i}" for i in range(genes)]
    return data


def expected_sums(data):
    frame = pandas.DataFrame(
        np.asarray(data.X.todense(), float), columns=data.var_names
    )
    keys = [data.obs[name].astype(str).to_numpy() for name in ("cell_type", "donor")]
    return frame.groupby(keys).sum()


def stored(data, path, form):
    data = data.copy()
    if form == "csc":
        data.X = data.X.tocsc()
    elif form == "dense":
        data.X = data.X.toarray()
    elif form == "layer":
        data.layers["counts"] = data.X.astype(np.int32)
        data.X = data.X * 0.5
    elif form == "raw":
        data.raw = data.copy()
        data = data[:, :7].copy()
        data.X = data.X.toarray() / 3 + 0.1
    data.write_h5ad(path)
    return path


@pytest.mark.parametrize("form", ["csr", "csc", "dense", "layer", "raw"])
def test_sums_are_those_of_the_cells(tmp_path, monkeypatch, form):
    import diffbio_eqx.io.anndata_counts as module

    monkeypatch.setattr(module, "_BLOCK_VALUES", 40 * 17)  # several blocks
    data = cells()
    bulks = pseudobulk_counts(
        stored(data, tmp_path / "c.h5ad", form), "donor", "cell_type"
    )
    assert [bulk.cell_type for bulk in bulks] == ["a", "b", "c"]
    expected = expected_sums(data)
    for bulk in bulks:
        assert bulk.counts.genes == tuple(data.var_names)
        wanted = expected.loc[bulk.cell_type].loc[list(bulk.counts.samples)]
        np.testing.assert_array_equal(bulk.counts.counts, wanted.to_numpy())
    assert bulks[0].counts.samples == tuple(DONORS)
    assert bulks[2].counts.samples == tuple(DONORS[:5])
    assert bulks[2].left_out == {"d5": 3} and bulks[0].left_out == {}
    assert bulks[0].cells.tolist() == [12] * 6


def test_an_object_in_memory_gives_the_same(tmp_path):
    data = cells()
    first = pseudobulk_counts(data, "donor", "cell_type")
    second = pseudobulk_counts(
        stored(data, tmp_path / "c.h5ad", "csr"), "donor", "cell_type"
    )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.counts.counts, b.counts.counts)


def test_columns_that_vary_within_a_donor_are_not_of_the_donor():
    bulk = pseudobulk_counts(cells(), "donor", "cell_type")[0]
    assert sorted(bulk.samples.columns) == ["age", "condition", "donor"]
    assert set(bulk.varying) == {"cell_type", "depth", "phase"}
    assert bulk.samples.columns["condition"].texts() == ["well", "sick"] * 3
    np.testing.assert_array_equal(bulk.samples.columns["age"], 1.5 * np.arange(6) + 20)


def test_cells_without_a_donor_are_left_out_aloud():
    data = cells()
    data.obs["donor"] = data.obs["donor"].astype(object).where(data.obs.donor != "d0")
    with pytest.warns(UserWarning, match="36 cells without a value in 'donor'"):
        bulks = pseudobulk_counts(data, "donor", "cell_type")
    assert bulks[0].counts.samples == tuple(DONORS[1:])


def test_one_run_a_cell_type_in_one_long_table(tmp_path, monkeypatch):
    use_fake(monkeypatch)
    monkeypatch.setattr(de_plots, "PLOTS", {"ma": de_plots.ma_plot})
    path = stored(cells(), tmp_path / "cells.h5ad", "csr")
    summary = differential_expression(
        path,
        None,
        tmp_path / "results.tsv",
        design="~ condition",
        contrast="condition,sick,well",
        groups=("donor", "cell_type"),
        plots=tmp_path / "plots",
    )
    table = pandas.read_csv(tmp_path / "results.tsv", sep="\t")
    assert list(table.columns[:3]) == ["gene", "cell_type", "baseMean"]
    assert table.cell_type.value_counts().to_dict() == {"a": 40, "b": 40, "c": 40}
    assert (table.groupby("gene").log2FoldChange.mean()[["g0", "g1"]] > 0.5).all()
    assert [len(part.samples) for part in summary.parts] == [6, 6, 5]
    assert "c: 1 samples of fewer than 10 cells are left out: d5 (3)" in summary.notes
    assert (tmp_path / "plots" / "b" / "ma.png").exists()
    assert "a: condition sick vs well (6 samples, 40 genes" in str(summary)
    with pytest.raises(ValueError, match="a result for each of a, b, c"):
        summary.result.info  # noqa: B018


def test_a_type_that_cannot_be_tested_is_skipped_aloud(tmp_path, monkeypatch):
    use_fake(monkeypatch)
    data = cells()
    data = data[~((data.obs.cell_type == "b") & (data.obs.condition == "sick"))]
    with pytest.warns(UserWarning, match="b: not tested; column 'condition'"):
        summary = differential_expression(
            data.copy(),
            None,
            tmp_path / "r.tsv",
            design="~ condition",
            groups=("donor", "cell_type"),
        )
    assert [part.cell_type for part in summary.parts] == ["a", "c"]
    assert list(summary.skipped) == ["b"] and "not tested: b" in str(summary)


def test_a_table_of_donors(tmp_path, monkeypatch):
    use_fake(monkeypatch)
    table = tmp_path / "donors.tsv"
    rows = [f"{d}\t{'mn'[i % 2]}" for i, d in enumerate(DONORS[::-1])]
    table.write_text("donor\tsex\n" + "\n".join(rows) + "\n")
    options = {"design": "~ sex", "groups": ("donor", "cell_type")}
    summary = differential_expression(cells(), table, tmp_path / "r.tsv", **options)
    assert summary.parts[0].info.coefficient_names[1] == "sex_n_vs_m"
    table.write_text("\n".join(["donor\tsex", *rows[1:]]) + "\n")
    with pytest.raises(ValueError, match="each donor.*'d5'"):
        differential_expression(cells(), table, tmp_path / "r.tsv", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"design": "~ phase"}, ["'phase'", "varies within 'd", "--pseudobulk"]),
        ({"design": "~ condition + log(depth)"}, ["'depth'"]),
        ({"groups": ("donor", "kind")}, ["'kind'", "cell_type"]),
        ({"groups": ("donor",)}, ["two columns"]),
        ({"min_cells": 100}, ["100 cells", "at most 12"]),
        ({"min_cells": 0}, ["min_cells"]),
        ({"layer": "spliced"}, ["layers['spliced']"]),
    ],
)
def test_what_cannot_be(tmp_path, monkeypatch, options, words):
    use_fake(monkeypatch)
    options = {
        "design": "~ condition",
        "groups": ("donor", "cell_type"),
        **options,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError) as error:
            differential_expression(cells(), None, tmp_path / "r.tsv", **options)
    for word in words:
        assert word in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_files_that_hold_no_counts(tmp_path):
    path = tmp_path / "c.h5ad"
    path.write_text("gene\ts1\n")
    with pytest.raises(ValueError, match="no h5ad file"):
        AnnDataCounts(path)
    data = cells()
    data.X = data.X * 0.3
    with pytest.raises(ValueError, match="raw counts in layers.*none in X.*--layer"):
        AnnDataCounts(data)
    with pytest.raises(ValueError, match="'cell.*gene 'g.*whole number"):
        pseudobulk_counts(data, "donor", "cell_type", layer="X")


def test_names_that_repeat():
    data = cells()
    data.var_names = ["g0", *data.var_names[:-1]]
    with pytest.raises(ValueError, match="'g0' twice.*var_names_make_unique"):
        pseudobulk_counts(data, "donor", "cell_type")
    data = cells()[:4].copy()
    data.obs_names = ["x", "y", "x", "z"]
    with pytest.raises(ValueError, match="sample once, got 'x' twice"):
        read_anndata_counts(data)
