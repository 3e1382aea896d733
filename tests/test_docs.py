"""README and docs: their code runs, their commands parse, their tables are current."""

import ast
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def runnable():
    for page in PAGES:
        if blocks(page, "python"):
            slow = any(
                name in text
                for text in blocks(page, "python")
                for name in ("dbx.fit(", "create_differential_expression_pipeline(")
            )
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(page, id=name_of(page), marks=marks)


@pytest.mark.parametrize("page", list(runnable()))
def test_python_blocks_run(page, tmp_path, monkeypatch):
    pytest.importorskip("pysam")
    monkeypatch.chdir(tmp_path)
    space = {"__name__": page.stem}
    for number, text in enumerate(blocks(page, "python"), 1):
        exec(compile(text, f"{page.name}, block {number}", "exec"), space)


def commands():
    for page in PAGES:
        for text in blocks(page, "bash"):
            for line in text.replace("\\\n", " ").splitlines():
                for part in re.split(r"&&|;", line):
                    words = shlex.split(part, comments=True)
                    names = [Path(word).name for word in words]
                    if "diffbio-eqx" in names:
                        at = names.index("diffbio-eqx")
                        yield pytest.param(
                            words[at + 1 :], id=f"{page.name}: {part.strip()}"
                        )


@pytest.mark.parametrize("words", list(commands()))
def test_commands_and_their_options_exist(words, capsys, monkeypatch):
    pytest.importorskip("typer")
    monkeypatch.setenv("DIFFBIO_EQX_CACHE", "off")
    from diffbio_eqx.cli.main import main

    depth = 2 if words[:1] == ["train"] else 1
    assert main([*words[:depth], "--help"]) == 0
    told = re.findall(r"(?<![\w-])--?[a-z][\w-]*", capsys.readouterr().out)
    options = [word for word in words[depth:] if word.startswith("-")]
    assert set(options) <= set(told)


def test_commands_are_found():
    assert len(list(commands())) >= 8


def test_pages_are_in_the_navigation_and_links_lead_somewhere():
    config = (ROOT / ".mkdocs.yml").read_text()
    for page in PAGES:
        text = page.read_text()
        if page != ROOT / "README.md":
            assert str(page.relative_to(DOCS)) in config
        for link in re.findall(r"\]\(([^)#:]+?\.md)(?:#[\w-]+)?\)", text):
            assert (page.parent / link).is_file(), f"{page.name} links to {link}"


def test_names_in_the_reference_exist():
    import diffbio_eqx

    told = re.findall(r"^::: diffbio_eqx\.([\w.]+)$", reference(), re.MULTILINE)
    assert len(told) == len(set(told))
    for path in told:
        found = diffbio_eqx
        for name in path.split("."):
            if not hasattr(found, name):
                found = importlib.import_module(f"{found.__name__}.{name}")
            else:
                found = getattr(found, name)
        assert found.__doc__ and len(found.__doc__) > 20, path


def reference() -> str:
    return (DOCS / "reference.md").read_text()


@pytest.mark.parametrize(
    "package",
    [
        "operators.reads",
        "operators.variants",
        "operators.expression",
        "losses",
        "metrics",
        "io",
        "jobs",
    ],
)
def test_every_name_of_a_package_is_in_the_reference(package):
    path = ROOT / "diffbio_eqx" / package.replace(".", "/") / "__init__.py"
    names = {
        alias.asname
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    told = re.findall(rf"^::: diffbio_eqx\.{package}\.(\w+)$", reference(), re.M)
    assert names and names == set(told)


def test_benchmark_tables_are_what_the_results_say():
    maker = load(DOCS / "make_benchmarks.py")
    text = maker.PAGE.read_text()
    same = text == maker.page(text, maker.read_results())
    assert same, "run python docs/make_benchmarks.py"


def test_a_result_becomes_a_table():
    maker = load(DOCS / "make_benchmarks.py")
    result = {
        "title": "Speed",
        "note": "On two cores.",
        "seconds": {"ours": {"cold": 12.34567, "ok": True}, "peer": {"warm": 1234}},
        "versions": {"jax": "0.10"},
        "runs": [{"n": 1}, {"n": None}],
    }
    page = maker.page(f"a {maker.BEGIN} stale {maker.END} b", {"speed": result})
    assert page.startswith("a ") and page.endswith(" b") and "stale" not in page
    for line in (
        "## Speed",
        "|  | cold | ok | warm |",
        "| ours | 12.35 | yes |  |",
        "| peer |  |  | 1,234 |",
        "- versions: jax 0.10",
        "| n |",
        "| 1 |",
        "|  |",
    ):
        assert line in page.splitlines()
    assert page == maker.page(page, {"speed": result})


@pytest.mark.slow
def test_the_tutorial_trains_a_better_caller(tmp_path, capsys):
    pytest.importorskip("pysam")
    tutorial = load(DOCS / "examples" / "train_caller.py")
    before, after = tutorial.main(tmp_path, length=40_000, steps=25)
    assert after < 0.8 * before
    assert "trained model is kept" in capsys.readouterr().out
    assert (tmp_path / "model.eqx").exists()


@pytest.mark.slow
def test_the_example_trusts_poor_samples_less():
    found = load(DOCS / "examples" / "learn_sample_weights.py").run(0, steps=20)
    least = found["smallest weight of a good sample"]
    assert found["largest weight of a poor sample"] < 0.6 * least
    errors = [
        found[f"error of effects, {kind} weights"] for kind in ("learned", "equal")
    ]
    assert errors[0] < errors[1]


def test_docs_need_no_network():
    config = (ROOT / ".mkdocs.yml").read_text()
    assert "font: false" in config and "inventories" not in config
    assert "http" not in config
    assert sys.version_info >= (3, 11)
