"""Gradients of a whole run are central differences, and reach what they should."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_direction

import diffbio_eqx as dbx
from diffbio_eqx.data.gene_table import GeneTable
from diffbio_eqx.simulate import simulate_counts

GENES, SAMPLES = 60, 8


@pytest.fixture(scope="module", autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def experiment(seed=4, **more):
    s = simulate_counts(GENES, SAMPLES, seed=seed, mean=200.0, mean_spread=1.0, **more)
    sample = dbx.CountMatrix.from_arrays(s.counts, s.design)
    return jax.tree.map(jnp.asarray, sample)


def pipeline(**fields):
    made = dbx.create_differential_expression_pipeline(**fields)
    return dbx.set_mode(made, "soft")


def check(function, at, moved, step=1e-5, rtol=1e-4):
    """The gradient to one of the arguments, against a central difference."""
    direction = random_direction(at[moved], jax.random.key(1))
    shifted = lambda h: {**at, moved: at[moved] + h * direction}
    expected = (function(shifted(step))[0] - function(shifted(-step))[0]) / (2 * step)
    found = (function(at)[1][moved] * direction).sum()
    assert abs(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=rtol)


def total(result):
    return jnp.nansum(result.log_p_values)


def compiled(model, put):
    """Value and gradient, so that one program serves for both sides of a check."""
    return eqx.filter_jit(jax.value_and_grad(lambda x: total(model(put(x)))))


@pytest.mark.slow
def test_of_log_p_to_counts_and_weights():
    sample = experiment()
    put = lambda x: dataclasses.replace(
        sample, counts=sample.counts * jnp.exp(x["counts"]), weights=x["weights"]
    )
    function = compiled(pipeline(solver="exact"), put)
    weights = jnp.linspace(0.8, 1.2, SAMPLES)
    at = {"counts": jnp.zeros((SAMPLES, GENES)), "weights": weights}
    check(function, at, "counts")
    check(function, at, "weights")


@pytest.mark.slow
def test_of_log_p_to_counts_and_size_factors_by_the_rules_of_r():
    """R stops short of the optimum, and the derivative is that of the optimum."""
    sample = experiment()
    counts = sample.counts.at[:, :3].set(0.0)
    sample = dataclasses.replace(
        sample, counts=counts, genes=jnp.arange(GENES) < GENES - 2
    )
    put = lambda x: dataclasses.replace(
        sample,
        counts=sample.counts * jnp.exp(x["counts"]),
        size_factors=jnp.exp(x["factors"]),
    )
    function = compiled(pipeline(), put)
    factors = jnp.linspace(-0.2, 0.2, SAMPLES)
    at = {"counts": jnp.zeros((SAMPLES, GENES)), "factors": factors}
    check(function, at, "counts", rtol=1e-2)
    check(function, at, "factors", rtol=1e-2)
    gradient = function(at)[1]["counts"]
    assert jnp.isfinite(gradient).all()
    assert not gradient[:, :3].any() and not gradient[:, -2:].any()
    assert gradient[:, 3:-2].any()


def test_of_log_p_to_dispersions():
    sample, model = experiment(), pipeline(solver="exact")
    table = model.scaled(sample)

    def log_p(x):
        fitted = model.glm(table.replace(dispersion=jnp.exp(x["dispersions"])))
        return model.test(fitted).log_p.sum()

    function = eqx.filter_jit(jax.value_and_grad(log_p))
    check(function, {"dispersions": jnp.linspace(-3.0, -1.0, GENES)}, "dispersions")


@pytest.mark.slow
def test_a_batch_is_a_loop():
    model = dbx.create_differential_expression_pipeline()
    samples = [experiment(seed) for seed in (1, 2)]
    run = eqx.filter_jit(model)
    one_by_one = [run(sample) for sample in samples]
    both = eqx.filter_jit(lambda batch: jax.vmap(model)(batch))(dbx.stack(samples))
    for index, expected in enumerate(one_by_one):
        for name in ("log_fold_change", "log_p_values", "adjusted_p_values"):
            found = getattr(both, name)[index]
            np.testing.assert_allclose(found, getattr(expected, name), rtol=1e-8)


def test_the_table_starts_from_what_is_given():
    sample = dataclasses.replace(experiment(), size_factors=jnp.ones(SAMPLES))
    table = GeneTable.start(sample)
    np.testing.assert_allclose(table.base_mean, sample.counts.mean(0))
