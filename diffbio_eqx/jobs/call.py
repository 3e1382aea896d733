"""Variant calling from files: BAM or CRAM and FASTA in, VCF or gVCF out."""

import dataclasses
import os
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

from diffbio_eqx.checkpoint import load
from diffbio_eqx.data.candidate_sites import SiteRule
from diffbio_eqx.data.intervals import Intervals
from diffbio_eqx.io._errors import unknown_contig
from diffbio_eqx.io.bam import AlignmentFile
from diffbio_eqx.io.bed import read_bed
from diffbio_eqx.io.fasta import Fasta
from diffbio_eqx.io.read_filters import ReadFilters
from diffbio_eqx.io.regions import parse_region
from diffbio_eqx.io.vcf_writer import VcfWriter
from diffbio_eqx.jobs.call_summary import CallSummary
from diffbio_eqx.jobs.calling_output import CallOutput, DenseCalls
from diffbio_eqx.jobs.calling_records import RecordRule, window_records
from diffbio_eqx.jobs.calling_windows import HALO, SampleStream, WindowSample
from diffbio_eqx.pipelines.variant_calling import (
    VariantCallingPipeline,
    VariantCallingPipelineConfig,
)
from diffbio_eqx.relax import set_mode

WINDOW = 100_000


def call_variants(
    reads: str | os.PathLike,
    reference: str | os.PathLike,
    output: str | os.PathLike,
    *,
    region: str | None = None,
    targets: str | os.PathLike | None = None,
    sample: str | None = None,
    ploidy: int = 2,
    theta: float | None = 0.001,
    gvcf: bool = False,
    checkpoint: str | os.PathLike | None = None,
    pipeline: VariantCallingPipeline | None = None,
    min_allele_fraction: float = 0.0,
    low_quality: float = 3.0,
    filters: ReadFilters | None = None,
    window: int = WINDOW,
    command: str = "",
    progress=None,
) -> CallSummary:
    """Call the variants of one sample; the whole run of `diffbio-eqx call`.

    **Arguments:**

    - `reads`: BAM, CRAM or SAM, sorted; `reference`: FASTA; `output`: `.vcf`,
      `.vcf.gz` (with an index) or `.bcf`.
    - `region`: `chr:a-b`; `targets`: BED; only what starts inside is written.
    - `sample`: which one, if the file holds several.
    - `ploidy` 1 or 2, `theta` (None: flat prior): of a new pipeline; a `checkpoint`
      or a `pipeline` brings its own prior, and only `ploidy` must agree.
    - `gvcf`: reference blocks too, over every callable base.
    - `min_allele_fraction`: alternatives with less of the depth are not called.
    - `low_quality`: QUAL below which a record is labelled LowQual.
    - `filters`: which reads count (`ReadFilters`).
    - `window`: bases handled at a time; memory grows with it, results do not change.
    - `progress`: called with `(contig, position, length)` after each window.

    **Returns** a `CallSummary`. The genome is streamed: memory is that of one window.

    **Raises** `ValueError`, one line each, for input that cannot be right; nothing is
    written then.
    """
    fasta = Fasta(reference)
    source = AlignmentFile(reads, reference=reference, sample=sample, filters=filters)
    model = _model(pipeline, checkpoint, ploidy, theta)
    lengths = _shared_contigs(source, fasta)
    where = (None, 0, None) if region is None else parse_region(region, lengths)
    wanted = None if targets is None else read_bed(targets)
    rule = SiteRule(min_allele_fraction=min_allele_fraction)
    sparse = model.classifier is None and not gvcf
    stream = SampleStream(fasta, window, rule, candidates_only=sparse)
    summary = CallSummary(str(output))
    records = RecordRule(model.config.ploidy, low_quality, min_allele_fraction)
    writer = VcfWriter(
        output,
        lengths,
        source.sample,
        command=command,
        reference=Path(reference).name,
        gvcf=gvcf,
    )
    with writer:
        out = CallOutput(
            writer,
            summary,
            log_prior=np.asarray(_prior_table(model)) if gvcf else None,
            ploidy=model.config.ploidy,
        )
        for part, calls, dense in _results(source, where, stream, model, gvcf):
            found = [] if calls is None else window_records(part, calls, records)
            kept = [r for r in found if _inside(wanted, part.contig, r.position)]
            if dense is not None and wanted is not None:
                mask = _mask(wanted, part)
                dense = dataclasses.replace(dense, wanted=mask)
            out.add(part.contig, part.end, kept, dense)
            summary.windows += 1
            if progress is not None:
                progress(part.contig, part.end, lengths[part.contig])
        out.close()
    summary.reads = source.counts
    summary.shapes = stream.shapes
    return summary


