"""What every parameter node has in common."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffbio_eqx._typing import Natural

NETWORK_STEP = 2e-3
"""The step of leaves outside of parameter nodes, and `fit`'s default learning rate."""


class AbstractParameter(eqx.Module):
    """A leaf that an optimiser may move freely, and the value that a formula uses.

    `raw` holds the unconstrained numbers, `value` gives them in natural units.

    `step` is a natural step of `raw`: how far one step of an Adam-like optimiser at its
    base learning rate should move it (a Phred table 0.5, a log-prior 0.02, a network
    `NETWORK_STEP` = 0.002). `fit` multiplies the optimiser's update of a leaf in this
    node by `step / NETWORK_STEP`; the base learning rate multiplies all of them. With
    the default step the factor is 1.
    """

    raw: eqx.AbstractVar[Float[Array, "*shape"]]
    step: eqx.AbstractVar[float]

    @property
    @abc.abstractmethod
    def value(self) -> Float[Array, "*shape"]:
        """The parameter in natural units."""
        raise NotImplementedError


def strong(value: Natural) -> Float[Array, "*shape"]:
    """`value` as a strongly typed floating array.

    A floating JAX array keeps its dtype; anything else takes the default one.
    """
    floating = isinstance(value, jax.Array) and jnp.issubdtype(
        value.dtype, jnp.floating
    )
    return jnp.asarray(value, value.dtype if floating else float)


def softplus_inverse(value: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log(exp(value) - 1)` for `value > 0`, without overflow."""
    return value + jnp.log(-jnp.expm1(-value))
