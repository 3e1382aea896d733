"""Gene-wise dispersions: R's numbers, the exact maximum, and gradients."""

import gzip
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from expression_references import EACH_SET
from expression_tables import small_table

from diffbio_eqx.data.count_matrix import CountMatrix
from diffbio_eqx.data.design import Design
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.distributions import negative_binomial
from diffbio_eqx.operators.expression.dispersion_likelihood import (
    dispersion_problem,
    log_posterior,
)
from diffbio_eqx.operators.expression.gene_dispersion import GeneDispersion

scipy_special = pytest.importorskip("scipy.special")
scipy_stats = pytest.importorskip("scipy.stats")


def wide(tree):
    cast = lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x
    return jax.tree.map(cast, tree)


@eqx.filter_jit
def fit(operator, table):
    return operator(table)


@eqx.filter_jit
def objective(table, means, place):
    return log_posterior(place, dispersion_problem(table, means))


def test_log_probability_is_scipys():
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        means = np.exp(generator.uniform(-1, 9, 2000))
        dispersion = np.exp(generator.uniform(-9, 3, 2000))
        counts = generator.poisson(means).astype(float)
        value = jax.jit(negative_binomial.log_probability)(counts, means, dispersion)
        size = 1 / dispersion
        truth = scipy_stats.nbinom.logpmf(counts, size, size / (size + means))
        np.testing.assert_allclose(value, truth, rtol=1e-8, atol=1e-8)


def test_poisson_limit_in_float32():
    counts, means = jnp.float32(7.0), jnp.float32(3.0)
    zero = jnp.float32(0.0)
    truth = scipy_stats.poisson.logpmf(7, 3.0)
    value, slope = jax.value_and_grad(negative_binomial.log_probability, 2)(
        counts, means, zero
    )
    np.testing.assert_allclose(value, truth, rtol=1e-6)
    np.testing.assert_allclose(slope, ((7 - 3.0) ** 2 - 7) / 2, rtol=1e-5)


def plain_profile(counts, means, matrix, place, weights):
    """The Cox-Reid profile of one gene, as in the textbook."""
    size, weight = np.exp(-place), weights * means / (1 + np.exp(place) * means)
    log_gamma = scipy_special.gammaln
    terms = log_gamma(counts + size) - log_gamma(size) - counts * np.log(means + size)
    terms = terms - size * np.log1p(means / size)
    information = (matrix * weight[:, None]).T @ matrix
    return (weights * terms).sum() - np.linalg.slogdet(information)[1] / 2


@pytest.mark.parametrize("weighted", [False, True])
def test_profile_is_the_textbooks(weighted):
    with jax.enable_x64(True):
        table = wide(small_table(jax.random.key(0), covariate=True))
        weights = np.linspace(0.5, 1.5, 8) if weighted else np.ones(8)
        if weighted:
            table = table.replace(weights=jnp.asarray(weights))
        means = table.scale * table.base_mean
        places = (-6.0, -2.0, 0.5)
        values = [objective(table, means, jnp.full(12, x))[0] for x in places]
        counts, mu = np.asarray(table.counts), np.asarray(means)
        matrix = np.asarray(table.design.matrix)
        for gene in (0, 5, 11):
            plain = [
                plain_profile(counts[:, gene], mu[:, gene], matrix, x, weights)
                for x in places
            ]
            ours = np.array([v[gene] for v in values])
            np.testing.assert_allclose(np.diff(ours), np.diff(plain), rtol=1e-9)


EXACT = GeneDispersion("exact", linear_means=True)
DEFAULT = GeneDispersion("deseq2", linear_means=True)


def weighted_table(seed: int, weights: np.ndarray) -> GeneTable:
    table = wide(small_table(jax.random.key(seed), dispersion=0.3))
    return table.replace(weights=jnp.asarray(weights))


def test_exact_is_the_maximum():
    with jax.enable_x64(True):
        table = weighted_table(3, np.ones(8))
        out = fit(EXACT, table)
        best, slope = objective(table, out.means, jnp.log(out.gene_dispersion))
        inside = (out.gene_dispersion > 1e-7) & (out.gene_dispersion < 9.9)
        assert inside.sum() > 6
        assert (jnp.abs(slope)[inside] < 1e-9).all()
        for place in np.linspace(np.log(1e-8), np.log(10.0), 80):
            value, _ = objective(table, out.means, jnp.full(12, place))
            assert (value <= best + 1e-9).all()
        assert out.gene_dispersion_converged.all()


