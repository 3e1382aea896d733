"""Cholesky factors of many small symmetric matrices, genes on the last axis."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

_UNROLLED = 6


def pair_indices(coefs: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each entry of a lower triangle, in its packed order."""
    return np.tril_indices(coefs)


def pair_products(matrix: Float[Array, "samples coefs"]) -> Float[Array, "pairs _"]:
    """Products of two columns of X: `pair_products(X) @ w` is X' diag(w) X, packed.

    The packed form holds the lower triangle row by row: pairs = p (p + 1) / 2.
    """
    rows, columns = pair_indices(matrix.shape[1])
    return (matrix[:, rows] * matrix[:, columns]).T


def unpack(
    packed: Float[Array, "pairs genes"], coefs: int
) -> Float[Array, "coefs coefs genes"]:
    """The full symmetric matrices of packed ones."""
    place = np.zeros((coefs, coefs), int)
    rows, columns = pair_indices(coefs)
    place[rows, columns] = place[columns, rows] = np.arange(rows.size)
    return packed[place]


class SmallCholesky(eqx.Module):
    """A = L L' of symmetric positive definite matrices, one a gene.

    Up to 6 x 6 the factor is unrolled into operations on whole rows of genes; larger
    ones go to the batched solver. A matrix that is not positive definite gives entries
    that are not finite.
    """

    lower: Float[Array, "coefs coefs genes"]

    @staticmethod
    def of(packed: Float[Array, "pairs genes"], coefs: int) -> "SmallCholesky":
        """Factorise packed matrices (see `pair_products`)."""
        full = unpack(packed, coefs)
        if coefs > _UNROLLED:
            lower = jnp.linalg.cholesky(jnp.moveaxis(full, -1, 0))
            return SmallCholesky(jnp.moveaxis(lower, 0, -1))
        zero = jnp.zeros_like(packed[0])
        rows: list[list[Array]] = []
        for i in range(coefs):
            row: list[Array] = []
            for j in range(i + 1):
                rest = full[i, j]
                for k in range(j):
                    rest = rest - row[k] * (row[k] if i == j else rows[j][k])
                row.append(jnp.sqrt(rest) if i == j else rest / rows[j][j])
            rows.append(row)
        padded = [row + [zero] * (coefs - len(row)) for row in rows]
        return SmallCholesky(jnp.stack([jnp.stack(row) for row in padded]))

    def solve(
        self, right: Float[Array, "coefs *extra genes"]
    ) -> Float[Array, "coefs *extra genes"]:
        """A^-1 b, for any number of right sides."""
        coefs = self.lower.shape[0]
        if coefs > _UNROLLED:
            lower, sides = jnp.moveaxis(self.lower, -1, 0), jnp.moveaxis(right, -1, 0)
            flat = sides.reshape(*sides.shape[:2], -1)
            flat = solve_triangular(lower, flat, lower=True)
            flat = solve_triangular(lower, flat, lower=True, trans=1)
            return jnp.moveaxis(flat.reshape(sides.shape), 0, -1)
        lower = self.lower
        forward: list[Array] = []
        for i in range(coefs):
            rest = right[i]
            for k in range(i):
                rest = rest - lower[i, k] * forward[k]
            forward.append(rest / lower[i, i])
        back: list[Array] = [forward[0]] * coefs
        for i in reversed(range(coefs)):
            rest = forward[i]
            for k in range(i + 1, coefs):
                rest = rest - lower[k, i] * back[k]
            back[i] = rest / lower[i, i]
        return jnp.stack(back)

    def inverse(self) -> Float[Array, "coefs coefs genes"]:
        """A^-1."""
        coefs = self.lower.shape[0]
        eye = jnp.eye(coefs, dtype=self.lower.dtype)[:, :, None]
        return self.solve(jnp.broadcast_to(eye, self.lower.shape))

    def log_determinant(self) -> Float[Array, " genes"]:
        """log det A."""
        coefs = np.arange(self.lower.shape[0])
        return 2 * jnp.log(self.lower[coefs, coefs]).sum(0)
