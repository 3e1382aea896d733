"""What every operator is."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray


class AbstractOperator(eqx.Module):
    """One item in, one item out: call it, `jax.vmap` it, hold it in your own module.

    The docstring of each operator says what its item is. Deterministic operators
    ignore `key`.
    """

    @abc.abstractmethod
    def __call__(self, x: Any, *, key: PRNGKeyArray | None = None) -> Any:
        """Apply the operator to one item."""
        raise NotImplementedError
