"""One small simulated genome on disk, and runs of the caller over it."""

import functools
import warnings

import pytest


@pytest.fixture(scope="session")
def genome():
    from diffbio_eqx.simulate.genomes import simulate_genome

    return simulate_genome(
        9000, seed=3, snv_rate=8e-3, indel_rate=3e-3, compound_share=0.05
    )


@pytest.fixture(scope="session")
def simulation(genome, tmp_path_factory):
    """FASTA, BAM, truth and confident region of the genome, 25x."""
    pytest.importorskip("pysam")
    from diffbio_eqx.io.simulation import write_simulation
    from diffbio_eqx.simulate.read_options import ReadOptions
    from diffbio_eqx.simulate.reads import simulate_reads

    reads = simulate_reads(genome, ReadOptions(coverage=25.0, read_length=100), seed=3)
    folder = tmp_path_factory.mktemp("simulated") / "files"
    return write_simulation(folder, genome, reads, contig="chr1")


@pytest.fixture(scope="session")
def large_axes():
    """Instead of rounding capacities: width 128, all other axes multiples of 4096."""
    return lambda size, step: 128 if step == 32 else -(-int(size) // 4096) * 4096


@pytest.fixture(scope="session")
def run(simulation, large_axes, tmp_path_factory):
    """`run(name, **options)`: the path of the calls and the summary, made once each.

    Axes are padded to one large size, so that most runs share one compiled program.
    """
    from diffbio_eqx.jobs import calling_capacities
    from diffbio_eqx.jobs.call import call_variants

    folder = tmp_path_factory.mktemp("calls")

    @functools.cache
    def call(name="calls.vcf.gz", reads=None, **options):
        options = {"window": 3000, **options}
        place = folder / str(len(list(folder.iterdir())))
        place.mkdir()
        output = place / name
        source = simulation.reads if reads is None else reads
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("error")
            patch.setattr(calling_capacities, "_rounded", large_axes)
            summary = call_variants(source, simulation.reference, output, **options)
        return output, summary

    return call
