"""Hard adapter cuts of whole blocks of reads, as the file job needs them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx._checks import require
from diffbio_eqx.data.reads import PADDING
from diffbio_eqx.operators.reads.adapter_posterior import AdapterPosterior
from diffbio_eqx.operators.reads.adapter_removal import AdapterRemoval
from diffbio_eqx.operators.reads.adapter_scores import AdapterScores
from diffbio_eqx.relax import set_mode

_UNIT = 16.0
"""Bounds are whole numbers of 1/16 of a natural logarithm."""
_STRONG = 10
"""A mismatch below this quality is bounded by 0, above by its value at this quality."""


@dataclasses.dataclass(frozen=True)
class AdapterSpans:
    """Cuts of a block of reads, NumPy arrays of one entry a read.

    - `start`, `end`: bases kept, half-open.
    - `cut` bool: is there a cut at all?
    - `probability`: that there is an adapter (0 where a bound showed that none is cut).
    - `kind`: the likeliest adapter of a cut (3' ones first, then 5'), -1 without a cut.
    - `false_trim`: probability that the cut is wrong.
    - `false_bases`: expected number of bases of the insert that were cut.
    """

    start: np.ndarray
    end: np.ndarray
    cut: np.ndarray
    probability: np.ndarray
    kind: np.ndarray
    false_trim: np.ndarray
    false_bases: np.ndarray


class AdapterBlocks:
    """The hard form of an `AdapterRemoval`, for blocks of reads in NumPy arrays.

    Gives for every read what `removal.span` gives. Most reads have no adapter: an
    upper bound of their posterior odds, in whole numbers and vectorised over the block,
    shows that they are not cut; the operator itself scores only the others, `batch` at
    a time, so that one program is compiled for each width of a block.

    Build it once for a model: it reads the parameters at construction.

    ```python
    blocks = AdapterBlocks(removal)
    blocks(bases, qualities).end     # bases, qualities (reads, width) uint8
    ```
    """

    def __init__(self, removal: AdapterRemoval, *, batch: int = 1024):
        self.removal = set_mode(removal, "hard")
        self.batch = batch
        self._limit = float(removal.cutoff.value)
        sides = (
            (removal.three_scores, removal.three_posterior),
            (removal.five_scores, removal.five_posterior),
        )
        self._sides = [
            _Bound(scores, posterior)
            for scores, posterior in sides
            if scores is not None
        ]

    def __call__(
        self,
        bases: np.ndarray,
        qualities: np.ndarray,
        start: np.ndarray | None = None,
        end: np.ndarray | None = None,
    ) -> AdapterSpans:
        """Cut a block.

        - `bases`, `qualities` (reads, width) uint8; a read fills its row from the left.
        - `start`, `end` (reads,): what earlier stages left; the whole read, if not
          given.
        """
        bases, qualities = np.asarray(bases, np.uint8), np.asarray(qualities)
        require(
            bases.shape == qualities.shape and bases.ndim == 2,
            "block of reads",
            expected="bases and qualities of one shape (reads, width)",
            got=f"{bases.shape} and {qualities.shape}",
        )
        count, width = bases.shape
        lengths = (bases != PADDING).sum(1)
        start = np.zeros(count, int) if start is None else np.asarray(start, int)
        end = lengths if end is None else np.minimum(np.asarray(end, int), lengths)
        found = AdapterSpans(
            start.copy(),
            np.maximum(start, end),
            np.zeros(count, bool),
            np.zeros(count, np.float32),
            np.full(count, -1),
            np.zeros(count, np.float32),
            np.zeros(count, np.float32),
        )
        may = np.zeros(count, bool)
        for low in range(0, count, self.batch):
            part = slice(low, low + self.batch)
            args = bases[part], qualities[part], start[part], end[part], lengths[part]
            for side in self._sides:
                may[part] |= side(*args) > self._limit
        rows = np.flatnonzero(may)
        for low in range(0, len(rows), self.batch):
            chosen = rows[low : low + self.batch]
            padded = np.resize(chosen, self.batch)
            place = np.arange(width)
            weight = (place >= start[padded, None]) & (place < end[padded, None])
            answer = _exact(
                self.removal,
                bases[padded],
                qualities[padded].astype(np.float32),
                weight.astype(np.float32),
            )
            for name, values in zip(_FIELDS, answer, strict=True):
                getattr(found, name)[chosen] = np.asarray(values)[: len(chosen)]
        return found


_FIELDS = [field.name for field in dataclasses.fields(AdapterSpans)]


@eqx.filter_jit
def _exact(removal, bases, qualities, weight):
    """The fields of `AdapterSpans`, by the operator."""

    def one(bases, qualities, weight):
        cuts = removal((bases, qualities, weight))
        kept = cuts.weight > 0
        first = jnp.where(kept.any(), kept.argmax(), weight.argmax())
        ends = [end for end in (cuts.three, cuts.five) if end is not None]
        cut = jnp.stack([(end.window * weight).sum() < weight.sum() for end in ends])
        kinds = [jnp.where(c, e.kinds, 0.0) for c, e in zip(cut, ends, strict=True)]
        kind = jnp.where(cut.any(), jnp.concatenate(kinds).argmax(), -1)
        return (
            first,
            first + kept.sum(),
            cut.any(),
            jnp.stack([end.probability for end in ends]).max(),
            kind,
            jnp.stack([end.false_trim for end in ends]).max(),
            sum(end.false_bases for end in ends),
        )

    return jax.vmap(one)(bases, qualities, weight)


class _Bound:
    """An upper bound of the log posterior odds of all cuts at one end of a read.

    A row of an adapter is bounded by the largest of all rows that name the same base,
    at the best quality (a mismatch of quality >= 10 at 10, any other at 0). Then a
    window's score is at most the sum of such bounds, and the odds of all cuts at most
    the sum over windows. Columns come first: then each shifted sum is contiguous.
    """

    def __init__(self, scores: AdapterScores, posterior: AdapterPosterior):
        self.five = scores.five_prime
        self.skip = any(scores.anchored)
        counted = np.asarray(scores.counted.value)
        rows = np.asarray(scores.rows.value, float)
        top = 1 - float(scores.mismatch.value) * 4 / 3
        odds = np.log1p(-top + 4 * top * rows)
        says = top * (1 - 4 / 3 * 10 ** (-_STRONG / 10))
        strong = np.log1p(-says) / np.log1p(-top)
        gain, loss = np.maximum(odds, 0), strong * np.minimum(odds, 0)
        named = rows.argmax(-1)
        # For each base that a row may name: bytes from code to bound.
        table = np.zeros((4, 256), np.int8)
        for base in range(4):
            here = counted & (named == base)
            if here.any():
                both = [gain[here].max(0), (gain + loss)[here].max(0)]
                units = np.ceil(np.concatenate(both) * _UNIT)
                table[base, :8] = np.clip(units, -127, 127)
        self.tables = [row.tobytes() for row in table]
        usual = np.asarray(scores.background.log_value, float).reshape(16, 4)
        takes = np.ceil(-(usual + np.log(4)) * _UNIT - 1e-3)
        self.usual = takes.max(0) if self.five else takes.reshape(-1)
        self.even = not self.usual.any()
        self.adapters = [
            [(j, int(named[a, j])) for j in range(length) if counted[a, j]]
            for a, length in enumerate(scores.lengths)
        ]
        self.kinds = np.asarray(posterior.kinds.value, float)
        self.share = float(posterior.share.raw)
        self.mean = float(posterior.mean.value)
        self.spread = float(posterior.spread.value)

    def __call__(self, bases, qualities, start, end, lengths) -> np.ndarray:
        count, width = bases.shape
        if self.skip:
            return np.full(count, np.inf)
        place = np.arange(width, dtype=np.int32)
        if self.five:
            size = lengths[:, None]
            order = np.where(place < size, size - 1 - place, place)
            bases = np.take_along_axis(bases, order, 1)
            qualities = np.take_along_axis(qualities, order, 1)
            start, end = lengths - end, lengths - start
        bases, strong = bases.T, (qualities.T >= _STRONG).view(np.uint8)
        column = place[:, None]
        inside = (column >= start.astype(np.int32)) & (column < end.astype(np.int32))
        known = inside & (bases < 4)
        code = np.where(known, bases | (strong << np.uint8(2)), np.uint8(8)).tobytes()
        each = [
            np.frombuffer(code.translate(table), np.int8)
            .reshape(width, count)
            .astype(np.int16)
            for table in self.tables
        ]
        if not self.even:
            usual = self._usual(bases, known)
            each = [row + usual for row in each]
        away = (place - self.mean) / self.spread
        prior = np.exp(-away * away / 2).astype(np.float32)
        odds = np.zeros(count)
        for rows, kind in zip(self.adapters, self.kinds, strict=True):
            score = np.zeros((width, count), np.int16)
            for j, base in rows:
                if j < width:
                    score[: width - j] += each[base][j:]
            likely = np.exp(score.astype(np.float32) * np.float32(1 / _UNIT))
            odds += kind * (prior @ np.where(inside, likely, np.float32(0)))
        some = prior @ inside.astype(np.float32)
        ratio = odds / np.where(some > 0, some, 1.0)
        return np.log(np.maximum(ratio, 1e-300)) + self.share + 1e-3

    def _usual(self, bases, known) -> np.ndarray:
        """Bound of what the background takes off, for every base."""
        code = np.where(bases < 4, bases, 0).astype(np.intp)
        if not self.five:  # mirrored bases are bounded over all contexts
            before = np.pad(code, ((2, 0), (0, 0)))
            code = (before[:-2] * 4 + before[1:-1]) * 4 + code
        return np.where(known, self.usual[code], 0).astype(np.int16)
