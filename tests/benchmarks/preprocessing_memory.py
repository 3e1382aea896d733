"""Does the memory of `preprocess` grow with the reads as the docs say?

    python tests/benchmarks/preprocessing_memory.py READS.fq

Peak resident memory of the job on the file and on five copies of it (names aside), each
in a process of its own: trimming alone (flat), with duplicate weighting (64 bytes a
read, four times that at the end), and with error correction too (17 bytes a read, and
the table of words, which copies of the same reads do not enlarge).
"""

import argparse
import tempfile
from pathlib import Path

from measuring import show, told_by_child, write

_CHILD = """
import json, resource, sys
from diffbio_eqx.jobs import preprocess
from diffbio_eqx.pipelines import PreprocessingPipelineConfig
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
start = peak()
source, out, copies, errors = sys.argv[1:]
config = PreprocessingPipelineConfig(
    enable_duplicate_weighting=copies == "True",
    enable_error_correction=errors == "True",
)
summary = preprocess(source, out, config=config)
print(json.dumps({"reads": summary.reads_in, "start": start, "peak": peak()}))
"""

ROUTES = {
    "trimming": (False, False),
    "with copies": (True, False),
    "with copies and errors": (True, True),
}


def measure(source: Path, out: Path, route: str) -> dict[str, float]:
    """Reads, and MiB resident at the start and at the most."""
    return told_by_child(_CHILD, source, out, *ROUTES[route])


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reads", type=Path)
    given = parser.parse_args()
    rows, told = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        large = folder / "large.fq"
        large.write_bytes(given.reads.read_bytes() * 5)
        for route in ROUTES:
            small, big = (
                measure(source, folder / "out.fq", route)
                for source in (given.reads, large)
            )
            more = big["peak"] - small["peak"]
            row = {
                "reads": small["reads"],
                "MiB": round(small["peak"], 1),
                "five times the reads, MiB": round(big["peak"], 1),
                "bytes a read more": round(
                    more * 2**20 / (big["reads"] - small["reads"]), 1
                ),
            }
            rows.append([route, *row.values()])
            told[route] = row
    show(["route", *told["trimming"]], rows)
    write("preprocessing_memory", told)


if __name__ == "__main__":
    main()
