"""How fast is the pileup kernel against a compiled loop of numba?

    python tests/benchmarks/pileup_kernel.py [--positions 100000] [--depth 30]

`window_add` of reads of 150 bases into 4 channels, forward, and forward with the
gradient to every base's weight, in rounds that alternate with the numba loop (which
adds into the same (positions, 4) array; forward only). Prints CPU milliseconds,
median and range, and the ratio to numba within each round: 1.5 and 5 are wanted.
"""

import argparse
import functools
import statistics

import jax
import jax.numpy as jnp
import numba
import numpy as np
from measuring import alternate, middle, ratios, show, write

from diffbio_eqx.operators.window_add import window_add

WIDTH, CHANNELS = 150, 4


@numba.njit
def _loop(values, channel, start, length):
    out = np.zeros((length, CHANNELS), np.float32)
    for read in range(values.shape[0]):
        for column in range(values.shape[1]):
            position = start[read] + column
            if 0 <= position < length and channel[read, column] < CHANNELS:
                out[position, channel[read, column]] += values[read, column]
    return out


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--positions", type=int, default=100_000)
    parser.add_argument("--depth", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    length, reads = given.positions, given.positions * given.depth // WIDTH
    start = np.sort(rng.integers(0, length - WIDTH, reads)).astype(np.int32)
    channel = rng.integers(0, CHANNELS, (reads, WIDTH)).astype(np.uint8)
    values = rng.random((reads, WIDTH), np.float32)
    scale = rng.random((length, CHANNELS), np.float32)
    device = [jnp.asarray(x) for x in (values, channel, start)]
    scale_there = jnp.asarray(scale)

    @jax.jit
    def forward(values, channel, start):
        return window_add(values, channel, start, length, CHANNELS)

    @jax.jit
    def both(values, channel, start, scale):
        total = lambda v: window_add(v, channel, start, length, CHANNELS) ** 2 * scale
        return jax.value_and_grad(lambda v: total(v).sum())(values)

    expected = _loop(values, channel, start, length)
    np.testing.assert_allclose(forward(*device), expected, rtol=1e-4, atol=1e-4)
    spent = alternate(
        {
            "numba": functools.partial(_loop, values, channel, start, length),
            "forward": functools.partial(forward, *device),
            "forward + gradient": functools.partial(both, *device, scale_there),
        },
        given.repeats,
    )
    rows, medians = [], {}
    for name, seconds in spent.items():
        ratio = ratios(spent, name, "numba")
        medians[name] = statistics.median(ratio)
        rows.append((name, middle([1000 * s for s in seconds]), middle(ratio)))
    show(("route", "CPU ms", "ratio to numba"), rows)
    write(
        "pileup_kernel",
        {"positions": length, "depth": given.depth, "ratio": medians, "cpu": spent},
    )


if __name__ == "__main__":
    main()
