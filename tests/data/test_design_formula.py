"""Designs from formulas: R's columns and names, contrasts, and what is refused."""

import dataclasses
import warnings

import numpy as np
import pytest

pytest.importorskip("formulaic")

from diffbio_eqx.data import Design, SampleTable, design_from_formula
from diffbio_eqx.data.sample_table import Factor

TABLE = {
    "cond": list("AABBCCAABBCC"),
    "batch": ["b1", "b2"] * 6,
    "age": [31.5, 42, 55, 38, 61, 47, 33, 52, 44, 58, 36, 49],
    "sex": [0, 1, 1, 0, 0, 1, 0, 1, 0, 1, 1, 0],
    "odd": ["x-1", "x 2"] * 6,
    "pair": list("ppppppqqqqqq"),
    "same": ["k"] * 12,
    "five": [5] * 12,
    "gap": [None, *["u", "v"] * 5, "u"],
    "hole": [np.nan, *range(11)],
    "group": list("AABBCCAABBCC"),
}


def made(formula, contrast=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return design_from_formula(TABLE, formula, contrast, **options)


# Columns and names as model.matrix of R 4.2.2 and resultsNames of DESeq2 1.38.3.
@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("~ cond", "Intercept cond_B_vs_A cond_C_vs_A"),
        ("~ batch + cond", "Intercept batch_b2_vs_b1 cond_B_vs_A cond_C_vs_A"),
        ("cond", "Intercept cond_B_vs_A cond_C_vs_A"),
        ("~ 0 + cond", "condA condB condC"),
        ("~ cond - 1", "condA condB condC"),
        ("~ 0 + batch + cond", "batchb1 batchb2 condB condC"),
        ("~ age + batch", "Intercept age batch_b2_vs_b1"),
        ("~ odd", "Intercept odd_x.1_vs_x.2"),
        (
            "~ batch * cond",
            "Intercept batch_b2_vs_b1 cond_B_vs_A cond_C_vs_A batchb2.condB "
            "batchb2.condC",
        ),
        (
            "~ batch:age + batch",
            "Intercept batch_b2_vs_b1 batchb1.age batchb2.age",
        ),
        (
            "~ pair + pair:batch",
            "Intercept pair_q_vs_p pairp.batchb2 pairq.batchb2",
        ),
        ("~ 0 + batch:pair", "batchb1.pairp batchb2.pairp batchb1.pairq batchb2.pairq"),
        ("~ scale(age) + I(age^2)", "Intercept scale.age. I.age.2."),
        ("~ sex", "Intercept sex"),
        ("~ factor(sex)", "Intercept sex_1_vs_0"),
        ("~ 1", "Intercept"),
    ],
)
def test_names_are_those_of_deseq2(formula, names):
    design, info = made(formula)
    assert info.coefficient_names == tuple(names.split())
    assert design.matrix.shape == (12, len(info.coefficient_names))


def test_columns_are_those_of_r():
    codes = np.array([0, 0, 1, 1, 2, 2] * 2)
    second = np.array([0, 1] * 6)
    dummies = np.stack([codes == 1, codes == 2], 1).astype(float)
    design, _ = made("~ batch * cond")
    expected = np.column_stack(
        [np.ones(12), second, dummies, second[:, None] * dummies]
    )
    np.testing.assert_array_equal(design.matrix, expected)
    scaled, _ = made("~ scale(age) + I(age^2) + log2(sex + 1)")
    age = np.array(TABLE["age"])
    np.testing.assert_allclose(
        scaled.matrix[:, 1], (age - age.mean()) / age.std(ddof=1)
    )
    np.testing.assert_allclose(scaled.matrix[:, 2], age**2)
    np.testing.assert_allclose(scaled.matrix[:, 3], TABLE["sex"])


def test_levels_are_sorted_as_in_r():
    # R 4.2.2: sort() of these in C.UTF-8, whose order is ICU's.
    order = "_x -a (x) #1 + ~y 1 10 1a 2 a_b a-b a.b a1 A1 a10 aa Aa ab B CD4 CD4- CD4+"
    order = order.split() + ["ctrl", "Ctrl", "e", "é", "f", "treated", "Treated", "z"]
    assert list(Factor.of(order[::-1]).levels) == order


