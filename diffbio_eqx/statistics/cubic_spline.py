"""The cubic spline through given points."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


class CubicSpline(eqx.Module):
    """Cubic spline through points; beyond them it goes on with its last cubics.

    At each end its third derivative is that of the cubic through the four last points,
    as R's `splinefun(method = "fmm")`.

    - `knots`, `values` (n,), n >= 4, knots strictly ascending.
    - `bends` (n,): second derivatives at the knots, over 6.
    """

    knots: Float[Array, " n"]
    values: Float[Array, " n"]
    bends: Float[Array, " n"]

    @staticmethod
    def through(knots: Float[Array, " n"], values: Float[Array, " n"]) -> "CubicSpline":
        """The spline through points; O(n).

        Reference: Forsythe, Malcolm and Moler 1977, "Computer Methods for Mathematical
        Computations", chapter 4.
        """
        step = jnp.diff(knots)
        slope = jnp.diff(values) / step
        second = jnp.diff(slope) / (knots[2:] - knots[:-2])
        third = jnp.diff(second) / (knots[3:] - knots[:-3])
        ends = jnp.stack([step[0] ** 2 * third[0], -(step[-1] ** 2) * third[-1]])
        right = jnp.concatenate([ends[:1], jnp.diff(slope), ends[1:]])
        middle = 2 * (step[1:] + step[:-1])
        diagonal = jnp.concatenate([-step[:1], middle, -step[-1:]])
        zero = jnp.zeros(1, knots.dtype)
        bends = lax.linalg.tridiagonal_solve(
            jnp.concatenate([zero, step]),
            diagonal,
            jnp.concatenate([step, zero]),
            right[:, None],
        )
        return CubicSpline(knots, values, bends[:, 0])

    def __call__(self, x: Float[Array, "*s"]) -> Float[Array, "*s"]:
        low = jnp.searchsorted(self.knots, lax.stop_gradient(x), side="right") - 1
        low = jnp.clip(low, 0, self.knots.size - 2)
        step = self.knots[low + 1] - self.knots[low]
        t = (x - self.knots[low]) / step
        start, end = self.bends[low], self.bends[low + 1]
        line = self.values[low] * (1 - t) + self.values[low + 1] * t
        cubes = start * ((1 - t) ** 3 - (1 - t)) + end * (t**3 - t)
        return line + step**2 * cubes
