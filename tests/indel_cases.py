"""Small alignments made by hand, for tests of indel candidates and likelihoods."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx.data.cigar import parse_cigars, rows_from_alignments
from diffbio_eqx.data.indel_candidates import IndelRule, propose_loci
from diffbio_eqx.operators.variants.indel_likelihood import IndelEvidence

# Alleles that reads show, and no others; repeat neighbours have tests of their own.
RULE = IndelRule(
    flank=24,
    segment_rows=56,
    haplotype_columns=80,
    near_distance=20,
    repeat_neighbours=False,
)


def random_reference(length=200, seed=0):
    """Codes without a repeat of one or two bases, so that every indel has one place."""
    rng = np.random.default_rng(seed)
    codes = [0, 1]
    while len(codes) < length:
        base = int(rng.integers(0, 4))
        if base not in codes[-2:]:
            codes.append(base)
    return np.array(codes, np.uint8)


def make_rows(reads, mates=(), quality=30, mapping_quality=60):
    """`ReadRows` of `(start, cigar, bases)`; `mates` are pairs of read indices.

    Of two mates the second has quality 0 over the overlap, the first its sum.
    """
    counts, ops, lengths = parse_cigars([cigar for _, cigar, _ in reads])
    sizes = np.array([len(bases) for *_, bases in reads], np.int64)
    flat = np.concatenate([np.asarray(bases, np.uint8) for *_, bases in reads])
    rows, read = rows_from_alignments(
        start=np.array([start for start, *_ in reads], np.int64),
        op_count=counts,
        ops=ops,
        op_lengths=lengths,
        query_begin=np.cumsum(sizes) - sizes,
        query_length=sizes,
        query_bases=flat,
        query_qualities=np.full(len(flat), quality, np.uint8),
        mapping_quality=np.full(len(reads), mapping_quality, np.uint8),
    )
    row_of = np.argsort(read)
    mate, qualities = rows.mate.copy(), rows.qualities.copy()
    for first, second in mates:
        one, two = row_of[first], row_of[second]
        mate[one], mate[two] = two, one
        for position in range(rows.start[two], min(rows.end[one], rows.end[two])):
            qualities[one, position - rows.start[one]] *= 2
            qualities[two, position - rows.start[two]] = 0
    return dataclasses.replace(rows, mate=mate, qualities=qualities)


def with_insertion(reference, at, inserted, start, length):
    """A read of `length` bases over an insertion before `at`."""
    left = at - start
    right = length - left - len(inserted)
    bases = [*reference[start:at], *inserted, *reference[at : at + right]]
    return start, f"{left}M{len(inserted)}I{right}M", bases


def with_deletion(reference, at, size, start, length, placed=None):
    """A read over a deletion of `[at, at + size)`, written at `placed` in its CIGAR."""
    bases = [*reference[start:at], *reference[at + size :][: length - (at - start)]]
    left = (at if placed is None else placed) - start
    return start, f"{left}M{size}D{length - left}M", bases


def plain(reference, start, length):
    """A read that equals the reference."""
    return start, f"{length}M", list(reference[start : start + length])


def propose(rows, reference, sites=(), start=0, end=None, rule=RULE, **options):
    """`propose_loci` over the whole reference."""
    return propose_loci(
        rows,
        reference,
        0,
        start,
        len(reference) if end is None else end,
        site_positions=np.asarray(sites, np.int64),
        rule=rule,
        **options,
    )


def segment_values(loci, rows_values, extra_values):
    """(P, Q): what the rows, or the extra bases, hold for each base of a segment."""
    source = np.asarray(loci.segment_source)
    read = np.asarray(loci.segment_read)[:, None]
    extra = np.append(extra_values, 0)[np.where(source < -1, -2 - source, -1)]
    return np.where(source < -1, extra, rows_values[read, np.maximum(source, 0)])


def segment_text(loci, rows, extra, segment):
    """Bases of one segment."""
    real = np.asarray(loci.segment_source[segment]) != -1
    return segment_values(loci, rows.bases, extra)[segment][real].tolist()


def on_device(tree):
    """JAX leaves."""
    return jax.tree.map(jnp.asarray, tree)


def evidence(rows, loci, extra, extra_qualities, dtype=np.float32):
    """`IndelEvidence` of Phred errors, all reads of weight 1."""
    real = np.asarray(loci.segment_source) != -1
    quality = segment_values(loci, rows.qualities, extra_qualities)
    errors = np.minimum(10.0 ** (-quality.astype(np.float64) / 10), 0.75)
    bases = np.where(real, segment_values(loci, rows.bases, extra), 4)
    return on_device(
        IndelEvidence(
            on_device(loci),
            jnp.asarray(bases.astype(np.uint8)),
            jnp.asarray(errors.astype(dtype)),
            jnp.asarray(rows.mapping_quality[loci.segment_read].astype(dtype)),
            jnp.ones(len(loci.segment_read), dtype),
        )
    )


def unmodelled_fit(x, band, unmodelled):
    """NumPy: the score of each segment on a haplotype that is no candidate (P,)."""
    errors = np.asarray(x.errors, np.float64)
    real = np.asarray(x.loci.segment_source) != -1
    errors = np.where(real, errors, 0.5)
    fit = (1 - errors) * np.log(1 - errors) + errors * np.log(errors / 3)
    return (fit * real).sum(1) - np.log(band) - unmodelled * np.log(10) / 10
