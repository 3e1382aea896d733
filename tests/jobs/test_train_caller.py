"""Training the caller: what is refused, how it is split, what is kept."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest

from diffbio_eqx.checkpoint import load, load_metadata, save
from diffbio_eqx.data.intervals import Intervals
from diffbio_eqx.jobs.train_caller import GenotypeErrors, _trainable, train_caller
from diffbio_eqx.pipelines.variant_calling import create_variant_calling_pipeline
from diffbio_eqx.relax import set_mode

LENGTH = 40_000
ROLES = ("train", "validation", "held back")


def simulated(folder, **options):
    """FASTA, BAM, truth and BED of 40 kb at 15x."""
    pytest.importorskip("pysam")
    from diffbio_eqx.io.simulation import write_simulation
    from diffbio_eqx.simulate.genomes import simulate_genome
    from diffbio_eqx.simulate.read_options import ReadOptions
    from diffbio_eqx.simulate.reads import simulate_reads

    genome = simulate_genome(LENGTH, seed=21, snv_rate=4e-3, indel_rate=8e-4)
    reads = simulate_reads(genome, ReadOptions(coverage=15, **options), seed=22)
    return write_simulation(folder / "files", genome, reads, contig="chr1")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Reads of which 2 % of the bases at Q38 and above are wrong."""
    folder = tmp_path_factory.mktemp("training")
    return simulated(folder, miscalibration=dict.fromkeys(range(38, 42), 0.02))


@pytest.fixture(scope="module")
def data(files):
    from diffbio_eqx.jobs.caller_training_data import load_training_data

    return load_training_data(*dataclasses.astuple(sorted_files(files)))


@dataclasses.dataclass
class Inputs:
    reads: object
    reference: object
    truth: object
    confident: object


def sorted_files(files, **changes):
    """The four inputs in the order in which training takes them."""
    given = {f.name: getattr(files, f.name) for f in dataclasses.fields(Inputs)}
    return Inputs(**given | changes)


@pytest.fixture
def refused(files, tmp_path):
    """`refused(word, ...)`: training must end in one line that holds the word."""

    def check(*words, output="model.eqx", changes=None, **options):
        inputs = sorted_files(files, **changes or {})
        with pytest.raises(ValueError) as caught:
            train_caller(
                *dataclasses.astuple(inputs), tmp_path / output, steps=1, **options
            )
        text = str(caught.value)
        assert "\n" not in text.strip() and len(text) < 400
        assert all(word in text for word in words), text
        assert not (tmp_path / output).exists()

    return check


def bed(tmp_path, *lines):
    path = tmp_path / "some.bed"
    path.write_text("".join(f"{line}\n" for line in lines).replace(" ", "\t"))
    return path


def test_truth_of_another_reference(refused, files, tmp_path):
    import gzip

    with gzip.open(files.truth, "rt") as file:
        lines = file.read().splitlines()
    at = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    fields = lines[at].split("\t")
    fields[3] = ("C" if fields[3][0] == "A" else "A") + fields[3][1:]
    lines[at] = "\t".join(fields)
    path = tmp_path / "truth.vcf"
    path.write_text("\n".join(lines) + "\n")
    refused("REF", f"chr1:{fields[1]}", "FASTA", changes={"truth": path})


def test_confident_regions_without_a_contig_of_the_reads(refused, tmp_path):
    path = bed(tmp_path, "20 0 30000")
    refused("20", "chr1", changes={"confident": path})


def test_too_few_confident_bases(refused, tmp_path):
    path = bed(tmp_path, "chr1 1000 3000", "chr1 30000 32000")
    refused("10000 confident bases", "got 4000", changes={"confident": path})


def test_a_region_without_confident_bases(refused, tmp_path):
    path = bed(tmp_path, "chr1 1000 30000")
    refused("chr1:35000-36000", changes={"confident": path}, region="chr1:35000-36000")


def test_truth_without_anything_to_learn(refused, files, tmp_path):
    import gzip

    with gzip.open(files.truth, "rt") as file:
        head = [line for line in file if line.startswith("#")]
    path = tmp_path / "empty.vcf"
    path.write_text("".join(head))
    refused("none of 0 true variants", "one assembly", changes={"truth": path})


