"""Cases of the contract tests for error correction."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from contract import Case
from read_cases import seed_of

from diffbio_eqx.data.correction_evidence import CorrectionEvidence
from diffbio_eqx.operators.reads.error_correction import ErrorCorrection

LENGTH, WORDS = 9, 4


def random_evidence(seed=0):
    """One read with an N, a trimmed base and two columns of padding."""
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 4, LENGTH).astype(np.uint8)
    bases[3], bases[-2:] = 4, 7
    weight = np.ones(LENGTH, np.float32)
    weight[0], weight[-2:] = 0, 0
    support = rng.uniform(0.2, 8, (LENGTH, 4, WORDS)).astype(np.float32)
    support[1, :, 2:] = -1
    support[-2:] = -1
    qualities = rng.uniform(5, 40, LENGTH).astype(np.float32)
    return CorrectionEvidence(*map(jnp.asarray, (bases, qualities, weight, support)))


def _poison(x):
    rubbish = lambda e: (e.qualities, e.support, e.weight)
    qualities = x.qualities.at[-2:].set(jnp.nan)
    support = x.support.at[-2:].set(jnp.nan).at[1, :, 2:].set(jnp.nan)
    return eqx.tree_at(rubbish, x, (qualities, support, x.weight))


CORRECTION: dict[str, Case] = {
    "error_correction": Case(
        make=lambda: ErrorCorrection(2.5, leave=2.0, stay=0.7, temperature=1.5),
        inputs=lambda key: random_evidence(seed_of(key)),
        poison=_poison,
    ),
}
