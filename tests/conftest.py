"""Settings of every test: types checked, strict promotion, compilation cache."""

import gc
import os
from pathlib import Path

# Tests wait for the compiler, not for what it makes: without most of its optimisation
# they take half the time. `XLA_FLAGS= pytest` compiles as users do. The backend reads
# the variable when it starts, so it has to be set before anything is computed.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_parallel_codegen_split_count=1 --xla_cpu_use_fusion_emitters=false",
)

import jax
import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent.parent

# Set DIFFBIO_EQX_TYPECHECK=0 to run the package as users have it, without the hook.
if os.environ.get("DIFFBIO_EQX_TYPECHECK", "1") != "0":
    checker = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
    install_import_hook("diffbio_eqx", checker)

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update(
    "jax_compilation_cache_dir",
    os.environ.get("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache")),
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def pytest_addoption(parser):
    parser.addoption(
        "--exhaustive", action="store_true", help="also what is marked exhaustive"
    )


def pytest_collection_modifyitems(config, items):
    """Leave out what repeats a check on one more data set, unless it is asked for."""
    if config.getoption("--exhaustive"):
        return
    more = [item for item in items if item.get_closest_marker("exhaustive")]
    config.hook.pytest_deselected(items=more)
    items[:] = [item for item in items if item not in set(more)]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real data, or a skip whose reason starts with `no data:`."""
    named = os.environ.get("DIFFBIO_EQX_DATA")
    folder = Path(named) if named else ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no data: {folder} does not exist; set DIFFBIO_EQX_DATA")
    return folder


# Linux gives a process 65,530 memory maps by default, and every compiled program takes
# some: a long run of tests ends in a segmentation fault without this. One test takes up
# to a few thousand.
_MANY_MAPS = 25_000


@pytest.fixture(autouse=True)
def programs_are_freed():
    """Drop what was compiled once the process holds much of it."""
    yield
    try:
        maps = Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return
    if maps > _MANY_MAPS:
        jax.clear_caches()
        gc.collect()
