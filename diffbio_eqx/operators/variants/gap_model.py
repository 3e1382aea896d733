"""How likely a sequencer or an aligner opens a gap, by homopolymer."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from diffbio_eqx._checks import require_range
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.params import Free

CLASSES = 20
_LN10 = 2.302585092994046


def _default_opening() -> np.ndarray:
    run = np.arange(1, CLASSES + 1)
    return np.clip(45.0 - 2.5 * (run - 4), 20.0, 45.0)


class GapModel(AbstractOperator):
    """Gap-open probability after each base of one haplotype.

    `open[j] = 10 ** (-Q[run(j)] / 10)`, where `run(j)` is the length of the homopolymer
    that *begins* at base j + 1 (runs of 20 and more share a class), and 1 elsewhere:
    gaps are placed at the left end of a run, so the rate of the run sits on the base
    before it only. On every base of a run it would be counted once for each of its
    equivalent placements. Defaults: Q45 up to run 4, then 2.5 less per base, down to
    Q20; extension Q10.

    **Arguments:** `x` (H,), base codes of one haplotype, 7 beyond its end.

    **Returns:** (H,) probabilities that an insertion opens after base j, and as many
    that a deletion does; at most 0.4. `extend` is the probability (at most 0.9) that
    an open gap goes on.

    **Raises:** `ValueError` for Phred values out of range.

    **Exact:** all of it.

    **Reference:** homopolymer-dependent gap penalties as in DePristo et al. 2011,
    doi:10.1038/ng.806; the pair-HMM of Durbin et al. 1998 (ISBN 9780521629713).

    ```python
    open_probability = GapModel()(jnp.array([0, 1, 1, 1, 2], jnp.uint8))
    ```
    """

    opening: Free
    extension: Free

    def __init__(
        self,
        opening: Float[Array, " 20"] | np.ndarray | None = None,
        extension: float = 10.0,
    ):
        """`opening` (20,): Phred by run length 1 to 20; `extension`: Phred."""
        table = _default_opening() if opening is None else np.asarray(opening)
        if table.shape != (CLASSES,):
            raise ValueError(
                f"opening: expected {CLASSES} Phred values (run length 1 to "
                f"{CLASSES}), got shape {table.shape}; repeat the last value."
            )
        require_range("opening", table, 4.0, 100.0, hint="Phred values")
        require_range("extension", extension, 0.5, 100.0, hint="a Phred value")
        self.opening = Free(jnp.asarray(table, float), step=0.1)
        self.extension = Free(jnp.asarray(extension, float), step=0.1)

    @property
    def extend(self) -> Float[Array, ""]:
        """Probability that an open gap goes on."""
        return jnp.minimum(jnp.exp(self.extension.value * (-_LN10 / 10.0)), 0.9)

    def __call__(
        self, x: UInt8[Array, " columns"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, " columns"]:
        table = jnp.minimum(jnp.exp(self.opening.value * (-_LN10 / 10.0)), 0.4)
        return table[gap_class(x)]


def gap_class(
    haplotype: UInt8[Array, " columns"],
) -> UInt8[Array, " columns"]:
    """Row of the opening table for each base: length - 1 of the run that begins next.

    Runs of N and of padding are of class 0, and so is the last base.
    """
    size = haplotype.shape[0]
    beyond = jnp.full((CLASSES,), 7, jnp.uint8)
    padded = jnp.concatenate([haplotype, beyond])
    following = padded[1 : size + 1]

    def one_more(k, state):
        more, on = state
        on = on & (jax.lax.dynamic_slice(padded, (k,), (size,)) == following)
        return more + on.astype(jnp.uint8), on

    begins = (haplotype != following) & (following < 4)
    more, _ = jax.lax.fori_loop(
        2, CLASSES + 1, one_more, (jnp.zeros((size,), jnp.uint8), begins)
    )
    return more
