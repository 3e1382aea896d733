"""Learn how much to trust each sample, by the likelihood of samples held out.

Twelve samples in two groups; two of them are poor: their counts vary far more than the
others' do. A weight for each sample enters the negative binomial fit. Each fold of
samples is predicted from a fit to the others, and the gradient of its likelihood
reaches the weights through the implicit derivative of the fit. Poor samples lose
weight, and the effects come nearer to the truth.
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import diffbio_eqx as dbx
from diffbio_eqx.distributions.negative_binomial import log_probability
from diffbio_eqx.operators.expression.glm_fit import fit_glm
from diffbio_eqx.simulate import simulate_counts

SAMPLES, POOR, FOLDS = 12, (3, 8), 3


class SampleWeights(eqx.Module):
    """Weights of mean 1: a softmax over samples, times their number."""

    logits: dbx.Free

    def __init__(self, samples: int):
        self.logits = dbx.Free(np.zeros(samples), step=0.1)

    def __call__(self) -> jax.Array:
        logits = self.logits.value
        return jax.nn.softmax(logits) * logits.size


def make(seed: int, genes: int = 300):
    """Counts with two poor samples; the design; the true log effects."""
    truth = simulate_counts(genes, SAMPLES, seed=seed, differential=0.3)
    draw = np.random.default_rng([seed, 1])
    noise = np.exp(draw.normal(0.0, 1.0, (SAMPLES, genes)))
    noise[[j for j in range(SAMPLES) if j not in POOR]] = 1.0
    counts = draw.poisson(truth.counts * noise).astype(float)
    seen = (counts.sum(0) > 50) & (counts > 0).all(0)
    return counts[:, seen], truth.design, truth.coefficients[-1, seen], truth


def held_out_loss(model: SampleWeights, batch, *, key):
    """Mean negative log likelihood of each fold under a fit to the others."""
    counts, design, scale, dispersion = batch
    weights = model()
    fold = jnp.arange(SAMPLES) // 2 % FOLDS

    def one(held):
        kept = jnp.where(fold == held, 0.0, weights)
        fit = fit_glm(counts, scale, design, dispersion, weights=kept)
        log_p = log_probability(counts, fit.means, dispersion)
        return -jnp.where((fold == held)[:, None], log_p, 0.0).sum()

    return jax.lax.map(one, jnp.arange(FOLDS)).sum() / counts.size, {}


def error(weights, counts, design, scale, dispersion, effect) -> float:
    """Root mean squared error of the fitted natural log effects."""
    fit = fit_glm(counts, scale, design, dispersion, weights=weights)
    return float(jnp.sqrt(jnp.mean((fit.coefficients[-1] - effect) ** 2)))


def run(seed: int, steps: int = 60) -> dict[str, float]:
    """Learned weights of poor and good samples, and the error of effects."""
    counts, design, effect, truth = make(seed)
    arrays = [jnp.asarray(x) for x in (counts, design, truth.size_factors[:, None])]
    dispersion = jnp.full(counts.shape[1], 0.2)
    batch = (*arrays, dispersion)
    found = dbx.fit(
        SampleWeights(SAMPLES),
        held_out_loss,
        lambda step: batch,
        key=jax.random.key(0),
        steps=steps,
    )
    weights = found.model()
    poor = np.isin(np.arange(SAMPLES), POOR)
    flat = jnp.ones(SAMPLES)
    return {
        "largest weight of a poor sample": float(weights[poor].max()),
        "smallest weight of a good sample": float(weights[~poor].min()),
        "error of effects, equal weights": error(flat, *batch, effect),
        "error of effects, learned weights": error(weights, *batch, effect),
    }


if __name__ == "__main__":
    for seed in [int(x) for x in sys.argv[1:]] or range(5):
        print(seed, {name: round(x, 3) for name, x in run(seed).items()})
