"""Contract cases of adapter removal and mate overlap."""

import jax
import jax.numpy as jnp
import numpy as np
from contract import Case
from read_cases import seed_of

from diffbio_eqx.operators.reads.adapter_posterior import AdapterPosterior
from diffbio_eqx.operators.reads.adapter_removal import AdapterRemoval
from diffbio_eqx.operators.reads.adapter_scores import AdapterScores
from diffbio_eqx.operators.reads.mate_overlap import MateOverlap

WIDTH, SIZE = 16, 13
ADAPTER = "AGATNGG"


def random_read(seed, size=SIZE, width=WIDTH):
    """Codes, Phred and weights of one read; the columns from `size` on are padding."""
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 5, width).astype(np.uint8)
    start = rng.integers(4, 9)
    adapter = np.array(["ACGTN".index(c) for c in ADAPTER], np.uint8)
    bases[start : start + 5] = adapter[:5]
    bases[size:] = 7
    # Qualities above 2: below about 1.25 the error rate is held at 3/4, a kink.
    qualities = rng.uniform(3, 40, width).astype(np.float32)
    weight = rng.uniform(0.2, 1, width).astype(np.float32)
    return bases, qualities, weight


def random_pair(seed, insert=8):
    """Two mates with a common insert."""
    rng = np.random.default_rng([seed, 3])
    first, second = (random_read([seed, i]) for i in (1, 2))
    fragment = rng.integers(0, 4, insert).astype(np.uint8)
    first[0][:insert] = fragment
    second[0][:insert] = 3 - fragment[::-1]
    return first, second


def poison_read(read):
    """Rubbish in the padding."""
    bases, qualities, weight = read
    real = bases != 7
    return bases, jnp.where(real, qualities, jnp.nan), jnp.where(real, weight, jnp.nan)


def _scores_item(key):
    rng = np.random.default_rng(seed_of(key))
    scores = rng.normal(0, 3, (2, WIDTH)).astype(np.float32)
    possible = np.broadcast_to(np.arange(WIDTH) < SIZE, (2, WIDTH))
    return scores, possible, rng.uniform(0.2, 1, WIDTH).astype(np.float32)


def _poison_scores(item):
    scores, possible, weight = item
    clean = lambda x, keep: jnp.where(keep, x, jnp.nan)
    return clean(scores, possible), possible, clean(weight, possible[0])


def _read_item(key):
    return random_read(seed_of(key))


ADAPTERS: dict[str, Case] = {
    "adapter_scores": Case(
        lambda: AdapterScores([ADAPTER, "CCTGA$"], mismatch_rate=0.01),
        _read_item,
        poison_read,
    ),
    "adapter_posterior": Case(
        lambda: AdapterPosterior(2, insert_spread=8.0), _scores_item, _poison_scores
    ),
    "adapter_removal": Case(
        lambda: AdapterRemoval([ADAPTER, "CCTGA"], insert_spread=9.0, insert_mean=8.0),
        _read_item,
        poison_read,
    ),
    "adapter_removal_linked": Case(
        lambda: AdapterRemoval(ADAPTER, five_prime="^CCT", linked=True),
        _read_item,
        poison_read,
        slow=True,
    ),
    "mate_overlap": Case(
        lambda: MateOverlap(["AGAT"], ["CTGA"], least_overlap=5),
        lambda key: random_pair(seed_of(key)),
        lambda pair: jax.tree.map(poison_read, pair, is_leaf=_is_read),
        slow=True,
    ),
}


def _is_read(x):
    return isinstance(x, tuple) and len(x) == 3
