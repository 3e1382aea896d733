"""Variant files: what is written is read back, and bcftools accepts it."""

import dataclasses
import shutil
import subprocess

import pytest

from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.io.vcf import VcfWriter, check_reference_alleles, read_vcf

needs_bcftools = pytest.mark.skipif(
    shutil.which("bcftools") is None, reason="bcftools is absent"
)
SEQUENCE = {"c": "ACGTTTTACGGACCATTACA" * 5, "d": "GGTACCATTA" * 3}
CONTIGS = {name: len(text) for name, text in SEQUENCE.items()}
RECORDS = [
    VariantRecord(
        "c",
        3,
        "TT",
        ("T", "TTT"),
        qual=57.25,
        filters=("PASS",),
        genotype=(1, 2),
        gq=40,
        dp=9,
        ad=(1, 4, 4),
        pl=(90, 60, 50, 40, 0, 45),
        gp=(0.0, 0.0, 0.0, 0.125, 0.875, 0.0),
        info={"DP": 11},
    ),
    VariantRecord(
        "c",
        9,
        "G",
        ("C",),
        qual=3.5,
        filters=("LowQual",),
        genotype=(0, 1),
        gq=2,
        dp=2,
        ad=(1, 1),
        pl=(2, 0, 3),
        gp=(0.25, 0.5, 0.25),
    ),
    VariantRecord("c", 9, "G", ("*",), genotype=(None, None)),
    VariantRecord("d", 0, "G", ("T",), qual=20.0, genotype=(1,), pl=(50, 0)),
]
NAMES = ["calls.vcf", "calls.vcf.gz", "calls.bcf"]


def fetch(contig, start, end):
    return SEQUENCE[contig][start:end]


def write(path, records=tuple(RECORDS), contigs=CONTIGS, sample="S1", **kwargs):
    with VcfWriter(path, contigs, sample, **kwargs) as out:
        for record in records:
            out.write(record)
    return path


def run(*command, cwd=None):
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back(tmp_path, name):
    found = read_vcf(write(tmp_path / name), sample="S1")
    assert found == RECORDS
    check_reference_alleles(found, fetch, name)
    endings = {"calls.vcf": [], "calls.vcf.gz": [".tbi"], "calls.bcf": [".csi"]}
    expected = [name, *(name + ending for ending in endings[name])]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)


def test_header_and_text_of_a_record(tmp_path):
    path = write(tmp_path / "x.vcf", command="diffbio-eqx call\n a", reference="r.fa")
    lines = path.read_text().splitlines()
    assert lines[0] == "##fileformat=VCFv4.3"
    assert lines[1].startswith("##source=diffbio_eqx")
    assert "##commandline=diffbio-eqx call a" in lines
    assert "##reference=r.fa" in lines
    assert "##contig=<ID=d,length=30>" in lines
    assert lines[-5].endswith("FORMAT\tS1")
    assert lines[-4] == (
        "c\t4\t.\tTT\tT,TTT\t57.25\tPASS\tDP=11\tGT:GQ:DP:AD:PL:GP\t"
        "1/2:40:9:1,4,4:90,60,50,40,0,45:0,0,0,0.125,0.875,0"
    )
    assert lines[-2] == "c\t10\t.\tG\t*\t.\t.\t.\tGT\t./."


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("region", "count"),
    [
        ("c", 3),
        ("d", 1),
        ("c:5-9", 1),
        ("c:6-9", 0),
        ("c:10", 2),
        ("c:10-10", 2),
        (("c", 9, 10), 2),
        (("c", 4, 5), 1),
    ],
)
def test_regions_with_an_index_and_without(tmp_path, name, region, count):
    path = write(tmp_path / name)
    assert len(read_vcf(path, region=region)) == count


@pytest.mark.parametrize("name", NAMES)
@needs_bcftools
def test_bcftools_accepts_the_file(tmp_path, name):
    path = str(write(tmp_path / name))
    (tmp_path / "r.fa").write_text("".join(f">{n}\n{t}\n" for n, t in SEQUENCE.items()))
    rows = [x for x in run("bcftools", "view", "-H", path).splitlines() if x]
    assert len(rows) == len(RECORDS)
    run("bcftools", "norm", "-c", "x", "-f", str(tmp_path / "r.fa"), path)
    stats = run("bcftools", "stats", path)
    assert f"number of records:\t{len(RECORDS)}" in stats
    if name != "calls.vcf":
        assert run("bcftools", "index", "-n", path).strip() == str(len(RECORDS))
        assert len(run("bcftools", "view", "-H", path, "c:1-9").splitlines()) == 1
        run("bcftools", "index", "-f", path)