@pytest.mark.parametrize(
    ("formula", "contrast", "vector", "compared"),
    [
        ("~ cond", ("cond", "B", "A"), [0, 1, 0], "AB"),
        ("~ cond", "cond,B,A", [0, 1, 0], "AB"),
        ("~ cond", ("cond", "A", "B"), [0, -1, 0], "AB"),
        ("~ cond", ("cond", "C", "B"), [0, -1, 1], "BC"),
        ("~ 0 + cond", ("cond", "C", "A"), [-1, 0, 1], "AC"),
        ("~ 0 + cond", None, [-1, 0, 1], "AC"),
        ("~ 0 + batch + cond", ("cond", "B", "A"), [0, 0, 1, 0], "AB"),
        ("~ 0 + batch + cond", ("cond", "C", "B"), [0, 0, -1, 1], "BC"),
        ("~ cond", None, [0, 0, 1], "ABC"),
        ("~ cond", "cond_B_vs_A", [0, 1, 0], "ABC"),
        ("~ cond", "condB", [0, 1, 0], "ABC"),
        ("~ cond + age", "age", [0, 0, 0, 1], "ABC"),
        ("~ cond", [0, 1, -1], [0, 1, -1], "BC"),
        ("~ cond", "0,1,-1", [0, 1, -1], "BC"),
        ("~ cond", [0, 0.5, 0.5], [0, 0.5, 0.5], "ABC"),
        ("~ cond", [0, -1, 0], [0, -1, 0], "ABC"),
    ],
)
def test_contrasts(formula, contrast, vector, compared):
    design, info = made(formula, contrast)
    np.testing.assert_array_equal(design.contrast, vector)
    np.testing.assert_array_equal(
        design.contrast_samples, np.isin(TABLE["cond"], list(compared))
    )
    one = np.count_nonzero(vector) == 1 and max(vector) == 1
    assert info.coefficient == (vector.index(1) if one else None)


def test_the_contrast_has_a_name():
    assert made("~ cond", ("cond", "C", "B"))[1].contrast_name == "cond C vs B"
    assert made("~ cond + age", "age")[1].contrast_name == "age"


def test_reference_levels():
    design, info = made("~ cond", reference_levels={"cond": "B"})
    assert info.coefficient_names[1:] == ("cond_A_vs_B", "cond_C_vs_B")
    assert info.reference_levels == {"cond": "B"}
    assert design.matrix[0].tolist() == [1, 1, 0]


def test_a_reduced_design():
    design, info = made("~ batch + cond", reduced="~ batch")
    assert design.reduced.shape == (12, 2)
    assert info.reduced_names == ("Intercept", "batch_b2_vs_b1")
    assert made("~ age + sex", reduced="~ 1")[0].reduced.shape == (12, 1)


def test_a_column_of_zero_and_one_is_a_number_and_it_is_said():
    design, info = made("~ sex")
    np.testing.assert_array_equal(design.matrix[:, 1], TABLE["sex"])
    assert "factor(sex)" in info.notes[0]
    assert not made("~ cond")[1].notes
    assert "scale(age)" in made("~ age")[1].notes[0]


def test_numbers_as_text_become_numbers():
    table = SampleTable.from_columns(
        list("abcd"), {"x": ["1", "2.5", "", "1e2"], "y": ["1_1", "1_2", "NA", "1_3"]}
    )
    np.testing.assert_array_equal(table.columns["x"], [1, 2.5, np.nan, 100])
    assert table.columns["y"].texts() == ["1_1", "1_2", None, "1_3"]


def test_a_frame_keeps_the_order_of_its_categories():
    pandas = pytest.importorskip("pandas")
    levels = pandas.Categorical(["lo", "hi"] * 3, categories=["lo", "hi", "never"])
    frame = pandas.DataFrame({"dose": levels}, index=[f"s{i}" for i in range(6)])
    with pytest.warns(UserWarning, match="no sample has the level never"):
        _, info = design_from_formula(frame, "~ dose")
    assert info.coefficient_names == ("Intercept", "dose_hi_vs_lo")


def test_a_group_without_replicates_is_a_warning():
    table = {"cond": list("AAABBBC")}
    with pytest.warns(UserWarning, match=r"sample7 \(the only one with cond C\)"):
        design_from_formula(table, "~ cond")


