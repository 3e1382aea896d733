"""The shape of the package: floors, abstract or final, sizes, names, cheap import."""

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import equinox as eqx
import pytest

import diffbio_eqx

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "diffbio_eqx"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    "relax": 2,
    "params": 2,
    "data": 3,
    "distributions": 3,
    "statistics": 3,
    "operators": 4,
    "losses": 5,
    "metrics": 5,
    "pipelines": 6,
    "train": 6,
    "checkpoint": 6,
    "jobs": 7,
    "cli": 8,
}
# What a side door may import besides floor 1, and who may come in through it.
SIDE_DOORS = {"io": {"data", "simulate"}, "simulate": {"data", "distributions"}}
GUESTS = {"io": {"io", "jobs", "cli"}, "simulate": {"simulate", "io", "jobs", "cli"}}
EXTRAS = "pysam dnaio anndata h5py scipy formulaic pandas matplotlib".split()
EXTRAS += ["typer", "rich"]
LATE = ["optimistix", "lineax", "beartype"]


def room_of(parts: tuple[str, ...]) -> str:
    """The floor's package or the module that a dotted path below the root is in."""
    return parts[0] if parts else ""


def imports_of(source: str) -> set[tuple[str, ...]]:
    """Dotted paths below diffbio_eqx that a source imports, at any depth of code."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            root, *rest = name.split(".")
            if root == "diffbio_eqx":
                found.add(tuple(rest))
    return found


def may_import(user: tuple[str, ...], used: tuple[str, ...]) -> bool:
    """Does this import go down, or stay in its own package?"""
    here, there = room_of(user), room_of(used)
    if there.startswith("_") and not there.startswith("__"):
        return True
    if here in ("", "__init__", "__main__"):
        return True
    if here.startswith("_"):
        return False
    if here == there:
        field = used[1] if len(used) > 2 else None  # operators.<field>.<module>
        shared = field is None or not (PACKAGE / "operators" / field).is_dir()
        return here != "operators" or shared or field == user[1]
    if here in SIDE_DOORS:
        return there in SIDE_DOORS[here]
    if there in SIDE_DOORS:
        return here in GUESTS[there]
    return there in FLOORS and FLOORS[there] < FLOORS[here]


def test_imports_go_down():
    wrong = []
    for file in FILES:
        user = file.relative_to(PACKAGE).with_suffix("").parts
        for used in imports_of(file.read_text()):
            if not may_import(user, used):
                wrong.append(f"{'.'.join(user)} imports {'.'.join(used)}")
    assert not wrong, sorted(wrong)


def test_the_floors_catch_what_goes_up():
    assert imports_of("def f():\n import diffbio_eqx.io.bam") == {("io", "bam")}
    assert may_import(("train", "fit"), ("params", "free"))
    assert may_import(("operators", "reads", "a"), ("operators", "base"))
    assert may_import(("operators", "reads", "a"), ("operators", "reads", "b"))
    for user, used in [
        (("relax", "step"), ("data", "stacking")),
        (("operators", "reads", "a"), ("operators", "variants", "b")),
        (("io", "bam"), ("pipelines", "variant_calling")),
        (("train", "fit"), ("checkpoint",)),
        (("pipelines", "x"), ("io", "bam")),
        (("_checks",), ("relax",)),
        (("data", "x"), ("statistics", "ranks")),
        (("jobs", "call"), ("cli", "main")),
        (("relax", "step"), ("nowhere",)),
    ]:
        assert not may_import(user, used), (user, used)


def test_files_are_short_and_have_a_docstring():
    for file in FILES:
        text = file.read_text()
        assert len(text.splitlines()) <= 400, file
        assert (ast.get_docstring(ast.parse(text)) or ".").strip(".") != "", file


def modules() -> list:
    names = [i.name for i in pkgutil.walk_packages([str(PACKAGE)], "diffbio_eqx.")]
    found = []
    for name in names:
        try:
            found.append(import_module(name))
        except ImportError as error:  # an extra that is not installed here
            if not set(re.findall(r"\w+", str(error))) & set(EXTRAS):
                raise
    return found


def test_every_module_class_is_abstract_or_final():
    classes = {
        cls
        for module in modules()
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ and issubclass(cls, eqx.Module)
    }
    assert classes
    for cls in classes:
        named = cls.__name__.lstrip("_").startswith("Abstract")
        subclasses = [sub.__name__ for sub in classes if cls in sub.__mro__[1:]]
        assert named or not subclasses, f"{cls.__name__} is final, yet {subclasses}"
        assert inspect.isabstract(cls) <= named, f"{cls.__name__} is abstract"


def test_public_names_are_documented():
    page = ROOT / "docs" / "reference.md"
    if not page.exists():
        pytest.skip("docs/reference.md is not there")
    told = re.findall(r"^::: diffbio_eqx\.(\w+)$", page.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(public_names())


def public_names() -> set[str]:
    """What `diffbio_eqx/__init__.py` re-exports as `x as x`."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    aliases = [
        alias
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert all(alias.name == alias.asname for alias in aliases)
    return {alias.name for alias in aliases if not alias.name.startswith("_")}


def test_public_names_exist():
    names = public_names()
    assert {"fit", "save", "load", "stack", "set_mode", "Relaxation"} <= names
    assert all(hasattr(diffbio_eqx, name) for name in names)


def test_import_loads_no_extra_and_no_solver():
    code = (
        "import sys, jax, equinox, optax, jaxtyping; before = set(sys.modules);"
        "import diffbio_eqx; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "diffbio_eqx" in loaded
    assert not loaded & {*EXTRAS, *LATE}


def test_no_pickle_and_no_x64_switch_in_the_package():
    for file in FILES:
        room = file.relative_to(PACKAGE).parts[0]
        text = file.read_text()
        assert not re.search(r"\b(import pickle|allow_pickle=True|eval\(|exec\()", text)
        if room not in ("cli", "jobs"):
            assert "jax_enable_x64" not in text and "enable_x64(True)" not in text, file