def test_weight_one_is_none_and_weight_zero_leaves_a_sample_out():
    with jax.enable_x64(True):
        table = weighted_table(1, np.ones(8))
        plain = fit(EXACT, table.replace(weights=None)).gene_dispersion
        np.testing.assert_allclose(fit(EXACT, table).gene_dispersion, plain, rtol=1e-9)
        keep = np.arange(8) != 2
        rest = CountMatrix.from_arrays(
            np.asarray(table.counts)[keep],
            Design.from_arrays(np.asarray(table.design.matrix)[keep]),
            size_factors=np.asarray(table.scale)[keep, 0],
        )
        rest = wide(GeneTable.start(jax.tree.map(jnp.asarray, rest)))
        dropped = fit(EXACT, table.replace(weights=jnp.asarray(keep, float)))
        np.testing.assert_allclose(
            dropped.gene_dispersion, fit(EXACT, rest).gene_dispersion, rtol=1e-9
        )


@eqx.filter_jit
def derivative(table, change):
    """Along a change of the table, implicit and through an unrolled Newton fit."""
    found = jnp.log(EXACT(table).gene_dispersion)
    moved = lambda step: jax.tree.map(lambda x, d: x + step * d, change[0], change[1])
    put = lambda step: table.replace(**moved(step))
    implicit = lambda step: jnp.log(EXACT(put(step)).gene_dispersion)

    def unrolled(step):
        here = put(step)
        problem = dispersion_problem(here, EXACT.means(here, found))
        slope = lambda x: log_posterior(x, problem)[1]

        def newton(place, _):
            value, bend = jax.jvp(slope, (place,), (jnp.ones_like(place),))
            return place - value / bend, None

        return jax.lax.scan(newton, found, length=4)[0]

    push = lambda f: jax.jvp(f, (0.0,), (1.0,))[1]
    return push(implicit), push(unrolled)


