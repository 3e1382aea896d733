"""Small windows of reads made by hand, for tests of the read and variant operators."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.pileup import Pileup
from diffbio_eqx.operators.variants.genotype_likelihood import Column

LENGTH, READS, WIDTH = 24, 9, 7


def random_window(seed=0, reads=READS, length=LENGTH, width=WIDTH, events=5):
    """A window with deletions, insertions, N, skips and reads over both of its ends.

    The last read and the last event are padding.
    """
    rng = np.random.default_rng(seed)
    codes = np.array([0, 1, 2, 3, 4, 5, 6], np.uint8)
    bases = rng.choice(codes, (reads, width), p=[0.2] * 4 + [0.05, 0.1, 0.05])
    used = rng.integers(2, width + 1, reads)
    bases[np.arange(width) >= used[:, None]] = 7
    start = np.sort(rng.integers(-width + 1, length, reads)).astype(np.int32)
    row = np.sort(rng.integers(0, reads - 1, events)).astype(np.int32)
    column = rng.integers(0, width, events)
    empty = AlignedReads.from_arrays(
        np.zeros((0, 4), np.uint8),
        np.zeros(0, np.int64),
        np.zeros((0, 4)),
        reference=rng.integers(0, 5, length),
    )
    return eqx.tree_at(
        lambda s: (
            s.bases,
            s.qualities,
            s.start,
            s.mapping_quality,
            s.reverse,
            s.read_mask,
            s.event_position,
            s.event_length,
            s.event_read,
            s.event_mask,
        ),
        empty,
        tuple(
            map(
                jnp.asarray,
                (
                    bases,
                    rng.uniform(5, 40, (reads, width)).astype(np.float32),
                    start,
                    rng.integers(1, 60, reads).astype(np.uint8),
                    rng.random(reads) < 0.5,
                    np.arange(reads) < reads - 1,
                    (start[row] + column).astype(np.int32),
                    rng.choice(np.array([-2, -1, 1, 3], np.int32), events),
                    row,
                    np.arange(events) < events - 1,
                ),
            )
        ),
    )


def soft_window(seed=0):
    """`random_window` with soft bases."""
    window = random_window(seed)
    rng = np.random.default_rng([seed, 1])
    probs = rng.dirichlet(np.full(4, 0.5), window.bases.shape).astype(np.float32)
    none = lambda s: s.base_probs
    return eqx.tree_at(none, window, jnp.asarray(probs), is_leaf=lambda x: x is None)


def weights(window, seed=0, lowest=0.1):
    """A weight for every column of a window."""
    rng = np.random.default_rng([seed, 2])
    shape = window.bases.shape
    return jnp.asarray(rng.uniform(lowest, 1, shape).astype(np.float32))


def random_column(seed=0, depth=12, padding=2, sites=1):
    """Bases over one site or several, with `padding` entries of weight 0 at the end."""
    rng = np.random.default_rng(seed)
    size = depth + padding
    base = rng.integers(0, 4, size)
    real = np.arange(size) < depth
    return Column(
        probs=jnp.asarray(np.eye(4, dtype=np.float32)[base]),
        error=jnp.asarray(rng.uniform(0.02, 0.3, size).astype(np.float32)),
        weight=jnp.asarray(np.where(real, rng.uniform(0.2, 1, size), 0), jnp.float32),
        reverse=jnp.asarray(rng.random(size) < 0.5),
        site=jnp.asarray(np.sort(rng.integers(0, sites, size)).astype(np.int32)),
    )


def random_pileup(seed=0, length=LENGTH):
    """Counts of a window, one position uncovered."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.uniform(0.1, 5, shape).astype(np.float32)
    covered = (np.arange(length) != 3).astype(np.float32)
    fields = (
        draw(length, 4) * covered[:, None],
        draw(length, 4) * covered[:, None],
        draw(length) * covered,
        draw(length) * covered,
        draw(length) * 8 * covered,
        draw(length) * 12 * covered,
    )
    return Pileup(*map(jnp.asarray, fields))


def seed_of(key) -> int:
    """A whole number from a JAX key, for the NumPy generators of these cases."""
    return int(jax.random.randint(key, (), 0, 2**30))
