"""One object that says how sharply an operator decides."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree

from diffbio_eqx._checks import require_choice, require_range
from diffbio_eqx._typing import FloatArray, Mode, Natural
from diffbio_eqx.relax import select, sort, window
from diffbio_eqx.relax.step import hard_step, soft_step

MODES: tuple[Mode, ...] = ("soft", "straight_through", "hard")

Mask = Bool[Array, "*s"] | None


class Relaxation(eqx.Module):
    """How a decision is made: `mode` picks the formula, `temperature` is data.

    - `"soft"`: the smooth formula. Its value tends to the hard decision as the
      temperature tends to 0.
    - `"straight_through"`: the value of the hard decision, exactly, with the gradient
      of the soft one.
    - `"hard"`: the hard decision; its gradient is 0. Shapes are those of `"soft"`.

    **Arguments:**

    - `temperature`: scalar > 0 in the units of what is compared (Phred, log-odds,
      counts). An array leaf, so that annealing never recompiles; no gradient flows into
      it and `trainable_spec` leaves it out.
    - `mode`: static. Change it with `set_mode`, after any `eqx.combine`.

    A mask marks the real entries of an axis: what lies in the others, NaN included,
    is seen by neither value nor gradient.

    ```python
    r = Relaxation(2.0, "soft")
    r.greater_equal(jnp.array([10.0, 20.0, 30.0]), 20.0)  # 0.007, 0.5, 0.993
    ```
    """

    temperature: FloatArray
    mode: Mode = eqx.field(static=True)

    def __init__(self, temperature: Natural, mode: Mode = "straight_through"):
        require_choice("mode of a Relaxation", mode, MODES)
        hint = "anneal towards 0, and use mode 'hard' for the limit itself"
        require_range(
            "temperature of a Relaxation", temperature, 0.0, open_low=True, hint=hint
        )
        self.temperature = jnp.asarray(temperature, float)
        self.mode = mode

    def decide(
        self,
        soft: Callable[[Float[Array, ""]], PyTree[Array]],
        hard: Callable[[], PyTree[Array]],
        dtype: jnp.dtype,
    ) -> PyTree[Array]:
        """Combine a soft form and a hard form of any decision by the mode.

        `soft` is called with the temperature in `dtype`; both return a tree of arrays
        of the same shapes and dtypes. Only what the mode needs is computed.
        """
        from_hard = lambda: jax.tree.map(lax.stop_gradient, hard())
        if self.mode == "hard":
            return from_hard()
        smooth = soft(lax.stop_gradient(self.temperature).astype(dtype))
        if self.mode == "soft":
            return smooth
        attach = lambda s, h: h + (s - lax.stop_gradient(s))
        return jax.tree.map(attach, smooth, from_hard())

    def step(self, x: Float[Array, "*s"], *, closed: bool = False) -> FloatArray:
        """1 where `x > 0` (with `closed`, `x >= 0`), else 0; soft: `sigmoid(x / t)`."""
        return self.decide(
            lambda t: soft_step(x, t), lambda: hard_step(x, closed=closed), x.dtype
        )

    def greater(self, x: Float[Array, "*s"], y: Natural) -> FloatArray:
        """1 where `x > y`: `step(x - y)`."""
        return self.step(x - jnp.asarray(y, x.dtype))

    def greater_equal(self, x: Float[Array, "*s"], y: Natural) -> FloatArray:
        """1 where `x >= y`: `step(x - y, closed=True)`."""
        return self.step(x - jnp.asarray(y, x.dtype), closed=True)

    def argmax(
        self, x: Float[Array, "*s"], mask: Mask = None, *, axis: int = -1
    ) -> FloatArray:
        """Weights that pick the largest entry: `softmax(x / t)`; hard: one-hot.

        Of equal entries the hard form takes the first. Without a real entry all
        weights are 0.
        """
        real = _mask_of(x, mask)
        return self.decide(
            lambda t: select.soft_argmax(x, real, t, axis),
            lambda: select.hard_argmax(x, real, axis),
            x.dtype,
        )

    def max(
        self,
        x: Float[Array, "*s"],
        mask: Mask = None,
        *,
        axis: int = -1,
        empty: float = 0.0,
    ) -> FloatArray:
        """The largest entry: `t logsumexp(x / t)`; `empty` if none is real."""
        real = _mask_of(x, mask)
        return self.decide(
            lambda t: select.soft_max(x, real, t, axis, empty),
            lambda: select.hard_max(x, real, axis, empty),
            x.dtype,
        )

    def top_k(
        self, x: Float[Array, " n"], k: int, mask: Bool[Array, " n"] | None = None
    ) -> Float[Array, "k n"]:
        """Weights of the k largest entries, largest first: `top_k(x, k) @ x`.

        Each row sums to 1, or to 0 where fewer than k entries are real. Soft form:
        SoftSort. Cost O(k n).
        """
        real = _mask_of(x, mask)
        return self._places(-x, real, jnp.arange(k))

    def sort_weights(
        self, x: Float[Array, " n"], mask: Bool[Array, " n"] | None = None
    ) -> Float[Array, "n n"]:
        """Permutation weights: `sort_weights(x) @ x` is `x` ascending.

        O(n^2) in memory, so for short vectors; `quantile` is O(n log n).
        """
        return self._places(x, _mask_of(x, mask), jnp.arange(x.size))

    def sort(
        self, x: Float[Array, " n"], mask: Bool[Array, " n"] | None = None
    ) -> Float[Array, " n"]:
        """The real entries in ascending order, then 0 for each masked one. O(n^2)."""
        real = _mask_of(x, mask)
        clean = jnp.where(real, x, 0.0)
        places = jnp.arange(x.size)
        return self.decide(
            lambda t: sort.soft_places(x, real, t, places) @ clean,
            lambda: sort.masked_ascending(x, real),
            x.dtype,
        )

    def rank(
        self, x: Float[Array, " n"], mask: Bool[Array, " n"] | None = None
    ) -> Float[Array, " n"]:
        """How many other real entries are smaller; equal entries get their mean rank.

        Ranks start at 0; masked entries have rank 0. Soft form O(n^2), hard form
        O(n log n).
        """
        real = _mask_of(x, mask)
        return self.decide(
            lambda t: sort.soft_rank(x, real, t),
            lambda: sort.hard_rank(x, real),
            x.dtype,
        )

    def quantile(
        self,
        x: Float[Array, " n"],
        q: Natural,
        mask: Bool[Array, " n"] | None = None,
    ) -> Float[Array, ""]:
        """The quantile `q` in [0, 1] of the real entries, linear between neighbours.

        The hard form is `numpy.quantile`; without a real entry it is 0. The soft form
        replaces each of the two order statistics by its SoftSort mean.
        """
        require_range("quantile", q, 0.0, 1.0)
        real = _mask_of(x, mask)
        places, part = sort.quantile_places(real, jnp.asarray(q, x.dtype))
        clean = jnp.where(real, x, 0.0)
        return self.decide(
            lambda t: part @ (sort.soft_places(x, real, t, places) @ clean),
            lambda: part @ sort.masked_ascending(x, real)[places],
            x.dtype,
        )

    def window(
        self, positions: Float[Array, "*s"], start: Natural, end: Natural
    ) -> FloatArray:
        """1 for a position whose centre `p + 1/2` lies in `[start, end)`.

        At whole-number ends that is the half-open interval. The temperature is in
        bases. Soft form: a product of two sigmoids.
        """
        low, high = (jnp.asarray(a, positions.dtype) for a in (start, end))
        return self.decide(
            lambda t: window.soft_window(positions, low, high, t),
            lambda: window.hard_window(positions, low, high),
            positions.dtype,
        )

    def _places(self, x: Array, real: Array, places: Array) -> Array:
        return self.decide(
            lambda t: sort.soft_places(x, real, t, places),
            lambda: sort.hard_places(x, real, places),
            x.dtype,
        )


def _mask_of(x: Array, mask: Array | None) -> Array:
    if mask is None:
        return jnp.ones(x.shape, bool)
    return jnp.broadcast_to(mask, x.shape)