def test_long_contigs_get_a_csi_index(tmp_path):
    far = 2**29 + 1000
    record = VariantRecord("long", far, "A", ("C",), genotype=(0, 1))
    path = write(tmp_path / "x.vcf.gz", [record], {"long": 2**30})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.vcf.gz", "x.vcf.gz.csi"]
    assert read_vcf(path, region=("long", far, far + 1)) == [record]


def test_an_index_of_another_kind_does_not_stay_behind(tmp_path):
    (tmp_path / "calls.vcf.gz.csi").write_text("old")
    write(tmp_path / "calls.vcf.gz")
    assert not (tmp_path / "calls.vcf.gz.csi").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_run_leaves_the_old_file_and_nothing_else(tmp_path, name):
    path = write(tmp_path / name)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(RuntimeError, match="half way"):
        with VcfWriter(path, CONTIGS, "S2") as out:
            out.write(RECORDS[0])
            raise RuntimeError("half way")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_nothing_is_under_the_name_before_the_end(tmp_path):
    with VcfWriter(tmp_path / "x.vcf.gz", CONTIGS, "S") as out:
        out.write(RECORDS[0])
        assert [p.name for p in tmp_path.iterdir()] == ["x.vcf.gz.part"]


def test_no_records_is_a_valid_file(tmp_path):
    assert read_vcf(write(tmp_path / "x.vcf.gz", [])) == []


def changed(**fields):
    return dataclasses.replace(RECORDS[1], **fields)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (changed(contig="e"), "a contig of the header, got e"),
        (changed(position=100), "inside the contig's 100 bases"),
        (changed(position=-1), "inside the contig's 100 bases"),
        (changed(ref="g"), "REF in bases"),
        (changed(alts=("",)), "ALT in bases"),
        (changed(alts=("G",)), "other than REF"),
        (changed(genotype=(0, 2)), "allele indexes below 2"),
        (changed(ad=(1,)), "ad of record c:10 G>C: expected 2 numbers, got 1"),
        (changed(pl=(0, 1)), "pl of record c:10 G>C: expected 3 numbers, got 2"),
        (changed(gp=(0.5, 0.5)), "gp of record"),
        (changed(filters=("q10",)), "FILTER of record"),
        (changed(info={"QD": 1.0}), "INFO of record"),
        (changed(position=2), "order of c:3 G>C: expected a position not before c:4"),
    ],
)
def test_a_wrong_record_is_refused_by_name(tmp_path, record, words):
    with pytest.raises(ValueError, match=words):
        write(tmp_path / "x.vcf", [RECORDS[0], record])
    assert list(tmp_path.iterdir()) == []


def test_contigs_must_come_in_the_order_of_the_header(tmp_path):
    with pytest.raises(ValueError, match="order of c:4"):
        write(tmp_path / "x.vcf", [RECORDS[3], RECORDS[0]])


def test_further_info_and_filters(tmp_path):
    record = changed(filters=("strand",), info={"SB": 1.5, "HOT": True, "X": (1, 2)})
    info = {
        "SB": ("1", "Float", "Bias"),
        "HOT": ("0", "Flag", "Hot"),
        "X": ("2", "Integer", "Pair"),
    }
    path = write(tmp_path / "x.bcf", [record], info=info, filters={"strand": "Bias"})
    assert read_vcf(path) == [record]


def test_wrong_names_of_the_output(tmp_path):
    with pytest.raises(ValueError, match=r"an end in .vcf, .vcf.gz or .bcf"):
        VcfWriter(tmp_path / "x.txt", CONTIGS, "S")
    with pytest.raises(ValueError, match="a folder that exists"):
        VcfWriter(tmp_path / "none" / "x.vcf", CONTIGS, "S")


