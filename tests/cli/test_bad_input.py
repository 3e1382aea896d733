"""Bad input: one line that says what to do, exit code 2, and no file left behind."""

import gzip
import shutil

import pytest
from refusal import assert_refused

pysam = pytest.importorskip("pysam")


def edited(simulation, path, *, header=None, order=None, tags=True, last_on=None):
    """The simulation's BAM again, without index; `header` and `order` change it.

    `last_on` moves the last 40 reads to another contig.
    """
    with pysam.AlignmentFile(str(simulation.reads)) as source:
        records = list(source)
        head = source.header.to_dict()
    if header is not None:
        header(head)
    if order is not None:
        records = order(records)
    with pysam.AlignmentFile(str(path), "wb", header=head) as out:
        for number, record in enumerate(records):
            fields = record.to_dict()
            if last_on and number >= len(records) - 40:
                fields |= {"ref_name": last_on, "next_ref_name": "*"}
                fields |= {"ref_pos": "100", "next_ref_pos": "0", "flag": "0"}
            moved = pysam.AlignedSegment.from_dict(fields, out.header)
            if not tags:
                moved.set_tag("RG", None)
            out.write(moved)
    return path


def fasta(path, contigs):
    path.write_text("".join(f">{name}\n{text}\n" for name, text in contigs.items()))
    return path


def text_of(simulation):
    with pysam.FastaFile(str(simulation.reference)) as file:
        return file.fetch("chr1")


@pytest.fixture
def call(run, simulation, tmp_path):
    """Runs `call` into a fresh folder; (how it ended, what the folder then holds)."""
    folder = tmp_path / "out"
    folder.mkdir()

    def go(*options, reads=None, reference=None, output="calls.vcf.gz"):
        done = run(
            "call",
            reads or simulation.reads,
            "--reference",
            reference or simulation.reference,
            "-o",
            folder / output,
            *options,
        )
        return done, sorted(path.name for path in folder.iterdir())

    return go


def test_reads_that_are_not_there(call):
    assert_refused(call(reads="no.bam"), "no.bam", "not found")


def test_reads_that_are_no_alignment(call, tmp_path):
    path = tmp_path / "reads.bam"
    path.write_text("@read\nACGT\n+\nIIII\n")
    assert_refused(call(reads=path), "aligned", "bwa mem")


def test_empty_reads(call, tmp_path):
    path = tmp_path / "reads.bam"
    path.write_bytes(b"")
    assert_refused(call(reads=path), "empty")


def test_truncated_reads(call, simulation, tmp_path):
    path = tmp_path / "reads.bam"
    data = simulation.reads.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert_refused(call(reads=path), "truncated or damaged")


def test_unsorted_reads(call, simulation, tmp_path):
    path = edited(simulation, tmp_path / "r.bam", order=lambda reads: reads[::-1])
    assert_refused(call(reads=path), "not sorted", "samtools sort")


def test_reads_sorted_by_name(call, simulation, tmp_path):
    path = edited(
        simulation, tmp_path / "r.bam", header=lambda h: h["HD"].update(SO="queryname")
    )
    assert_refused(call(reads=path), "samtools sort")


def test_reference_that_is_not_there(call):
    assert_refused(call(reference="no.fa"), "no.fa", "not found")


def test_reference_that_is_no_fasta(call, tmp_path):
    path = tmp_path / "ref.fa"
    path.write_text("chr1\t100\n")
    assert_refused(call(reference=path), "not a FASTA")


def test_reference_under_plain_gzip(call, simulation, tmp_path):
    path = tmp_path / "ref.fa.gz"
    path.write_bytes(gzip.compress(simulation.reference.read_bytes()))
    assert_refused(call(reference=path), "bgzip")


def test_contigs_named_otherwise(call, simulation, tmp_path):
    path = fasta(tmp_path / "ref.fa", {"1": text_of(simulation)})
    assert_refused(call(reference=path), "'chr1'", "'1'", "reference")


def test_a_contig_of_the_reads_is_not_in_the_reference(call, simulation, tmp_path):
    def two(head):
        head["SQ"].append({"SN": "chr2", "LN": 5000})

    path = edited(simulation, tmp_path / "r.bam", header=two, last_on="chr2")
    assert_refused(call(reads=path), "'chr2'", "not in the reference")


def test_reference_of_another_length(call, simulation, tmp_path):
    path = fasta(tmp_path / "ref.fa", {"chr1": text_of(simulation)[:-7]})
    assert_refused(call(reference=path), "chr1", "5993", "6000")


@pytest.mark.parametrize(
    ("region", "word"),
    [
        ("chr7:1-100", "'chr7'"),
        ("1:1-100", "'chr1'"),
        ("chr1:500-100", "first <= last"),
        ("chr1:7000-8000", "chr1:1-6000"),
        ("chr1:a-b", "chr1:1000-2000"),
    ],
)
def test_regions_that_cannot_be(call, region, word):
    assert_refused(call("--region", region), word)


def test_a_sample_that_is_not_there(call):
    assert_refused(call("--sample", "MUM"), "'MUM'", "SIM")


def test_several_samples(call, simulation, tmp_path):
    path = edited(
        simulation,
        tmp_path / "r.bam",
        header=lambda h: h["RG"].append({"ID": "other", "SM": "MUM"}),
    )
    assert_refused(call(reads=path), "2 samples", "sample")


def test_output_folder_that_is_not_there(call):
    assert_refused(call(output="no/calls.vcf"), "folder", "create it")


