"""The caller on real reads of NA12878: runs, and what it writes is sane."""

import pytest
from call_files import records_of

from diffbio_eqx.jobs.call import call_variants

pytest.importorskip("pysam")


@pytest.fixture(scope="module")
def folder(data_root):
    path = data_root / "data" / "genomics" / "illumina-na12878"
    if not path.is_dir():
        pytest.skip(f"no data: {path} does not exist")
    return path


@pytest.mark.slow
def test_twenty_kilobases_of_na12878(folder, tmp_path):
    out = tmp_path / "calls.vcf.gz"
    summary = call_variants(
        folder / "NA12878_S1.chr20.10_10p1mb.bam",
        folder / "ucsc.hg19.chr20.unittest.fasta.gz",
        out,
        region="chr20:10,000,001-10,020,000",
        window=20_000,
    )
    truth = {
        (r.position, r.ref, *r.alts)
        for r in records_of(folder / "test_nist.b37_chr20_100kbp_at_10mb.vcf.gz")
        if r.position < 10_020_000 and len(r.ref) == len(r.alts[0]) == 1
    }
    found = {(r.position, r.ref, *r.alts) for r in records_of(out)}
    assert len(truth) > 20 and len(truth & found) >= 0.97 * len(truth)
    substitutions = {x for x in found if len(x[1]) == len(x[2]) == 1}
    assert len(substitutions) < 1.5 * len(truth) + 10
    assert 1.2 < summary.transition_ratio < 3.5
    assert 0.5 < summary.heterozygous_ratio < 4.0
    assert summary.reads.kept > 5000 and summary.shapes == 1
