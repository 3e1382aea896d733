"""Wald and likelihood ratio tests against R, with R's dispersions."""

import equinox as eqx
import jax
import numpy as np
import pytest
from expression_references import EACH_SET
from expression_stages import fitted, quantiles

from diffbio_eqx.operators.expression.likelihood_ratio_test import LikelihoodRatioTest
from diffbio_eqx.operators.expression.wald_test import WaldTest

pytestmark = pytest.mark.slow

VARIANTS = {
    "stat pvalue_noCooks": WaldTest(),
    "stat_lfc1_greaterAbs pvalue_lfc1_greaterAbs": WaldTest(1.0),
    "stat_lfc1_lessAbs pvalue_lfc1_lessAbs": WaldTest(1.0, "lessAbs"),
    "stat_lfc0.5_greater pvalue_lfc0.5_greater": WaldTest(0.5, "greater"),
}


@pytest.fixture(params=EACH_SET)
def both(request, data_root):
    with jax.enable_x64(True):
        yield fitted(data_root, request.param)


def compare(found, statistic, p_value):
    """Errors of the statistic, of p, and of log p where p is no rounded 1."""
    known = np.isfinite(p_value)
    error = np.abs(np.asarray(found.statistic) - statistic)[known]
    assert quantiles(error)[1] < 1e-5
    log_p = np.asarray(found.log_p)
    assert quantiles(np.abs(np.exp(log_p) - p_value)[known])[1] < 1e-7
    shown = known & (p_value > 1e-290) & (p_value < 0.9)
    relative = np.abs(log_p[shown] / np.log(p_value[shown]) - 1)
    assert quantiles(relative)[0] < 1e-7


@pytest.mark.parametrize("columns", VARIANTS)
def test_wald_like_r(both, columns):
    reference, table = both
    statistic, p_value = columns.split()
    wald = reference.table("wald")
    compare(VARIANTS[columns](table), wald[statistic], wald[p_value])


def test_likelihood_ratio_like_r(both):
    reference, table = both
    if not (reference.folder / "lrt.tsv.gz").exists():
        pytest.skip("no reference: R's ratio tests of this set were not kept")
    lrt = reference.table("lrt")
    found = eqx.filter_jit(LikelihoodRatioTest())(table)
    known = np.isfinite(lrt["stat"])
    error = np.abs(np.asarray(found.statistic) - lrt["stat"])[known]
    assert quantiles(error)[1] < 1e-5
    p_value = np.exp(np.asarray(found.log_p))
    assert quantiles(np.abs(p_value - lrt["pvalue"])[known])[1] < 1e-7