def test_a_missing_file_and_a_file_of_another_kind(tmp_path):
    with pytest.raises(ValueError, match="variant file not found.*none.vcf"):
        read_vcf(tmp_path / "none.vcf")
    (tmp_path / "empty.vcf").touch()
    with pytest.raises(ValueError, match="empty.vcf: expected a VCF.*an empty file"):
        read_vcf(tmp_path / "empty.vcf")
    (tmp_path / "reads.vcf").write_text("@r\nACGT\n+\nIIII\n")
    with pytest.raises(ValueError, match="reads.vcf: expected a VCF"):
        read_vcf(tmp_path / "reads.vcf")


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_truncated_file_is_named(tmp_path, name):
    path = write(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=f"{name}.*a truncated file"):
        read_vcf(path)


def test_a_broken_record_is_named_by_the_one_before_it(tmp_path):
    path = write(tmp_path / "x.vcf")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-2], "c\tten\t.\tG"]) + "\n")
    with pytest.raises(ValueError, match=r"x.vcf, record 3 \(after c:10\)"):
        read_vcf(path)


def test_unknown_samples_and_contigs_are_named(tmp_path):
    path = write(tmp_path / "x.vcf.gz")
    with pytest.raises(ValueError, match=r"sample 'S9' of .*x.vcf.gz.*\['S1'\]"):
        read_vcf(path, sample="S9")
    with pytest.raises(ValueError, match=r"contig 'chrc' of .*x.vcf.gz"):
        read_vcf(path, region="chrc:1-9")
    with pytest.raises(ValueError, match="chr:from-to, got 'c:x-9'"):
        read_vcf(path, region="c:x-9")


def test_ref_alleles_are_checked_against_the_fasta():
    good = VariantRecord("c", 3, "tt", ("T",))
    check_reference_alleles([good], fetch, "x.vcf")
    check_reference_alleles([good], lambda c, s, e: "NN", "x.vcf")
    wrong = VariantRecord("c", 3, "TG", ("T",))
    with pytest.raises(ValueError, match="REF of c:4 TG>T in x.vcf.*reference's TT"):
        check_reference_alleles([good, wrong], fetch, "x.vcf")
    beyond = VariantRecord("c", 99, "AA", ("A",))
    with pytest.raises(ValueError, match="c:100 AA>A"):
        check_reference_alleles([beyond], fetch, "x.vcf")


def test_sites_without_samples_and_half_missing_fields(tmp_path):
    head = "##fileformat=VCFv4.2\n##contig=<ID=c>\n"
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    (tmp_path / "a.vcf").write_text(f"{head}{columns}\nc\t5\t.\tA\tC\t.\t.\t.\n")
    (only,) = read_vcf(tmp_path / "a.vcf")
    assert only == VariantRecord("c", 4, "A", ("C",))
    lines = [
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">',
        '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="g">',
        '##FORMAT=<ID=PL,Number=G,Type=Integer,Description="g">',
        columns + "\tFORMAT\tA\tB",
        "c\t5\t.\tA\tC\t.\t.\t.\tGT:AD:PL\t.|1:.,3:.\t0/0:4,0:0,9,90",
        "c\t6\t.\tA\t.\t.\t.\t.\tGT\t./.\t0",
    ]
    (tmp_path / "b.vcf").write_text(head + "\n".join(lines) + "\n")
    first, second = read_vcf(tmp_path / "b.vcf")
    assert first.genotype == (None, 1) and first.ad is None and first.pl is None
    assert second.alts == () and second.genotype == (None, None)
    other = read_vcf(tmp_path / "b.vcf", sample="B")
    assert other[0].genotype == (0, 0) and other[0].pl == (0, 9, 90)
    assert other[1].genotype == (0,)


def test_real_truth_files(data_root):
    folder = data_root / "data" / "genomics"
    truth = read_vcf(folder / "simulated-example/sim.truth.vcf.gz")
    assert len(truth) == 824 and all(record.phased for record in truth)
    part = read_vcf(
        folder / "truth-hg002-grch38-chr20/HG002_v4.2.1.chr20.subset.vcf.gz",
        region="chr20:1,000,000-1,100,000",
    )
    assert len(part) > 50
    assert all(1_000_000 <= record.end for record in part)
    assert all(record.position < 1_100_000 for record in part)
