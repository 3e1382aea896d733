"""Names for arrays that many signatures share.

Axis names come from one list: reads, length, positions, alleles, genotypes, samples,
cells, genes, features, clusters.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, UInt8

Mode: TypeAlias = Literal["soft", "straight_through", "hard"]
"""How a `Relaxation` decides."""

Natural: TypeAlias = ArrayLike | Sequence[Any]
"""A value in natural units as a user writes it: number, list or array."""

HostArray: TypeAlias = Array | np.ndarray
"""What a data type holds before (NumPy) and after (JAX) it goes to the device."""

Scalar: TypeAlias = Float[Array, ""]
FloatArray: TypeAlias = Float[Array, "*shape"]
IntArray: TypeAlias = Int[Array, "*shape"]
BoolArray: TypeAlias = Bool[Array, "*shape"]

BaseCodes: TypeAlias = UInt8[Array, "*shape"]
"""Bases as codes: 0-3 = A C G T, 4 = N, 5 = deletion, 6 = reference skip,
7 = padding."""
