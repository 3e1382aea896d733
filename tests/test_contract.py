"""Every operator keeps the contract, and the contract catches what breaks it."""

import contract
import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from contract import Case
from operator_cases import OPERATORS

from diffbio_eqx import Free, Frozen, Relaxation


def parameters(cases):
    """Names of cases, the slow ones marked."""
    slow = lambda case: [pytest.mark.slow] if case.slow else []
    return [pytest.param(name, marks=slow(case)) for name, case in cases.items()]


each = pytest.mark.parametrize("name", parameters(OPERATORS))
poisoned = parameters({k: v for k, v in OPERATORS.items() if v.poison is not None})


@each
def test_calls(name):
    contract.check_calls(OPERATORS[name])


@each
def test_gradient(name):
    contract.check_gradient(OPERATORS[name])


@each
def test_serialise(name):
    contract.check_serialise(OPERATORS[name])


@pytest.mark.parametrize("name", poisoned)
def test_padding_is_never_seen(name):
    contract.check_poison(OPERATORS[name])


def test_no_operator_is_missing():
    missing = contract.missing_operators("diffbio_eqx.operators", OPERATORS)
    assert not missing, f"add to tests/operator_cases.py: {sorted(missing)}"


class Gate(eqx.Module):
    """A small operator that is right, or wrong in one way."""

    cutoff: Free
    table: Frozen
    relaxation: Relaxation
    fault: str = eqx.field(static=True, default="")

    def __call__(self, x, *, key=None):
        if self.fault == "value":
            x = (x[0] + float(x[0][0]), x[1])
        if self.fault == "gradient":
            x = (2 * x[0] - jax.lax.stop_gradient(x[0]), x[1])
        real = x[0] if self.fault == "poison" else jnp.where(x[1], x[0], 0.0)
        y = self.relaxation.step(real - self.cutoff.value.astype(real.dtype))
        return jnp.where(x[1], y, 0.0)


def gate(fault=""):
    make = lambda: Gate(Free(0.1), Frozen(1.0), Relaxation(0.5), fault)
    inputs = lambda key: (jax.random.normal(key, (4,)), jnp.arange(4) < 3)
    return Case(make, inputs, poison=lambda x: (x[0].at[3].set(jnp.nan), x[1]))


def test_contract_accepts_a_good_operator():
    contract.check_calls(gate())
    contract.check_gradient(gate())
    contract.check_poison(gate())
    contract.check_serialise(gate())


def test_contract_catches_faults():
    with pytest.raises(jax.errors.ConcretizationTypeError):
        contract.check_calls(gate("value"))
    with pytest.raises(AssertionError, match="reverse mode"):
        contract.check_gradient(gate("gradient"))
    with pytest.raises(AssertionError, match="padding was seen"):
        contract.check_poison(gate("poison"))
    assert "Relaxation" not in contract.missing_operators("diffbio_eqx.relax", {})
