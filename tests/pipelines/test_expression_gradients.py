"""Gradients of a whole run are central differences, and reach what they should."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import finite_difference, random_direction

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


def check(function, at, step=1e-5, rtol=1e-4):
    """The gradient along a random direction, against a central difference."""
    function = eqx.filter_jit(function)
    direction = random_direction(at, jax.random.key(1))
    expected = finite_difference(function, at, direction, step)
    products = jax.tree.map(
        lambda g, d: (g * d).sum(), jax.grad(function)(at), direction
    )
    found = sum(jax.tree.leaves(products))
    assert abs(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=rtol)


def total(result):
    return jnp.nansum(result.log_p_values)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["exact", "deseq2"])
def test_of_log_p_to_counts(solver):
    sample, model = experiment(), pipeline(solver=solver)
    put = lambda log: dataclasses.replace(sample, counts=sample.counts * jnp.exp(log))
    check(lambda log: total(model(put(log))), jnp.zeros((SAMPLES, GENES)))


@pytest.mark.slow
def test_of_log_p_to_size_factors():
    sample, model = experiment(), pipeline(solver="exact")
    put = lambda log: dataclasses.replace(sample, size_factors=jnp.exp(log))
    check(lambda log: total(model(put(log))), jnp.linspace(-0.2, 0.2, SAMPLES))


def test_of_log_p_to_dispersions():
    sample, model = experiment(), pipeline(solver="exact")
    table = model.scaled(sample)

    def log_p(log_dispersion):
        fitted = model.glm(table.replace(dispersion=jnp.exp(log_dispersion)))
        return model.test(fitted).log_p.sum()

    check(log_p, jnp.linspace(-3.0, -1.0, GENES))


@pytest.mark.slow
def test_of_effects_to_weights():
    sample, model = experiment(), pipeline(solver="exact")
    put = lambda w: dataclasses.replace(sample, weights=w)
    effect = lambda w: jnp.nansum(model(put(w)).log_fold_change ** 2)
    check(effect, jnp.linspace(0.8, 1.2, SAMPLES))


@pytest.mark.slow
def test_genes_without_counts_and_padding_have_no_gradient():
    sample, model = experiment(), pipeline()
    counts = sample.counts.at[:, :3].set(0.0)
    genes = jnp.arange(GENES) < GENES - 2
    sample = dataclasses.replace(sample, counts=counts, genes=genes)
    put = lambda counts: dataclasses.replace(sample, counts=counts)
    gradient = jax.grad(lambda c: total(model(put(c))))(counts)
    assert jnp.isfinite(gradient).all()
    assert not gradient[:, -2:].any() and gradient[:, 3:-2].any()


@pytest.mark.slow
def test_a_batch_is_a_loop():
    model = dbx.create_differential_expression_pipeline()
    samples = [experiment(seed) for seed in (1, 2)]
    one_by_one = [eqx.filter_jit(model)(sample) for sample in samples]
    both = eqx.filter_jit(lambda batch: jax.vmap(model)(batch))(dbx.stack(samples))
    for index, expected in enumerate(one_by_one):
        for name in ("log_fold_change", "log_p_values", "adjusted_p_values"):
            found = getattr(both, name)[index]
            np.testing.assert_allclose(found, getattr(expected, name), rtol=1e-8)


def test_the_table_starts_from_what_is_given():
    sample = dataclasses.replace(experiment(), size_factors=jnp.ones(SAMPLES))
    table = GeneTable.start(sample)
    np.testing.assert_allclose(table.base_mean, sample.counts.mean(0))
