"""What every parameter node has in common."""

import abc
from collections.abc import Callable
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffbio_eqx._checks import concrete
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
    return on_host(lambda np, x: x + np.log(-np.expm1(-x)), value)


def on_host(
    formula: Callable[[ModuleType, Any], Any], value: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """`formula(numpy, value)`, or `formula(jax.numpy, value)` if `value` is traced.

    So that building a model compiles nothing; worked in float64, the dtype kept.
    """
    array = concrete(value)
    if array is None:
        return formula(jnp, value)
    return jnp.asarray(np.asarray(formula(np, array.astype(np.float64)), value.dtype))
