"""Does the memory of `call` grow with the genome?

    python tests/benchmarks/call_memory.py READS.bam REF.fa chr:from-to [--window N]

Calls the first tenth of the region, and all of it, each in a process of its own, and
prints the peak resident memory above what was resident after import, after the first
results, and the growth of the peak from one to the other above those of the first:
less than 20 % is wanted (1 and 10 Mb at 30x).
"""

import argparse
import tempfile
from pathlib import Path

from measuring import show, told_by_child, write

_CHILD = """
import json, resource, sys
from diffbio_eqx.jobs.call import call_variants
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize() / 2**20
seen = {"import": resident()}
def progress(contig, position, length):
    seen.setdefault("first window", resident())
reads, reference, out, region = sys.argv[1:]
summary = call_variants(reads, reference, out, region=region, progress=progress)
seen |= {"peak": peak(), "windows": summary.windows, "shapes": summary.shapes}
print(json.dumps(seen))
"""


def measure(reads: str, reference: str, region: str) -> dict[str, float]:
    """MiB resident after import and the first window, the peak, and the windows."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "calls.vcf.gz")
        return told_by_child(_CHILD, reads, reference, out, region)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reads")
    parser.add_argument("reference")
    parser.add_argument("region")
    given = parser.parse_args()
    contig, _, span = given.region.rpartition(":")
    first, last = (int(x) for x in span.replace(",", "").split("-"))
    tenth = f"{contig}:{first}-{first + (last - first) // 10}"
    seen = {"tenth": measure(given.reads, given.reference, tenth)}
    seen["whole"] = measure(given.reads, given.reference, given.region)
    above = {}
    for base in ("import", "first window"):
        above[base] = [x["peak"] - x[base] for x in seen.values()]
    names = ("windows", "import", "first window", "peak")
    rows = [(k, *(f"{v[name]:.0f}" for name in names)) for k, v in seen.items()]
    show(("region", "windows", "MiB after import", "after first window", "peak"), rows)
    growth = seen["whole"]["peak"] / seen["tenth"]["peak"] - 1
    of_import = above["import"][1] / above["import"][0] - 1
    beyond = (seen["whole"]["peak"] - seen["tenth"]["peak"]) / max(
        seen["tenth"]["first window"], 1
    )
    print(
        f"growth of the peak: {growth:.1%}; above what import takes: {of_import:.1%}; "
        f"above the first window: {above['first window'][0]:.0f} -> "
        f"{above['first window'][1]:.0f} MiB ({beyond:.1%} of what is resident then)"
    )
    write("call_memory", {**seen, "growth": growth, "growth_above_import": of_import})


if __name__ == "__main__":
    main()
