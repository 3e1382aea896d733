"""Looking into the files that the caller writes."""

import gzip
import subprocess

import numpy as np

from diffbio_eqx.io.vcf import read_vcf


def records_of(path):
    """All records of a VCF, gVCF or BCF."""
    return list(read_vcf(path))


def body(path):
    """The lines of a VCF after its header."""
    text = path.read_bytes()
    if text[:2] == b"\x1f\x8b":
        text = gzip.decompress(text)
    return [line for line in text.decode().splitlines() if not line.startswith("#")]


def coverage_of(records, length):
    """How many records of a gVCF lie over each base of a contig."""
    depth = np.zeros(length, int)
    for record in records:
        depth[record.position : record.end] += 1
    return depth


def assert_same_calls(path, other):
    """Equal records; numbers may differ by rounding, as shapes are summed otherwise."""
    ours, theirs = records_of(path), records_of(other)
    exact = lambda r: (r.label, r.genotype, r.filters, r.dp, r.ad)
    assert [exact(r) for r in ours] == [exact(r) for r in theirs]
    for one, two in zip(ours, theirs, strict=True):
        assert abs(one.qual - two.qual) < 0.05 and abs(one.gq - two.gq) <= 1
        assert max(abs(a - b) for a, b in zip(one.pl, two.pl, strict=True)) <= 1
        assert np.allclose(one.gp, two.gp, atol=1e-3)


def bcftools(*arguments):
    """Run bcftools; its output. A complaint is a failure."""
    done = subprocess.run(
        ["bcftools", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