def test_settings_are_refused_before_the_files_are_read(refused, tmp_path):
    nothing = {"reads": "no.bam"}
    refused("adapt", "'front-end'", changes=nothing, adapt="back-end")
    refused("create it first", changes=nothing, output="no/model.eqx")
    other = tmp_path / "other.eqx"
    model = create_variant_calling_pipeline(classifier_hidden_dim=4)
    save(other, model)
    with open(other, "r+b") as file:
        file.truncate(40)
    refused("other.eqx", changes=nothing, checkpoint=other)


def test_windows_of_the_three_roles_share_no_base(data):
    spans = [(w.part.start, w.part.end) for w in data.windows]
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    regions = {role: data.regions(role)["chr1"] for role in ROLES}
    for role in ROLES:
        for other in ROLES:
            shared = regions[role].intersect(regions[other]).size
            assert shared == (regions[role].size if role == other else 0)
    whole = data.confident["chr1"]
    assert sum(r.size for r in regions.values()) == whole.size
    assert [len(data.of(role)) for role in ROLES] == [6, 2, 2]


def test_labels_lie_inside_of_their_own_window(data):
    for window in data.windows:
        part, labels = window.part, window.labels
        position = part.sample.sites.position + part.origin
        inside = (position >= part.start) & (position < part.end)
        assert inside[labels.site_mask].all()
        assert part.owned[labels.locus_mask].all()
        known = np.flatnonzero(labels.genotype >= 0) + part.origin
        assert part.start <= known.min() and known.max() < part.end


def test_every_window_has_one_shape_and_the_audit_adds_up(data):
    shapes = {
        tuple(np.shape(leaf) for leaf in jax.tree.leaves(window.batch))
        for window in data.windows
    }
    assert len(shapes) == 1
    masks = [w.labels for w in data.windows]
    assert data.audit.sites == sum(int(m.site_mask.sum()) for m in masks)
    assert data.audit.loci == sum(int(m.locus_mask.sum()) for m in masks)
    called = sum(len({*r.genotype} - {0}) for r in data.truth)
    audit = data.audit
    assert sum(audit.represented.values()) + sum(audit.lost.values()) == called
    # Nearly all of a simulated truth can be learned from.
    assert audit.represented["indel"] > 0.6 * sum(
        len(r.ref) != len(a) for r in data.truth for a in r.alts
    )


def test_windows_without_confident_bases_are_left_out(files, tmp_path):
    from diffbio_eqx.jobs.caller_training_data import load_training_data

    path = bed(tmp_path, "chr1 1000 7000", "chr1 33000 39000")
    inputs = sorted_files(files, confident=path)
    data = load_training_data(*dataclasses.astuple(inputs))
    assert len(data.windows) >= 6
    inside = Intervals.of([1000, 33000], [7000, 39000])
    for window in data.windows:
        assert len(inside.clipped(window.part.start, window.part.end))


def untrained():
    """The untrained caller as it is saved."""
    return set_mode(create_variant_calling_pipeline(), "hard")


class Judge(GenotypeErrors):
    """Answers with errors that are given, instead of running a model."""

    def __init__(self, old, new):
        self.models = create_variant_calling_pipeline(), untrained()
        arrays = lambda found: tuple(np.array(x, bool) for x in found)
        self.errors = arrays(old), arrays(new)

    def of(self, model):
        which = next(k for k in (0, 1) if self.models[k] is model)
        return *self.errors[which], 0.0


def outcomes(right, wrong, same=5):
    """Errors before and after: so many became right, so many wrong."""
    before = [1] * right + [0] * wrong + [1] * same
    after = [0] * right + [1] * wrong + [1] * same
    return before, after


@pytest.mark.parametrize(
    ("sites", "loci", "accepted", "word"),
    [
        ((0, 0), (0, 0), False, "chance"),
        # One-sided 5 %: the gain must exceed 1.645 sqrt(changed).
        ((1, 0), (0, 0), False, "chance"),
        ((3, 0), (0, 0), True, "kept"),
        ((2, 0), (0, 0), False, "chance"),
        ((10, 4), (0, 0), False, "chance"),
        ((11, 3), (0, 0), True, "kept"),
        ((4, 12), (0, 0), False, "chance"),
        # A type may get worse by what may be chance, but by no more.
        ((40, 2), (0, 2), True, "kept"),
        ((40, 2), (0, 3), False, "one type"),
        ((0, 3), (40, 2), False, "one type"),
    ],
)
def test_the_rule_of_acceptance(sites, loci, accepted, word):
    pairs = [outcomes(*sites), outcomes(*loci)]
    judge = Judge([p[0] for p in pairs], [p[1] for p in pairs])
    kept, reason, better, worse = judge.compare(*judge.models)
    assert kept is accepted and word in reason
    assert (better, worse) == ((sites[0], loci[0]), (sites[1], loci[1]))
    assert f"substitutions {sites[0]} and {sites[1]}" in reason
    assert f"{sites[0] + loci[0]} genotypes became right" in reason