def test_output_of_unknown_kind(call):
    assert_refused(call(output="calls.txt"), ".vcf.gz")


def test_bad_bed(call, tmp_path):
    path = tmp_path / "targets.bed"
    path.write_text("chr1\t10\t20\nchr1\tten\t20\n")
    assert_refused(call("--targets", path), "targets.bed:2")


def test_cram_of_another_reference(call, simulation, tmp_path):
    cram = tmp_path / "r.cram"
    with (
        pysam.AlignmentFile(str(simulation.reads)) as source,
        pysam.AlignmentFile(
            str(cram),
            "wc",
            template=source,
            reference_filename=str(simulation.reference),
        ) as out,
    ):
        for read in source:
            out.write(read)
    other = text_of(simulation).translate(str.maketrans("ACGT", "CATG"))
    reference = fasta(tmp_path / "ref.fa", {"chr1": other})
    assert_refused(call(reads=cram, reference=reference), "reference")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--ploidy", "3"], "ploidy"),
        (["--theta", "often"], "'flat'"),
        (["--theta", "-1"], "theta"),
        (["--min-mapping-quality", "999"], "min_mapping_quality"),
        (["--model", "enhanced"], "not in this version"),
        (["--model", "guess"], "'likelihood'"),
        (["--checkpoint", "no.eqx"], "no.eqx"),
        (["--checkpoint", "no.eqx", "--theta", "0.01"], "--theta"),
        (["--report", "page.txt"], ".html"),
        (["--report", "no/page.html"], "create it"),
    ],
)
def test_options_that_cannot_be(call, options, word):
    assert_refused(call(*options), word)


def test_a_file_that_is_no_checkpoint(call, simulation):
    assert_refused(call("--checkpoint", simulation.confident), "confident.bed")


def test_a_refused_run_leaves_the_older_file_alone(run, simulation, tmp_path):
    old = tmp_path / "calls.vcf"
    old.write_text("old\n")
    bad = edited(simulation, tmp_path / "r.bam", order=lambda reads: reads[::-1])
    options = ["--reference", simulation.reference, "-o", old]
    assert run("call", bad, *options).code == 2
    assert old.read_text() == "old\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["calls.vcf", "r.bam"]


@pytest.fixture
def train(run, simulation, tmp_path):
    """Runs `train call` into a fresh folder, as `call` above."""
    folder = tmp_path / "out"
    folder.mkdir()

    def go(*options, truth=None, confident=None, output="model.eqx"):
        done = run(
            *("train", "call", "--reads", simulation.reads),
            *("--reference", simulation.reference),
            *("--truth", truth or simulation.truth),
            *("--confident", confident or simulation.confident),
            *("-o", folder / output, *options),
        )
        return done, sorted(path.name for path in folder.iterdir())

    return go


def test_truth_that_is_not_there(train):
    assert_refused(train(truth="no.vcf"), "no.vcf")


def test_truth_of_another_reference(train, simulation, tmp_path):
    path = tmp_path / "truth.vcf"
    lines = gzip.decompress(simulation.truth.read_bytes()).decode().splitlines()
    fields = lines[-1].split("\t")
    fields[3] = {"A": "C", "C": "G", "G": "T", "T": "A"}[fields[3][0]] + fields[3][1:]
    fields[4] = "T" if fields[3] == "A" else "A"
    path.write_text("\n".join([*lines[:-1], "\t".join(fields)]) + "\n")
    assert_refused(train(truth=path), "REF", fields[1])


def test_confident_regions_of_other_contigs(train, simulation, tmp_path):
    path = tmp_path / "confident.bed"
    path.write_text("1\t0\t6000\n")
    assert_refused(train(confident=path), "chr1")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--from", "pretrained"], "not in this version"),
        (["--from", "no.eqx"], "no.eqx"),
        ([], "10000 confident bases"),
        (["--adapt", "back-end"], "'front-end'"),
    ],
)
def test_training_options_that_cannot_be(train, options, word):
    assert_refused(train(*options), word)


def test_model_into_a_folder_that_is_not_there(train):
    assert_refused(train(output="no/model.eqx"), "create it")


def test_demo_into_a_folder_in_use(run, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    done = run("demo", "--out", tmp_path)
    assert done.code == 2 and "new or empty" in done.lines[-1]
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_missing_index_and_sample_name_are_warnings(call, simulation, tmp_path):
    path = edited(
        simulation, tmp_path / "r.bam", header=lambda h: h.pop("RG"), tags=False
    )
    done, left = call("--region", "chr1:2000-3000", reads=path, output="calls.vcf")
    assert done.code == 0 and left == ["calls.vcf"]
    told = [line for line in done.lines if line.startswith("warning: ")]
    assert len(told) == 2
    assert "names no sample" in told[0] and "has no index" in told[1]


def test_no_reads_is_a_warning(call, simulation, tmp_path):
    path = edited(simulation, tmp_path / "r.bam", order=lambda reads: reads[:50])
    done, left = call("--region", "chr1:4000-5000", reads=path, output="calls.vcf")
    assert done.code == 0 and left == ["calls.vcf"]
    assert any(x.startswith("warning: no reads in chr1:4000-5000") for x in done.lines)


def test_a_missing_index_of_the_reference_is_made(call, simulation, tmp_path):
    path = tmp_path / "ref.fa"
    shutil.copy(simulation.reference, path)
    done, left = call("--region", "chr1:2000-3000", reference=path, output="c.vcf")
    assert done.code == 0 and left == ["c.vcf"]
    assert not any(line.startswith(("error", "warning")) for line in done.lines)