def _model(pipeline, checkpoint, ploidy, theta) -> VariantCallingPipeline:
    """The pipeline to call with, in hard mode and without work that changes nothing."""
    if pipeline is None and checkpoint is not None:
        pipeline = load(checkpoint)
    if pipeline is None:
        config = VariantCallingPipelineConfig(
            ploidy=ploidy, theta=theta, indel_theta=theta
        )
        pipeline = set_mode(VariantCallingPipeline(config, key=None), "hard")
    if pipeline.config.ploidy != ploidy:
        raise ValueError(
            f"ploidy must be that of the checkpoint, {pipeline.config.ploidy}, got "
            f"{ploidy}; train a model for this ploidy, or leave the checkpoint away."
        )
    if pipeline.classifier is not None and pipeline.classifier.is_zero():
        pipeline = eqx.tree_at(lambda p: p.classifier, pipeline, None)
    return pipeline


@eqx.filter_jit
def _prior_table(model: VariantCallingPipeline):
    return model.prior.table()


def _shared_contigs(source: AlignmentFile, fasta: Fasta) -> dict[str, int]:
    """Contigs of the reads that the reference holds too, in the order of the reads."""
    shared = {name: n for name, n in source.lengths.items() if name in fasta.lengths}
    if not shared:
        first = next(iter(source.lengths))
        raise unknown_contig(first, fasta.lengths, f"the reference {fasta.path!r}")
    for name, length in shared.items():
        if fasta.lengths[name] != length:
            raise ValueError(
                f"contig {name} must be as long in the reference {fasta.path!r} as in "
                f"the reads, {length} bases, got {fasta.lengths[name]}; give the FASTA "
                "that the reads were aligned to."
            )
    return shared


def _windows(source, where, stream: SampleStream):
    """The windows of the contigs that the reference holds."""
    contig, start, end = where
    window = stream.length - 2 * HALO
    for part in source.windows(contig, start, end, size=window, halo=HALO):
        if part.contig in stream.fasta.lengths:
            yield part.contig, part.start, part.end, part.rows
        elif len(part.rows):
            raise unknown_contig(
                part.contig,
                stream.fasta.lengths,
                f"the reference {stream.fasta.path!r}",
            )


def _results(source, where, stream, model, gvcf):
    """Windows with their calls; the next one is read while the last is computed."""
    run = eqx.filter_jit(_dense_calls if gvcf else _site_calls)
    waiting = None
    for part in stream.samples(_windows(source, where, stream)):
        nothing = stream.candidates_only and not part.has_candidates
        pending = None if nothing else run(model, part.sample)
        if waiting is not None:
            yield _fetched(*waiting)
        waiting = (part, pending)
    if waiting is not None:
        yield _fetched(*waiting)


def _site_calls(model: VariantCallingPipeline, sample):
    if model.classifier is None:
        return model.calls(sample), None
    return model.calls(sample, model.window_features(sample)), None


def _dense_calls(model: VariantCallingPipeline, sample):
    result = model.evaluate(sample)
    return result.calls, (result.log_likelihoods, result.counts.coverage)


def _fetched(part: WindowSample, pending):
    if pending is None:
        return part, None, None
    calls, dense = jax.tree.map(np.asarray, pending)
    if dense is None:
        return part, calls, None
    inside = slice(part.start - part.origin, part.end - part.origin)
    likelihoods, depth = (x[inside] for x in dense)
    reference = part.sample.reference[inside]
    wanted = np.ones(len(reference), bool)
    return (
        part,
        calls,
        DenseCalls(part.start, reference, likelihoods, depth, wanted),
    )


def _inside(wanted, contig: str, position: int) -> bool:
    return wanted is None or bool(_of(wanted, contig).contains(np.array([position]))[0])


def _mask(wanted: dict[str, Intervals], part: WindowSample) -> np.ndarray:
    return _of(wanted, part.contig).contains(np.arange(part.start, part.end))


def _of(wanted: dict[str, Intervals], contig: str) -> Intervals:
    return wanted.get(contig, Intervals.of([], []))