def test_front_end_trains_all_but_the_classifier():
    model = create_variant_calling_pipeline(classifier_hidden_dim=4)
    every, front = (_trainable(model, adapt) for adapt in ("all", "front-end"))
    assert any(jax.tree.leaves(every.classifier))
    assert not any(jax.tree.leaves(front.classifier))
    assert front.error_curve.shift.raw is True
    without = lambda spec: eqx.tree_at(lambda m: m.classifier, spec, None)
    assert eqx.tree_equal(without(every), without(front))
    bare = eqx.tree_at(lambda m: m.classifier, model, None)
    assert any(jax.tree.leaves(_trainable(bare, "front-end")))


@pytest.fixture(scope="module")
def trained(files, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "model.eqx"
    inputs = dataclasses.astuple(sorted_files(files))
    report = train_caller(*inputs, output, steps=8, progress=False, adapt="front-end")
    return report, output


@pytest.mark.slow
def test_a_short_run_writes_a_checkpoint_that_calls(trained, files, tmp_path):
    from diffbio_eqx.io.vcf_reader import read_vcf
    from diffbio_eqx.jobs.call import call_variants

    report, output = trained
    model = load(output)
    metadata = load_metadata(output)
    assert metadata["accepted"] is report.accepted
    assert [row[3] for row in metadata["split"]].count("held back") == 2
    start = create_variant_calling_pipeline()
    assert eqx.tree_equal(model.classifier, start.classifier)
    moved = np.asarray(model.error_curve.shift.raw)
    assert (float(np.abs(moved).max()) > 0.01) is report.accepted
    calls = tmp_path / "calls.vcf"
    call_variants(files.reads, files.reference, calls, checkpoint=output)
    assert len(list(read_vcf(calls))) > 50


@pytest.mark.slow
def test_the_report_is_consistent(trained, files):
    from diffbio_eqx.io.vcf_reader import read_vcf

    report, output = trained
    assert len(report.fit.history["loss"]) == 8
    assert np.isfinite(report.fit.history["loss"]).all()
    split = load_metadata(output)["split"]
    held = [(start, end) for _, start, end, role in split if role == "held back"]
    inside = [
        r for r in read_vcf(files.truth) if any(a <= r.position < b for a, b in held)
    ]
    for score in (report.before, report.after):
        truth = score.all.tp_truth + score.all.fn
        assert 0.8 * len(inside) <= truth <= 1.2 * len(inside)
        assert score.all.f1 > 0.5
    gain, changed = (
        sum(report.better) - sum(report.worse),
        sum(report.better) + sum(report.worse),
    )
    assert not report.accepted or gain > 1.645 * np.sqrt(changed)
    text = str(report)
    assert report.reason in text and str(output) in text and "true alleles" in text
    table = [line for line in text.splitlines() if "genotype  indel" in line]
    assert len(table) == 2 and len(table[0]) == len(table[1])


@pytest.mark.slow
def test_on_calibrated_reads_the_start_is_kept_to_the_bit(tmp_path):
    files = simulated(tmp_path)
    output = tmp_path / "model.eqx"
    inputs = dataclasses.astuple(sorted_files(files))
    report = train_caller(
        *inputs, output, steps=4, progress=False, region="chr1:1-25000"
    )
    # There is nothing to learn; the stated rule decides, whatever was drawn.
    gain = sum(report.better) - sum(report.worse)
    changed = sum(report.better) + sum(report.worse)
    if gain <= 1.645 * np.sqrt(max(changed, 1)):
        assert not report.accepted and "declined" in report.reason
        assert eqx.tree_equal(load(output), untrained())
    else:
        assert report.accepted or "one type" in report.reason
    split = load_metadata(output)["split"]
    assert max(row[2] for row in split) <= 25_000