def test_references_that_depend_on_the_language_are_said():
    table = {"dex": ["ctrl", "TRT"] * 3}
    notes = design_from_formula(table, "~ dex")[1].notes
    assert "'TRT'" in notes[0]
    assert not design_from_formula(table, "~ dex", reference_levels={"dex": "ctrl"})[
        1
    ].notes


@pytest.mark.parametrize(
    ("formula", "options", "words"),
    [
        ("~ nope", {}, ["'nope'", "cond, batch"]),
        ("~ gap", {}, ["'gap'", "'sample1'"]),
        ("~ hole", {}, ["'hole'", "'sample1'"]),
        ("~ same", {}, ["'same'", "'k' in every sample"]),
        ("~ five", {}, ["five is the same in every sample"]),
        ("~ cond + group", {}, ["group_B_vs_A is a combination of cond_B_vs_A"]),
        (
            "~ batch + cond + odd",
            {},
            ["odd_x.1_vs_x.2 is a combination of Intercept and batch_b2"],
        ),
        ("~ cond:batch", {}, ["is a combination of"]),
        ("~ cond * batch * pair", {}, ["12 samples and 12 coefficients"]),
        ("~ cond +", {}, ["R formula"]),
        ("~ cond | batch", {}, ["R formula"]),
        ("y ~ cond", {}, ["left side"]),
        ("", {}, ["without a term"]),
        ("~ 0", {}, ["a term"]),
        ("~ poly(age, 2)", {}, ["'poly(age, 2)'", "scale"]),
        ("~ log(cond)", {}, ["levels in 'cond'"]),
        ("~ log(sex)", {}, ["finite numbers", "'sample1'"]),
        ("~ __import__('os')", {}, ["expected columns"]),
        ("~ cond", {"contrast": "cond,D,A"}, ["levels A, B, C", "'D'"]),
        ("~ cond", {"contrast": "batch,b1,b2"}, ["'batch'"]),
        ("~ cond", {"contrast": "cond,A,A"}, ["two different levels"]),
        ("~ cond + sex", {"contrast": "sex,1,0"}, ["factor(sex)"]),
        ("~ cond", {"contrast": "cond_B_vs_a"}, ["did you mean 'cond_B_vs_A'"]),
        ("~ cond", {"contrast": [0, 1]}, ["3 numbers", "cond_C_vs_A"]),
        ("~ cond", {"contrast": [0, 0, 0]}, ["not all 0"]),
        ("~ cond", {"contrast": "a,b"}, ["factor,numerator,denominator"]),
        ("~ 0 + batch:pair", {"contrast": "pair,p,q"}, ["a term of its own"]),
        ("~ cond", {"reduced": "~ batch"}, ["'batch'"]),
        ("~ cond", {"reduced": "~ cond"}, ["not smaller"]),
        ("~ cond + age", {"reduced": "~ cond + I(age^2)"}, ["not nested"]),
        ("~ cond", {"reference_levels": {"cond": "Z"}}, ["'Z'", "A, B, C"]),
        ("~ cond", {"reference_levels": {"batch": "b1"}}, ["'batch'"]),
        ("~ sex", {"reference_levels": {"sex": "1"}}, ["factor(sex)"]),
    ],
)
def test_what_cannot_be(formula, options, words):
    with pytest.raises(ValueError) as error:
        made(formula, **options)
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_empty_combinations_are_named():
    table = {"a": list("xxxyyy"), "b": list("uvvuuu"), "n": [1.5, 2, 3, 4, 5, 7]}
    with pytest.raises(ValueError, match="ay.bv is 0: no sample has a y and b v"):
        design_from_formula(table, "~ a * b")


def test_tables():
    assert len(SampleTable.of(TABLE).names) == 12
    table = SampleTable.of(TABLE).take([3, 0])
    assert table.names == ("sample4", "sample1")
    assert table.columns["cond"].texts() == ["B", "A"]
    assert table.columns["age"].tolist() == [38, 31.5]
    for wrong in (3, {}, [1, 2]):
        with pytest.raises(ValueError, match="sample table"):
            SampleTable.of(wrong)
    with pytest.raises(ValueError, match="each once"):
        SampleTable.from_columns(["a", "a"], {})
    with pytest.raises(ValueError, match="'x'.*2 values"):
        SampleTable.from_columns(["a", "b"], {"x": [1]})
    assert dataclasses.is_dataclass(table)


def test_the_design_is_a_design():
    design, _ = made("~ cond")
    assert isinstance(design, Design)
