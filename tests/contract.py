"""What every operator must do: checks that raise AssertionError."""

import dataclasses
import inspect
import io
import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from helpers import random_direction, tree_allclose

from diffbio_eqx import set_mode, trainable_spec


@dataclasses.dataclass(frozen=True)
class Case:
    """One operator and how to call it.

    - `make()` builds the operator, small.
    - `inputs(key)` makes one item: arrays whose shapes do not depend on the key. Keep
      numbers away from kinks, where no central difference fits a derivative.
    - `poison(item)`: the same item with NaN (or other rubbish) in its padding.
    - `forward_mode`: False for a kernel whose docstring says reverse-only.
    - `tolerance`: relative, of derivatives in float64.
    - `fixed`: fields of the item that are not moved, as a design of equal rows.
    - `key`: True for a stochastic operator, which is then called with a key.
    - `slow`: True where compiling takes so long that the quick run leaves it out.
    """

    make: Callable[[], eqx.Module]
    inputs: Callable[[jax.Array], Any]
    poison: Callable[[Any], Any] | None = None
    forward_mode: bool = True
    tolerance: float = 1e-6
    key: bool = False
    fixed: tuple[str, ...] = ()
    slow: bool = False

    def call(self, operator: Any, item: Any) -> Any:
        """Call the operator on one item, with a fixed key if it needs one."""
        return operator(item, key=jax.random.key(5)) if self.key else operator(item)

    def items(self, count: int) -> list[Any]:
        """Several items of the same shapes."""
        keys = jax.random.split(jax.random.key(11), count)
        return [jax.tree.map(jnp.asarray, self.inputs(key)) for key in keys]


def check_calls(case: Case) -> None:
    """jit equals eager, a second call does not retrace, vmap equals a loop."""
    operator, items, traces = case.make(), case.items(3), []

    @eqx.filter_jit
    def compiled(operator: Any, item: Any) -> Any:
        traces.append(None)
        return case.call(operator, item)

    one_by_one = [compiled(operator, item) for item in items]
    assert len(traces) == 1, "a second call retraced"
    assert tree_allclose(case.call(operator, items[0]), one_by_one[0]), "jit != eager"
    stack = lambda *leaves: jnp.stack(leaves)
    batch, loop = jax.tree.map(stack, *items), jax.tree.map(stack, *one_by_one)
    mapped = eqx.filter_jit(eqx.filter_vmap(case.call, in_axes=(None, 0)))
    assert tree_allclose(mapped(operator, batch), loop), "vmap != loop"


def check_gradient(case: Case) -> None:
    """In mode soft and float64: finite, and equal to a central difference."""
    with jax.enable_x64(True):
        operator = _float64(set_mode(case.make(), "soft"))
        item = _float64(case.items(1)[0])
        diff, rest = _split(case, operator, item)
        direction = random_direction(diff, jax.random.key(2))
        scalar = lambda diff, rest: _scalar(case, diff, rest)

        @eqx.filter_jit
        def everything(diff: Any, rest: Any) -> Any:
            of_diff = lambda d: scalar(d, rest)
            reverse = jax.grad(of_diff)(diff)
            forward = None
            if case.forward_mode:
                forward = jax.jvp(of_diff, (diff,), (direction,))[1]
            ends = [
                of_diff(jax.tree.map(lambda x, d: x + h * d, diff, direction))
                for h in (1e-5, -1e-5)
            ]
            return (ends[0] - ends[1]) / 2e-5, reverse, forward

        difference, reverse, forward = everything(diff, rest)
        leaves = jax.tree.leaves(reverse)
        assert leaves, "nothing to differentiate: no trainable leaf, no float input"
        assert all(jnp.isfinite(leaf).all() for leaf in leaves), "gradient not finite"
        assert any(leaf.any() for leaf in leaves), "the gradient is 0 everywhere"
        products = jax.tree.map(lambda g, d: (g * d).sum(), reverse, direction)
        along = sum(jax.tree.leaves(products))
        close = dict(rtol=case.tolerance, atol=1e-8)
        np.testing.assert_allclose(along, difference, err_msg="reverse mode", **close)
        if case.forward_mode:
            np.testing.assert_allclose(forward, along, rtol=1e-9, atol=1e-12)


def check_poison(case: Case) -> None:
    """Rubbish in the padding moves neither value nor gradient by a bit."""
    assert case.poison is not None
    operator, item = case.make(), case.items(1)[0]

    @eqx.filter_jit
    def both(operator: Any, item: Any) -> Any:
        diff, rest = eqx.partition(operator, trainable_spec(operator))
        output = case.call(operator, item)
        gradient = jax.grad(lambda d: _scalar(case, (d, None), (rest, item)))(diff)
        return output, gradient

    clean, poisoned = both(operator, item), both(operator, case.poison(item))
    assert eqx.tree_equal(clean, poisoned), "the padding was seen"
    finite = lambda x: not eqx.is_inexact_array(x) or bool(jnp.isfinite(x).all())
    assert all(map(finite, jax.tree.leaves(clean[1]))), "gradient not finite"


def check_serialise(case: Case) -> None:
    """The leaves survive a round trip through bytes; they are strong JAX arrays."""
    operator = case.make()
    for leaf in jax.tree.leaves(eqx.filter(operator, eqx.is_array)):
        assert isinstance(leaf, jax.Array) and not leaf.weak_type, "weak or NumPy leaf"
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, operator)
    file.seek(0)
    skeleton = eqx.filter_eval_shape(case.make)
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(file, skeleton), operator)


def missing_operators(package: str, cases: dict[str, Case]) -> set[str]:
    """Names of concrete operator classes under `package` that no case makes."""
    covered = {type(case.make()).__name__ for case in cases.values()}
    names = set()
    for module in _modules(package):
        for name, cls in inspect.getmembers(module, inspect.isclass):
            own = cls.__module__ == module.__name__ and issubclass(cls, eqx.Module)
            public = not name.startswith(("_", "Abstract"))
            if own and public and "__call__" in vars(cls):
                names.add(name)
    return names - covered


def _modules(package: str) -> list[Any]:
    root = import_module(package)
    found = pkgutil.walk_packages(root.__path__, package + ".")
    return [root] + [import_module(info.name) for info in found]


def _split(case: Case, operator: Any, item: Any) -> tuple[Any, Any]:
    """Trainable leaves and floating inputs, and everything else."""
    moved = jax.tree.map(eqx.is_inexact_array, item)
    for name in case.fixed:
        still = jax.tree.map(lambda _: False, getattr(item, name))
        moved = eqx.tree_at(lambda x, name=name: getattr(x, name), moved, still)
    return eqx.partition((operator, item), (trainable_spec(operator), moved))


def _scalar(case: Case, diff: Any, rest: Any) -> jax.Array:
    """A fixed random combination of all floating outputs."""
    output = case.call(*eqx.combine(diff, rest))
    leaves = [x for x in jax.tree.leaves(output) if eqx.is_inexact_array(x)]
    assert leaves, "the operator returns no floating array"
    weights = random_direction(leaves, jax.random.key(3))
    terms = zip(weights, leaves, strict=True)
    return sum((w * x).sum().astype(float) for w, x in terms)


def _float64(tree: Any) -> Any:
    wide = lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x
    return jax.tree.map(wide, tree)
