"""Does `jax.vmap(pipeline)` over samples cost more than as many calls?

    python tests/benchmarks/vmap_samples.py [--samples 8] [--length 1000] [--depth 30]

Samples are simulated, stacked by `dbx.stack`, and evaluated by one mapped call or by
one call each (compiled once; the same padded shape), forward and with the gradient of
a scalar to all parameters, in alternating rounds. Prints CPU milliseconds, median
and range, and the ratio within each round: 1.5 is wanted, 1 hoped for.
"""

import argparse
import statistics

import equinox as eqx
import jax
from measuring import alternate, middle, ratios, show, write
from simulated_samples import simulated_samples

import diffbio_eqx as dbx
from diffbio_eqx.pipelines.variant_calling import create_variant_calling_pipeline


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--depth", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    pipeline = create_variant_calling_pipeline()
    batch = dbx.stack(simulated_samples(given.samples, given.length, given.depth))
    one = [jax.tree.map(lambda x, k=k: x[k], batch) for k in range(given.samples)]

    def score(model, sample):
        result = model(sample)
        calls = result.calls
        total = result.logits.sum() + calls.substitutions.log_posterior[:, 0].sum()
        return total + calls.indels.log_posterior[:, 0].sum()

    single = eqx.filter_jit(lambda m, x: m(x))
    mapped = eqx.filter_jit(lambda m, x: jax.vmap(m)(x))
    single_gradient = eqx.filter_jit(eqx.filter_grad(score))
    mapped_gradient = eqx.filter_jit(
        eqx.filter_grad(lambda m, x: jax.vmap(lambda s: score(m, s))(x).sum())
    )
    spent = alternate(
        {
            "calls": lambda: [single(pipeline, x) for x in one],
            "vmap": lambda: mapped(pipeline, batch),
            "calls, gradient": lambda: [single_gradient(pipeline, x) for x in one],
            "vmap, gradient": lambda: mapped_gradient(pipeline, batch),
        },
        given.repeats,
    )
    rows, medians = [], {}
    for kind in ("", ", gradient"):
        ratio = ratios(spent, f"vmap{kind}", f"calls{kind}")
        medians["forward" + kind] = statistics.median(ratio)
        for name in (f"calls{kind}", f"vmap{kind}"):
            shown = middle(ratio) if name.startswith("vmap") else ""
            rows.append((name, middle([1000 * s for s in spent[name]]), shown))
    show(("route", "CPU ms", "vmap / calls"), rows)
    write("vmap_samples", {"samples": given.samples, "ratio": medians, "cpu": spent})


if __name__ == "__main__":
    main()
