"""Prior and background of adapter removal, estimated from the reads themselves."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx.data.reads import PADDING
from diffbio_eqx.operators.reads.adapter_removal import AdapterRemoval

_BATCH = 512


def estimate_adapters(
    removal: AdapterRemoval,
    bases: np.ndarray,
    qualities: np.ndarray,
    *,
    rounds: int = 3,
    adapter_reads: float = 20.0,
) -> AdapterRemoval:
    """`removal` with the numbers that its 3' side should have for these reads.

    A few rounds of expectation and maximisation, without any truth:

    - `probability`: the mean posterior probability of an adapter;
    - `kinds`: the shares of the adapters among them;
    - `background`: counts of each base after the two bases before it, weighted by the
      probability that the base is insert.

    `adapter_reads` is a pseudo-count of reads with and without adapter, so that a
    library without adapters keeps a small probability. `bases` and `qualities`
    (reads, width) are a sample of reads; ten thousand suffice.
    """
    if removal.three_scores is None or not len(bases):
        return removal
    rows = np.resize(np.arange(len(bases)), -(-len(bases) // _BATCH) * _BATCH)
    real = np.arange(len(rows)) < len(bases)
    shape = (-1, _BATCH, bases.shape[1])
    blocks = bases[rows].reshape(shape), qualities[rows].reshape(shape)
    for _ in range(rounds):
        parts = [
            _expect(removal, b, q.astype(np.float32), r)
            for b, q, r in zip(*blocks, real.reshape(-1, _BATCH), strict=True)
        ]
        kinds, counts = (sum(np.asarray(p[i], float) for p in parts) for i in (0, 1))
        share = (kinds.sum() + adapter_reads) / (len(bases) + 2 * adapter_reads)
        counts = counts + 1.0
        new = (
            np.log(share) - np.log1p(-share),
            np.log((kinds + 1) / (kinds + 1).sum()),
            np.log(counts / counts.sum(-1, keepdims=True)),
        )
        where = lambda m: (
            m.three_posterior.share.raw,
            m.three_posterior.kinds.raw,
            m.three_scores.background.raw,
        )
        old = where(removal)
        new = tuple(jnp.asarray(n, o.dtype) for n, o in zip(new, old, strict=True))
        removal = eqx.tree_at(where, removal, new)
    return removal


@eqx.filter_jit
def _expect(removal, bases, qualities, real):
    """Expected reads of each adapter, and weighted counts of bases in context."""

    def one(bases, qualities):
        weight = (bases != PADDING).astype(qualities.dtype)
        end = removal((bases, qualities, weight)).three
        insert = 1.0 - jnp.cumsum(end.posterior)
        known = bases < 4
        keep = known[2:] & known[1:-1] & known[:-2]
        code = jnp.where(known, bases, 0).astype(jnp.int32)
        context = (code[:-2] * 4 + code[1:-1]) * 4 + code[2:]
        return end.kinds, context, jnp.where(keep, insert[2:], 0.0)

    kinds, context, weight = jax.vmap(one)(bases, qualities)
    weight = jnp.where(real[:, None], weight, 0.0)
    counts = jnp.zeros(64, weight.dtype).at[context.reshape(-1)].add(weight.reshape(-1))
    return jnp.where(real[:, None], kinds, 0.0).sum(0), counts.reshape(4, 4, 4)