@pytest.mark.parametrize("name", ["counts", "scale", "weights"])
def test_derivative_of_the_exact_solver(name):
    """Against central differences, and against an unrolled fit."""
    with jax.enable_x64(True):
        table = weighted_table(6, np.linspace(0.7, 1.3, 8))
        names = ("counts", "scale", "weights")
        values = {k: getattr(table, k) for k in names}
        direction = {k: jnp.zeros_like(v) for k, v in values.items()}
        noise = np.random.default_rng(0).normal(size=values[name].shape)
        direction[name] = 0.1 * jnp.asarray(noise)
        implicit, unrolled = derivative(table, (values, direction))

        def at(step):
            moved = {name: values[name] + step * direction[name]}
            return jnp.log(fit(EXACT, table.replace(**moved)).gene_dispersion)

        difference = (at(1e-5) - at(-1e-5)) / 2e-5
        place = at(0.0)
        inside = (place > -10) & (place < 2)
        assert inside.sum() > 8 and jnp.abs(implicit).max() > 1e-3
        np.testing.assert_allclose(implicit, difference, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(
            implicit[inside], unrolled[inside], rtol=1e-8, atol=1e-10
        )
        assert (implicit[~inside] == 0).all()


def test_default_solver_on_some_genes():
    """Kept starts, genes that moved, genes not tested: values and gradients."""
    with jax.enable_x64(True):
        full = wide(small_table(jax.random.key(9), genes=40, dispersion=0.25))
        tested = jnp.arange(40) % 5 > 0
        table = full.replace(
            tested=tested, counts=jnp.where(tested, full.counts, jnp.nan)
        )

        @eqx.filter_jit
        def run(table, cotangent):
            # A sum over some genes, so that one compiled gradient serves all.
            def total(counts):
                here = table.replace(counts=counts)
                out = DEFAULT(here)
                return (cotangent * jnp.log(out.gene_dispersion)).sum(), out

            (_, out), gradient = jax.value_and_grad(total, has_aux=True)(table.counts)
            return out, gradient

        out, gradient = run(table, jnp.ones(40))
        whole, _ = run(full, jnp.ones(40))
        value = out.gene_dispersion
        assert jnp.isfinite(value).all() and jnp.isfinite(gradient).all()
        assert (gradient[:, ~tested] == 0).all()
        np.testing.assert_allclose(
            value[tested], whole.gene_dispersion[tested], rtol=1e-12
        )
        start = DEFAULT.start(table)
        kept = tested & (value == start)
        moved = tested & (value != start) & out.gene_dispersion_converged
        assert kept.sum() > 2 and moved.sum() > 10
        of_start = lambda k: jnp.log(DEFAULT.start(table.replace(counts=k)))
        by_start = jax.grad(lambda k: jnp.where(kept, of_start(k), 0.0).sum())
        np.testing.assert_allclose(
            gradient[:, kept], by_start(table.counts)[:, kept], rtol=1e-10
        )
        # Where R stopped short of the maximum the implicit derivative is near that of
        # the maximum: it is taken at R's place.
        exact = jax.jit(
            jax.grad(
                lambda k: jnp.log(EXACT(table.replace(counts=k)).gene_dispersion)[
                    moved
                ].sum()
            )
        )(table.counts)
        gap = jnp.abs(gradient - exact)[:, moved].max(0)
        assert jnp.median(gap / jnp.abs(exact)[:, moved].max(0)) < 0.05


def test_refuses_a_design_without_replicates():
    table = small_table(jax.random.key(0))
    design = Design.from_arrays(np.eye(8) + 1.0).with_dtype(table.counts.dtype)
    with pytest.raises(ValueError, match="more samples than coefficients"):
        GeneDispersion()(table.replace(design=design))
    with pytest.raises(ValueError, match="solver"):
        GeneDispersion("newton")


def read_columns(file: Path) -> dict[str, list[str]]:
    with gzip.open(file, "rt") as lines:
        head, *rows = [line.rstrip("\n").split("\t") for line in lines]
    return {name: [row[i] for row in rows] for i, name in enumerate(head)}


def reference_table(root: Path, name: str, data: str) -> tuple[GeneTable, dict, list]:
    """The counts of a data set with R's size factors, R's columns and their places."""
    folder = root / "reference/expression" / name
    with gzip.open(root / f"data/expression/{data}_counts.tsv.gz", "rt") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines][1:]
    counts = np.array([[float(x) for x in row[1:]] for row in rows]).T
    design = read_columns(folder / "design_matrix.tsv.gz")
    design.pop("id")
    factors = read_columns(folder / "size_factors.tsv.gz")["ratio"]
    sample = CountMatrix.from_arrays(
        counts,
        Design.from_arrays(np.array(list(design.values()), float).T),
        size_factors=np.array(factors, float),
    )
    truth = read_columns(folder / "gene_table.tsv.gz")
    # R's columns of a gene with replaced counts are those of its refit.
    kept = [flag != "True" for flag in truth.get("replace", [""] * len(truth["id"]))]
    truth = {k: [x for x, keep in zip(v, kept) if keep] for k, v in truth.items()}
    place = {row[0]: i for i, row in enumerate(rows)}
    places = [place[gene] for gene in truth["id"]]
    return GeneTable.start(jax.tree.map(jnp.asarray, sample)), truth, places


SETS = {
    "airway_R": ("airway", 1.0),
    "airway_dex_only_R": ("airway", 1.0),
    "sim_outliers_R": ("sim_outliers", 0.98),
    # One gene lies on the edge of the rule that ends R's search.
    "sim_outliers_condition_only_R": ("sim_outliers", 0.999),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH_SET)
def test_counts_to_rs_gene_wise_dispersion(data_root, name):
    """Counts and size factors in, R's `dispGeneEst` out, also in float32."""
    data, share = SETS[name]
    with jax.enable_x64(True):
        table, truth, places = reference_table(data_root, name, data)
        out = fit(GeneDispersion(), table)
        single = jax.tree.map(
            lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, table
        )
        single = fit(GeneDispersion(), single).gene_dispersion
    ours = np.asarray(out.gene_dispersion)[places]
    expected = np.array(truth["dispGeneEst"], float)
    error = np.abs(ours - expected) / expected
    assert np.quantile(error, 0.99 * share) < 1e-7
    # The rest are floor genes, where the grid is flat to R's rounding, and genes whose
    # GLM ran away, so that the means differ.
    moved = (error > 1e-5) & (expected > 1e-7)
    assert moved.sum() <= (1 - share) * len(expected)
    error = np.abs(np.asarray(single, float)[places] - ours) / ours
    assert np.quantile(error, 0.97) < 1e-3
