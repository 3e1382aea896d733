"""How often does `call` compile, and does it compile again later in a genome?

    python tests/benchmarks/call_compiles.py READS.bam REF.fa chr:from-to

Counts what XLA compiles (JAX's own log), programs of the windows and small ones
apart, with the position reached when each was compiled: at most 8 are wanted over
10 Mb, and none in the second half.
"""

import argparse
import logging
import re
import tempfile
from pathlib import Path

import jax
from measuring import show, write

from diffbio_eqx.jobs.call import call_variants


class _Log(logging.Handler):
    def __init__(self):
        super().__init__()
        self.position, self.found = 0, []

    def emit(self, record: logging.LogRecord) -> None:
        match = re.match(
            r"Finished XLA compilation of (\S+) in ([\d.e-]+) sec", record.getMessage()
        )
        if match:
            name, seconds = match.groups()
            self.found.append((name, float(seconds), self.position))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reads")
    parser.add_argument("reference")
    parser.add_argument("region")
    given = parser.parse_args()
    log = _Log()
    logger = logging.getLogger("jax._src.dispatch")
    logger.addHandler(log)
    logger.propagate = False
    jax.config.update("jax_log_compiles", True)

    def progress(contig, position, length):
        log.position = position

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "calls.vcf.gz"
        summary = call_variants(
            given.reads, given.reference, out, region=given.region, progress=progress
        )
    windows = [x for x in log.found if "_calls" in x[0]]
    first, last = (int(x) for x in given.region.rpartition(":")[2].split("-"))
    late = [x for x in log.found if x[2] > (first + last) // 2]
    show(
        ("program", "seconds", "after position"),
        [(name, f"{seconds:.2f}", position) for name, seconds, position in log.found],
    )
    print(
        f"{summary.windows} windows, {summary.shapes} shapes, {len(windows)} programs "
        f"of windows, {len(log.found)} compilations in all, {len(late)} in the second "
        "half"
    )
    write(
        "call_compiles",
        {
            "region": given.region,
            "windows": summary.windows,
            "shapes": summary.shapes,
            "window_programs": len(windows),
            "window_program_seconds": [round(x[1], 2) for x in windows],
            "all": len(log.found),
            "in_second_half": len(late),
        },
    )


if __name__ == "__main__":
    main()
