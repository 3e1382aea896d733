"""One self-contained HTML page: tables and histograms, nothing from outside."""

import html
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem 1rem .2rem 0;
  text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: 1rem 1.5rem 1rem 0; }
figcaption { color: #555; } svg text { font-size: 11px; fill: #555; }
footer { color: #777; margin-top: 3rem; font-size: .85rem; }
"""
_WIDTH, _HEIGHT, _BASE = 280, 140, 16


def page(title: str, parts: Iterable[str], footer: str) -> str:
    """A whole page; `parts` are HTML, `title` and `footer` plain text."""
    name = html.escape(title)
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{name}</title><style>{_STYLE}</style></head>\n<body><h1>{name}</h1>\n"
        + "\n".join(parts)
        + f"\n<footer>{html.escape(footer)}</footer></body></html>\n"
    )


def table(title: str, rows: Mapping[str, str | int | float]) -> str:
    """A heading and a table of two columns; numbers stand to the right."""
    lines = []
    for name, value in rows.items():
        number = " class='number'" if isinstance(value, int | float) else ""
        text = f"{value:,}" if isinstance(value, int) else str(value)
        if isinstance(value, float):
            text = f"{value:.3g}"
        cells = f"<td>{html.escape(name)}</td><td{number}>{html.escape(text)}</td>"
        lines.append(f"<tr>{cells}</tr>")
    return f"<h2>{html.escape(title)}</h2><table>{''.join(lines)}</table>"


def histogram(title: str, counts: Mapping[int, int], *, bins: int = 40) -> str:
    """Bars of whole numbers joined into at most `bins` classes of equal width.

    The last class ends at the largest number. Without any there is a line of text.
    """
    name = html.escape(title)
    if not counts:
        return f"<figure><figcaption>{name}: no values</figcaption></figure>"
    low, high = min(counts), max(counts)
    width = max(1, -(-(high - low + 1) // bins))
    number = (high - low) // width + 1
    heights = [0] * number
    for value, count in counts.items():
        heights[(value - low) // width] += count
    top = max(heights)
    step = _WIDTH / number
    bars = "".join(
        f"<rect x='{i * step:.2f}' y='{_HEIGHT * (1 - n / top):.2f}' "
        f"width='{max(step - 1, 0.5):.2f}' height='{_HEIGHT * n / top:.2f}' "
        f"fill='#3b6ea5'><title>{low + i * width} to "
        f"{min(low + (i + 1) * width - 1, high)}: {n}</title></rect>"
        for i, n in enumerate(heights)
        if n
    )
    return (
        f"<figure><svg width='{_WIDTH}' height='{_HEIGHT + _BASE}' role='img' "
        f"aria-label='{name}'>{bars}<text x='0' y='{_HEIGHT + 13}'>{low}</text>"
        f"<text x='{_WIDTH}' y='{_HEIGHT + 13}' text-anchor='end'>{high}</text></svg>"
        f"<figcaption>{name} (highest bar: {top:,})</figcaption></figure>"
    )


def write_page(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path`, beside it first and then renamed."""
    path = Path(path)
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
