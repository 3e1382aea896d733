"""Write the tables of docs/benchmarks.md from tests/benchmarks/results/*.json.

Run it after a benchmark: `python docs/make_benchmarks.py`. A test fails when the page
is not what the results say. A result may hold

- `title`, `note`: text (the file's name stands in for a missing title);
- a mapping of mappings: a table with a row for each;
- a list of mappings: a table; any other mapping or value: a line of a list.
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def show(value: Any) -> str:
    """One value as text for a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(show(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {show(item)}" for name, item in value.items())
    return str(value).replace("|", "\\|").replace("\n", " ")


def table(rows: list[tuple[str, dict[str, Any]]]) -> str:
    """A Markdown table; columns are all keys in the order in which they appear."""
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    named = any(name for name, _ in rows)
    head = ([""] if named else []) + columns
    lines = [head, ["---"] * len(head)]
    for name, row in rows:
        cells = [show(row.get(column)) for column in columns]
        lines.append(([name] if named else []) + cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(stem: str, result: dict[str, Any]) -> str:
    """One result file as a section."""
    title = result.get("title") or stem.replace("_", " ").capitalize()
    parts, facts = [f"## {title}"], []
    if "note" in result:
        parts.append(result["note"])
    for name, value in result.items():
        if name in ("title", "note"):
            continue
        inner = value.values() if isinstance(value, dict) else value
        rows = isinstance(value, dict | list) and all(
            isinstance(item, dict) for item in inner
        )
        if rows and isinstance(value, dict) and value:
            parts.append(f"**{name}**\n\n{table(list(value.items()))}")
        elif rows and value:
            parts.append(f"**{name}**\n\n{table([('', row) for row in value])}")
        else:
            facts.append(f"- {name}: {show(value)}")
    if facts:
        parts.append("\n".join(facts))
    return "\n\n".join(parts)


def page(text: str, results: dict[str, dict[str, Any]]) -> str:
    """`text` with the part between the marks made anew from `results`."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    body = "\n\n".join(section(stem, results[stem]) for stem in sorted(results))
    body = body or "No results are stored yet."
    return f"{head}{BEGIN}\n\n{body}\n\n{END}{tail}"


def read_results() -> dict[str, dict[str, Any]]:
    """The stored results by the name of their file."""
    return {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), read_results()))
