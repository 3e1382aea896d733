"""A small network that corrects the class log-odds of a position."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from diffbio_eqx.operators.base import AbstractOperator

BLOCK = 2000


class VariantClassifier(AbstractOperator):
    """Correction of the class log-odds of one position from the window around it.

    Two hidden layers of GELU units on the flattened window; the last layer starts at
    zero, so the untrained correction is zero and the likelihoods stand.

    **Arguments:** `x`, (window, features), centred on the position; beyond the ends
    of the reference it holds zeros.

    **Returns:** (num_classes,), added to the log-odds of ref / SNP / indel.
    """

    layers: tuple[eqx.nn.Linear, eqx.nn.Linear, eqx.nn.Linear]
    window_size: int = eqx.field(static=True)

    def __init__(
        self,
        window_size: int,
        features: int,
        hidden_dim: int,
        num_classes: int,
        *,
        key: PRNGKeyArray,
    ):
        if window_size < 1 or window_size % 2 == 0:
            raise ValueError(
                f"window_size must be odd and positive, got {window_size}; the "
                "window is centred on the position it speaks of."
            )
        sizes = (window_size * features, hidden_dim, hidden_dim, num_classes)
        keys = jax.random.split(key, 3)
        first, second, last = (
            eqx.nn.Linear(fan_in, fan_out, key=k)
            for fan_in, fan_out, k in zip(sizes, sizes[1:], keys, strict=False)
        )
        last = jax.tree.map(jnp.zeros_like, last)
        self.layers = (first, second, last)
        self.window_size = window_size

    def __call__(
        self, x: Float[Array, "window features"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, " classes"]:
        first, second, last = (_cast(layer, x.dtype) for layer in self.layers)
        hidden = jax.nn.gelu(first(x.reshape(-1)))
        return last(jax.nn.gelu(second(hidden)))

    def is_zero(self) -> bool:
        """Whether the last layer is zero, so that nothing is corrected (host check)."""
        return not any(bool(jnp.any(x)) for x in jax.tree.leaves(self.layers[-1]))

    def at(
        self, features: Float[Array, "length features"], position: Int[Array, " sites"]
    ) -> Float[Array, "sites classes"]:
        """The correction at the given positions of a window."""
        half = self.window_size // 2
        padded = jnp.pad(features, ((half, half), (0, 0)))
        offset = jnp.arange(self.window_size, dtype=position.dtype)
        return jax.vmap(self)(padded[position[:, None] + offset])

    def everywhere(
        self, features: Float[Array, "length features"]
    ) -> Float[Array, "length classes"]:
        """The correction at every position, in blocks whose windows fit a cache."""
        length, channels = features.shape
        block = min(BLOCK, length)
        blocks = -(-length // block)
        half = self.window_size // 2
        right = half + blocks * block - length
        padded = jnp.pad(features, ((half, right), (0, 0)))

        @jax.checkpoint
        def one(start):
            rows = lax.dynamic_slice(padded, (start, 0), (block + 2 * half, channels))
            columns = [rows[k : k + block] for k in range(self.window_size)]
            return jax.vmap(self)(jnp.stack(columns, axis=1))

        out = lax.map(one, jnp.arange(blocks, dtype=jnp.int32) * block)
        return out.reshape(blocks * block, -1)[:length]


def _cast(layer: eqx.nn.Linear, dtype) -> eqx.nn.Linear:
    return jax.tree.map(lambda x: x.astype(dtype), layer)
