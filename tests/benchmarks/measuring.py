"""What the benchmarks share: repeated timing, ratios in one run, tables, results."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

RESULTS = Path(__file__).parent / "results"


def run_process(command: Sequence[str], **environment: str) -> tuple[float, float]:
    """CPU seconds (user + system) and wall seconds of one process and its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        list(command), env={**os.environ, **environment}, capture_output=True, text=True
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def told_by_child(code: str, *arguments: object) -> dict[str, float]:
    """What Python `code`, in a process of its own, prints as JSON in its last line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def call_command(reads: str, reference: str, out: str, *more: str) -> list[str]:
    """The command line `diffbio-eqx call` in this interpreter."""
    start = "import sys; from diffbio_eqx.cli.main import main; sys.exit(main())"
    files = ["call", reads, "--reference", reference, "-o", out]
    return [sys.executable, "-c", start, *files, *more]


def alternate(
    routes: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """CPU seconds of each route, one after the other, `repeats` times over.

    Each is run once before to compile and to warm up.
    """
    for route in routes.values():
        jax.block_until_ready(route())
    spent = {name: [] for name in routes}
    for _ in range(repeats):
        for name, route in routes.items():
            start = time.process_time()
            jax.block_until_ready(route())
            spent[name].append(time.process_time() - start)
    return spent


def ratios(spent: dict[str, list[float]], name: str, base: str) -> list[float]:
    """Ratio within each round."""
    return [a / b for a, b in zip(spent[name], spent[base], strict=True)]


def middle(values: Sequence[float], digits: int = 3) -> str:
    """Median and range as text."""
    low, high = min(values), max(values)
    shown = (f"{x:.{digits}g}" for x in (statistics.median(values), low, high))
    return "{} ({} to {})".format(*shown)


def show(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table in Markdown."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def write(name: str, values: dict) -> None:
    """`results/NAME.json` with versions and machine."""
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "backend": jax.default_backend(),
    }
    text = json.dumps({**values, "machine": machine}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")
