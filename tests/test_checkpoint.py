"""Checkpoints: exact round trip, and a clear error for anything else."""

import dataclasses
import json
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import diffbio_eqx as dbx
from diffbio_eqx import Positive, Relaxation, _registry, set_mode


@dataclasses.dataclass(frozen=True)
class Config:
    sizes: tuple[int, ...] = (2, 3)
    cutoff: float = 20.0


class Toy(eqx.Module):
    cutoff: Positive
    relaxation: Relaxation
    network: eqx.nn.MLP
    dropout: eqx.nn.Dropout
    table: Array
    config: Config = eqx.field(static=True)

    def __init__(self, config, *, key):
        self.cutoff = Positive(config.cutoff)
        self.relaxation = Relaxation(1.0)
        self.network = eqx.nn.MLP(*config.sizes, 4, 1, key=key)
        self.dropout = eqx.nn.Dropout(0.1)
        self.table = jnp.zeros((0, 2), jnp.bfloat16)
        self.config = config


class Plain(eqx.Module):
    weight: Array


def create_toy(*, sizes=(2, 3), cutoff=20.0, key):
    return Toy(Config(sizes, cutoff), key=key)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(_registry, "_BY_NAME", {})
    dbx.register("toy", Toy, create_toy)
    size = lambda model: {"n": model.weight.shape[0]}
    dbx.register("plain", Plain, lambda n: Plain(jnp.zeros(n)), config=size)


def toy():
    return create_toy(sizes=(3, 1), key=jax.random.key(3))


def test_round_trip(tmp_path):
    model = eqx.nn.inference_mode(set_mode(toy(), "soft"))
    model = eqx.tree_at(lambda m: m.cutoff.raw, model, jnp.array(17.25))
    path = tmp_path / "toy.eqx"
    dbx.save(path, model, metadata={"genes": ["a", "é"], "n": 3})
    loaded = dbx.load(path)
    assert eqx.tree_equal(loaded, model)
    assert loaded.relaxation.mode == "soft" and loaded.dropout.inference is True
    assert loaded.config == Config((3, 1), 20.0)
    assert dbx.load_metadata(path) == {"genes": ["a", "é"], "n": 3}
    assert os.listdir(tmp_path) == ["toy.eqx"]
    header = json.loads(path.read_bytes().split(b"\n", 1)[0])
    assert header["modes"] == {".relaxation": "soft"} and header["x64"] is False
    assert header["package_version"] == dbx.__version__


def test_model_without_config(tmp_path):
    dbx.save(tmp_path / "p", Plain(jnp.arange(3.0)))
    np.testing.assert_array_equal(dbx.load(tmp_path / "p").weight, [0, 1, 2])


def test_any_damage_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "toy.eqx"
    dbx.save(path, toy(), metadata={"split": "abc"})
    data = path.read_bytes()
    ends = [0, 1, 30, data.index(b"\n"), data.index(b"\n") + 1, len(data) - 1]
    damaged = [data[:end] for end in ends] + [data + b"x", b"\x93NUMPY" + data]
    for at in [*range(0, data.index(b"\n") + 2, 61), len(data) - 1]:
        damaged.append(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="toy.eqx: expected"):
            dbx.load(path)
    with pytest.raises(FileNotFoundError):
        dbx.load(tmp_path / "none")


def test_unknown_factory_names_the_module_to_import(tmp_path, monkeypatch):
    dbx.save(tmp_path / "p", toy())
    monkeypatch.setattr(_registry, "_BY_NAME", {})
    with pytest.raises(ValueError, match=f"import the module .*{__name__}"):
        dbx.load(tmp_path / "p")


def test_changed_dtype_is_refused_with_a_hint(tmp_path):
    dbx.save(tmp_path / "p", toy())
    with jax.enable_x64(True):
        with pytest.raises(ValueError, match=r"jax.enable_x64\(False\)"):
            dbx.load(tmp_path / "p")
        with pytest.raises(ValueError, match="enable_x64 setting that made"):
            dbx.save(tmp_path / "q", Plain(jnp.zeros(2, jnp.float32)))
        wide = Plain(jnp.ones(2))
        dbx.save(tmp_path / "q", wide)
        assert eqx.tree_equal(dbx.load(tmp_path / "q"), wide)
    assert wide.weight.dtype == jnp.float64


@pytest.mark.parametrize(
    "surgery",
    [
        lambda m: eqx.tree_at(lambda m: m.table, m, jnp.zeros(3, jnp.bfloat16)),
        lambda m: eqx.tree_at(lambda m: m.cutoff, m, dbx.Free(20.0)),
        lambda m: eqx.tree_at(lambda m: m.relaxation, m, None),
        lambda m: eqx.tree_at(lambda m: m.network.activation, m, jax.nn.gelu),
        lambda m: eqx.tree_at(lambda m: m.table, m, 1.0),
    ],
)
def test_model_after_surgery_is_refused(tmp_path, surgery):
    with pytest.raises(ValueError, match="after surgery .* register"):
        dbx.save(tmp_path / "p", surgery(toy()))
    assert not os.listdir(tmp_path)


def test_factory_that_builds_something_else_now_is_refused(tmp_path, monkeypatch):
    dbx.save(tmp_path / "p", Plain(jnp.ones(3)))
    monkeypatch.setattr(_registry, "_BY_NAME", {})
    dbx.register("plain", Plain, lambda n: Plain(jnp.zeros(n + 1)))
    with pytest.raises(ValueError, match="structure of .*p: expected what the factory"):
        dbx.load(tmp_path / "p")


def test_metadata_must_be_json(tmp_path):
    for bad in (jnp.zeros(2), float("nan")):
        with pytest.raises(ValueError, match="metadata: expected JSON"):
            dbx.save(tmp_path / "p", toy(), metadata={"x": bad})


def test_registration():
    dbx.register("toy", Toy, create_toy)  # again is no error
    with pytest.raises(ValueError, match="already registered as 'toy'"):
        dbx.register("other", Toy, create_toy)
    with pytest.raises(ValueError, match="a new name for a new class"):
        dbx.register("toy", Config)
    with pytest.raises((ValueError, TypeError), match="cls|a class"):
        dbx.register("function", create_toy)
    with pytest.raises(ValueError, match="registered factory"):
        dbx.save("nowhere", {"a": jnp.zeros(1)})


def test_checkpoint_of_a_run_is_no_model_and_the_reverse(tmp_path):
    step = lambda m, b, *, key: (m.weight.sum(), {})
    fit = lambda path: dbx.fit(
        Plain(jnp.ones(2)),
        step,
        [None],
        key=jax.random.key(0),
        steps=1,
        checkpoint=path,
    )
    fit(tmp_path / "run")
    with pytest.raises(ValueError, match="got a fit checkpoint"):
        dbx.load(tmp_path / "run")
    dbx.save(tmp_path / "model", Plain(jnp.ones(2)))
    with pytest.raises(ValueError, match="got a model checkpoint"):
        fit(tmp_path / "model")
