"""Expected power by its formula against the share of effects that whole runs find.

    python tests/benchmarks/expression_power.py

2,000 genes, 20 % with a log2 effect of 1 up or down, false discovery rate 5 %. A grid
of depths (mean counts of 30 and 120) and replicates (3, 6 and 12 a group); each cell of
the grid is simulated three times and run through the whole pipeline. Slopes by the
formula's gradient against differences between neighbours in the simulated grid.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from measuring import show, write

import diffbio_eqx as dbx
from diffbio_eqx.operators.expression import ExpectedPower, PlannedExperiment
from diffbio_eqx.simulate import simulate_counts

GENES, NULL, DEPTHS, REPLICATES = 2_000, 0.8, (30.0, 120.0), (3, 6, 12)


def truth(depth: float, samples: int, seed: int):
    """A simulated experiment whose effects are one log2 unit, up or down."""
    fields = dict(mean=depth, mean_spread=1.0, differential=1 - NULL, extra_poisson=1.0)
    s = simulate_counts(GENES, samples, seed=seed, **fields)
    sign = np.where(s.coefficients[-1] >= 0, 1.0, -1.0) * s.differential
    coefficients = s.coefficients.copy()
    coefficients[-1] = sign * np.log(2)
    draw = np.random.default_rng([seed, 7])
    means = s.size_factors[:, None] * np.exp(s.design @ coefficients)
    rate = draw.gamma(1 / s.dispersion, s.dispersion, means.shape)
    counts = draw.poisson(means * rate).astype(float)
    return dataclasses.replace(s, counts=counts, coefficients=coefficients)


def found(s) -> float:
    """Share of the true effects called at 5 %."""
    pipeline = dbx.create_differential_expression_pipeline(alpha=0.05)
    sample = dbx.CountMatrix.from_arrays(s.counts, s.design)
    padj = np.asarray(eqx.filter_jit(pipeline)(sample).adjusted_p_values)
    return float((padj[s.differential] < 0.05).mean())


def plan(s, replicates: int) -> PlannedExperiment:
    """The same experiment as a plan, from the truth."""
    real = s.differential
    rows = [np.zeros(real.sum()), s.coefficients[-1, real]]
    return PlannedExperiment(
        cells=jnp.array([[1.0, 0.0], [1.0, 1.0]]),
        replicates=jnp.full(2, float(replicates)),
        contrast=jnp.array([0.0, 1.0]),
        depth=jnp.asarray(1.0),
        mean=jnp.asarray(np.exp(s.coefficients[0, real])),
        dispersion=jnp.asarray(s.dispersion[real]),
        coefficients=jnp.asarray(np.stack(rows)),
    )


if __name__ == "__main__":
    table = {}
    expected = lambda p: ExpectedPower(fdr=0.05, null=NULL)(p).expected
    with jax.enable_x64(True):
        for depth in DEPTHS:
            for replicates in REPLICATES:
                runs = [truth(depth, 2 * replicates, seed) for seed in (21, 22, 23)]
                shares = [found(s) for s in runs]
                plans = [plan(s, replicates) for s in runs]
                slopes = [jax.grad(expected)(p) for p in plans]
                doubled = [float(s.depth) * np.log(2) for s in slopes]
                more = [float(s.replicates.sum()) for s in slopes]
                table[f"mean {depth:g}, {replicates} a group"] = {
                    "formula": float(np.mean([expected(p) for p in plans])),
                    "simulated": float(np.mean(shares)),
                    "lowest": min(shares),
                    "highest": max(shares),
                    "slope: depth twice": float(np.mean(doubled)),
                    "slope: one more replicate": float(np.mean(more)),
                }
    names = list(next(iter(table.values())))
    show(["", *names], [[key, *row.values()] for key, row in table.items()])
    note = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
    title = "Expected power"
    write("expression_power", {"title": title, "note": note, "grid": table})
