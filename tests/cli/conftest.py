"""A tiny simulation on disk, and a way to run the command line in this process."""

import dataclasses
from pathlib import Path

import pytest


@dataclasses.dataclass(frozen=True)
class Finished:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


@pytest.fixture(scope="session")
def simulation(tmp_path_factory):
    """FASTA, BAM, truth and BED of 6 kb at 25x."""
    pytest.importorskip("pysam")
    from diffbio_eqx.io.simulation import write_simulation
    from diffbio_eqx.simulate.genomes import simulate_genome
    from diffbio_eqx.simulate.read_options import ReadOptions
    from diffbio_eqx.simulate.reads import simulate_reads

    genome = simulate_genome(6000, seed=11, snv_rate=3e-3, indel_rate=5e-4)
    reads = simulate_reads(genome, ReadOptions(coverage=25), seed=12)
    return write_simulation(tmp_path_factory.mktemp("cli") / "sim", genome, reads)


@pytest.fixture
def run(capfd, monkeypatch):
    """`run("call", ...)`: exit code and what was printed, C libraries included."""
    pytest.importorskip("typer")
    pytest.importorskip("rich")
    monkeypatch.setenv("DIFFBIO_EQX_CACHE", "off")
    monkeypatch.delenv("DIFFBIO_EQX_DEBUG", raising=False)
    from diffbio_eqx.cli.main import main

    def go(*arguments: str | Path) -> Finished:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        return Finished(code, *capfd.readouterr())

    return go
