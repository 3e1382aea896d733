"""What the gradient of a whole run costs, as a multiple of the run.

    taskset -c 0 python tests/benchmarks/expression_gradient.py

Gradient of the sum of all log p-values to all counts, float64, one thread, warm; CPU
seconds in turn with the run alone.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from measuring import alternate, middle, ratios, show, write  # noqa: E402

import diffbio_eqx as dbx  # noqa: E402
from diffbio_eqx.simulate import simulate_counts  # noqa: E402

SIZES = ((20_000, 8), (20_000, 24), (4_000, 100))


def one(genes: int, samples: int) -> dict:
    """Seconds of the run and of the run with its gradient, and their ratio."""
    s = simulate_counts(genes, samples, seed=1)
    sample = dbx.CountMatrix.from_arrays(s.counts, s.design)
    pipeline = dbx.create_differential_expression_pipeline()

    def total(counts):
        put = eqx.tree_at(lambda x: x.counts, sample, counts)
        return jnp.nansum(pipeline(put).log_p_values)

    counts = jnp.asarray(sample.counts)
    value, slope = eqx.filter_jit(total), eqx.filter_jit(jax.value_and_grad(total))
    routes = {"run": lambda: value(counts), "gradient": lambda: slope(counts)}
    spent = alternate(routes, 5)
    return {
        "run, CPU s": middle(spent["run"]),
        "with gradient, CPU s": middle(spent["gradient"]),
        "ratio": middle(ratios(spent, "gradient", "run")),
    }


if __name__ == "__main__":
    with jax.enable_x64(True):
        table = {f"{g:,} x {m}": one(g, m) for g, m in SIZES}
    names = list(next(iter(table.values())))
    show(["", *names], [[key, *row.values()] for key, row in table.items()])
    note = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
    title = "Gradient of a Differential Expression run"
    write("expression_gradient", {"title": title, "note": note, "sizes": table})
