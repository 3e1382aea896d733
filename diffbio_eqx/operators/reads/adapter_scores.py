"""Log-odds that an adapter begins at each base of a read."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Real, UInt8

from diffbio_eqx._checks import fail, require, require_range
from diffbio_eqx._numerics import as_float
from diffbio_eqx.data.reads import PADDING
from diffbio_eqx.operators.base import AbstractOperator
from diffbio_eqx.params import Frozen, Simplex, UnitInterval

_SURE = 1e-5
"""What a row of a fresh adapter gives to the three bases that it does not name."""
_ORDER = "ACGT"


class AdapterScores(AbstractOperator):
    """For one read, the log-odds of "adapter a follows the first i bases", all a and i.

    With `e = 10^(-q / 10)` the error rate of a base and `s` the mismatch rate of
    adapters (synthesis, PCR), `u = (1 - 4 e / 3)(1 - 4 s / 3)` is how much the base
    says. Against a base drawn evenly, base x in place of adapter row j has the odds
    `1 - u + 4 u a_jx`: `1 + 3u` at a match and `1 - u` at a mismatch of a sure row, 1
    for a row `N`. The score of a start is the sum of log-odds over the bases that the
    adapter covers there, less what the background model says of the same bases:

    `score[a, i] = sum_j w_(i+j) (log odds_(i+j, j) - log(4 p(x | two bases before)))`.

    It is one matrix product with a Toeplitz matrix of the adapters, under `jax.vmap`
    one for the whole block. That needs a score that is linear in functions of the row:
    for a row that is neither sure nor `N` the log-odds are those of the mixture for a
    base without sequencing errors, times `log(1 + 3u)` (or, where negative,
    `log(1 - u)`) over its value for such a base. N in the read and padding score 0.

    **Arguments:** `x`, a triple of one read:

    - `bases` (L,) uint8: 0-3 = A C G T, 4 = N, 7 = padding.
    - `qualities` (L,): Phred.
    - `weight` (L,) in [0, 1]: how much of each base is still there.

    **Returns:** scores (adapters, L), natural logarithms. With `five_prime` the adapter
    *ends* where the last i bases of the read begin: everything is mirrored, and `i`
    is the number of bases kept in either case.

    **Exact:** for rows that are one-hot or `N`. **Relaxed:** rows in between, as above.

    **Raises:** `ValueError` for an adapter without bases or with other letters than
    `ACGTN`, and rates outside of their ranges.

    ```python
    scores = AdapterScores(["AGATCGGAAGAGC"])
    scores((bases, qualities, jnp.ones(150))).argmax()
    ```
    """

    rows: Simplex
    mismatch: UnitInterval
    background: Simplex
    counted: Frozen
    anchored: tuple[bool, ...] = eqx.field(static=True)
    lengths: tuple[int, ...] = eqx.field(static=True)
    five_prime: bool = eqx.field(static=True)

    def __init__(
        self,
        adapters: Sequence[str],
        *,
        mismatch_rate: float = 1e-3,
        background: Float[Array, "4 4 4"] | None = None,
        five_prime: bool = False,
    ):
        require(len(adapters) > 0, "adapters", expected="one or more", got="none")
        require_range(
            "mismatch_rate", mismatch_rate, 0.0, 0.75, open_low=True, open_high=True
        )
        parsed = [_parse(text, five_prime=five_prime) for text in adapters]
        self.lengths = tuple(len(rows) for rows, _ in parsed)
        self.anchored = tuple(anchored for _, anchored in parsed)
        self.five_prime = five_prime
        shape = (len(parsed), max(self.lengths), 4)
        rows, counted = np.full(shape, 0.25), np.zeros(shape[:2], bool)
        for a, (sure, _) in enumerate(parsed):
            rows[a, : len(sure)] = sure
            counted[a, : len(sure)] = sure.max(1) > 0.25
        self.rows = Simplex(rows, step=0.05)
        self.mismatch = UnitInterval(mismatch_rate, step=0.05)
        even = np.full((4, 4, 4), 0.25)
        self.background = Simplex(even if background is None else background, step=0.02)
        self.counted = Frozen(counted)

    def __call__(
        self,
        x: tuple[UInt8[Array, " L"], Real[Array, " L"], Float[Array, " L"]],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "adapters L"]:
        bases, qualities, weight = x
        length = bases.shape[0]
        channels = self._channels(bases, as_float(qualities), weight)
        if self.five_prime:
            channels = mirror(channels, bases)
        table = self._toeplitz(length, channels.dtype)
        exact = lax.Precision.HIGHEST
        scores = jnp.matmul(channels.reshape(-1), table, precision=exact)
        return scores.reshape(len(self.lengths), length)

    def possible(self, bases: UInt8[Array, " L"]) -> Bool[Array, "adapters L"]:
        """Which cuts there are (adapters, L): inside of the read, and an anchored
        adapter only whole and at the very end."""
        size, place = (bases != PADDING).sum(), jnp.arange(bases.shape[0])
        whole = place == size - jnp.asarray(self.lengths)[:, None]
        return (place < size) & (whole | ~jnp.asarray(self.anchored)[:, None])

    def _channels(self, bases, qualities, weight) -> Float[Array, "L 9"]:
        """What the scores are linear in: by base, the log-odds of a match and of a
        mismatch; and the background's log-odds."""
        known, dtype = bases < 4, qualities.dtype
        weight = jnp.where(known, weight, 0.0).astype(dtype)
        top = 1.0 - self.mismatch.value.astype(dtype) * (4 / 3)
        error = 10.0 ** (jnp.where(known, qualities, 40.0) / -10.0)
        says = top * (1.0 - jnp.minimum(error, 0.75) * (4 / 3))
        one_hot = jax.nn.one_hot(bases, 4, dtype=dtype) * weight[:, None]
        match = jnp.log(1.0 + 3.0 * says) / jnp.log1p(3.0 * top)
        differs = jnp.log(1.0 - says) / jnp.log1p(-top)
        table = self.background.log_value.astype(dtype).reshape(-1)
        code = jnp.where(known, bases, 0).astype(jnp.int32)
        before = jnp.pad(code, (2, 0))
        context = (before[:-2] * 4 + before[1:-1]) * 4 + code
        usual = (table[context] + float(np.log(4.0))) * weight
        parts = [one_hot * match[:, None], one_hot * differs[:, None], -usual[:, None]]
        return jnp.concatenate(parts, 1)

    def _toeplitz(self, length: int, dtype) -> Float[Array, "inputs cuts"]:
        """`[(p, channel), (a, i)]`: what channel at base p adds to a cut at base i."""
        rows, counted = self.rows.value.astype(dtype), self.counted.value
        top = 1.0 - self.mismatch.value.astype(dtype) * (4 / 3)
        odds = jnp.log1p(-top + 4.0 * top * rows)
        odds = jnp.where(counted[..., None], odds, 0.0)
        kernel = jnp.concatenate(
            [
                jnp.maximum(odds, 0.0),
                jnp.minimum(odds, 0.0),
                counted[..., None].astype(dtype),
            ],
            -1,
        )
        count, rows_each, channels = kernel.shape
        # Column i of a banded matrix is the kernel, i places down: laid out flat with
        # one row more than the matrix has, all columns are the same vector.
        tail = jnp.zeros((count, length + 1, channels), dtype)
        if rows_each > length:
            kernel = kernel[:, :length]
        column = lax.dynamic_update_slice(tail, kernel, (0, 0, 0))
        flat = jnp.tile(column, (1, length, 1))[:, : length * length]
        square = flat.reshape(count, length, length, channels)
        below = jnp.tri(length, dtype=bool).T[None, :, :, None]
        square = jnp.where(below, square, 0.0)
        return square.transpose(2, 3, 0, 1).reshape(length * channels, count * length)


def mirror(x: Float[Array, "L ..."], bases: UInt8[Array, " L"]) -> Array:
    """Entries of a read in reverse order; padding stays behind them."""
    size, place = (bases != PADDING).sum(), jnp.arange(bases.shape[0])
    return x[jnp.where(place < size, size - 1 - place, place)]


def _parse(text: str, *, five_prime: bool) -> tuple[np.ndarray, bool]:
    """Rows of probabilities in the order in which they are scored; is it anchored?"""
    mark = "^" if five_prime else "$"
    plain = text.upper()
    anchored = plain.startswith("^") if five_prime else plain.endswith("$")
    plain = plain.strip(mark).replace("U", "T")
    if not plain or set(plain) - set(_ORDER + "N"):
        fail(
            "adapter sequence",
            expected="letters A C G T N"
            + (", with ^ before it" if five_prime else ", with $ after it")
            + " if anchored",
            got=repr(text),
        )
    sure = np.full((len(plain), 4), 0.25)
    for j, letter in enumerate(plain):
        if letter != "N":
            sure[j] = _SURE
            sure[j, _ORDER.index(letter)] = 1 - 3 * _SURE
    return (sure[::-1] if five_prime else sure), anchored
