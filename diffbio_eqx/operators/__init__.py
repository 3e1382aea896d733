"""Operators: one decision or model each, on one item; batch them by `jax.vmap`."""

from diffbio_eqx.operators.base import AbstractOperator as AbstractOperator
