"""From host rows, or from plain arrays, to a sample for a pipeline."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from diffbio_eqx.data.aligned_reads import (
    PADDING,
    UNKNOWN,
    AlignedReads,
    SampleSizes,
)
from diffbio_eqx.data.candidate_sites import (
    CandidateSites,
    SiteRule,
    propose_sites,
    site_entries,
)
from diffbio_eqx.data.cigar import parse_cigars, rows_from_alignments
from diffbio_eqx.data.indel_candidates import propose_loci
from diffbio_eqx.data.indel_padding import pad_loci
from diffbio_eqx.data.padding import pad_axis
from diffbio_eqx.data.read_rows import ReadRows

DELETION = 5
_AXES = dict.fromkeys(
    "bases qualities start mapping_quality reverse read_mask".split(), "reads"
)
_AXES |= dict.fromkeys(["extra_bases", "extra_qualities"], "extra")
_AXES |= dict.fromkeys(
    ["event_position", "event_length", "event_read", "event_mask"], "events"
)
_SITE_AXES = dict.fromkeys(["position", "mask"], "sites") | dict.fromkeys(
    ["entry_site", "entry_read", "entry_column", "entry_mask"], "entries"
)


def reads_from_rows(
    rows: ReadRows,
    reference: np.ndarray,
    *,
    origin: int = 0,
    start: int | None = None,
    end: int | None = None,
    locus_margin: tuple[int, int] = (0, 0),
    site_rule: SiteRule = SiteRule(),
) -> AlignedReads:
    """A sample with NumPy leaves from host rows, its candidates proposed.

    **Arguments:** `reference`, codes of `[origin, origin + L)`, which is the window;
    `start`, `end`, where candidates are proposed (default the whole window), in
    contig coordinates; `locus_margin`, bases before `start` and after `end` where
    indel loci are proposed too, for the substitutions inside that lie near them.
    `pad_sample` brings it to a common size.
    """
    start = origin if start is None else start
    end = origin + len(reference) if end is None else end
    positions = propose_sites(rows, reference, origin, start, end, site_rule)
    entry_site, entry_read, entry_column = site_entries(rows, positions)
    loci, extra_bases, extra_qualities, _ = propose_loci(
        rows,
        reference,
        origin,
        start - locus_margin[0],
        end + locus_margin[1],
        site_positions=positions,
        window_origin=origin,
    )
    to32 = lambda x: np.asarray(x, np.int32)
    return AlignedReads(
        bases=rows.bases,
        qualities=rows.qualities,
        start=to32(rows.start - origin),
        mapping_quality=rows.mapping_quality,
        reverse=rows.reverse,
        read_mask=np.ones(len(rows), bool),
        reference=np.asarray(reference, np.uint8),
        extra_bases=extra_bases,
        extra_qualities=extra_qualities,
        event_position=to32(rows.event_position - origin),
        event_length=to32(rows.event_length),
        event_read=to32(rows.event_row),
        event_mask=np.ones(len(rows.event_row), bool),
        sites=CandidateSites(
            position=to32(positions - origin),
            mask=np.ones(len(positions), bool),
            entry_site=entry_site,
            entry_read=entry_read,
            entry_column=entry_column,
            entry_mask=np.ones(len(entry_site), bool),
        ),
        loci=loci,
    )


def pad_sample(sample: AlignedReads, capacities: SampleSizes) -> AlignedReads:
    """`sample` (NumPy leaves) with every axis but the reference grown to capacity.

    **Raises** `ValueError` if it does not fit.
    """
    mine = SampleSizes.of(sample)
    if not mine.fit_in(capacities):
        raise ValueError(f"sample must fit {capacities}, got {mine}; split the window.")
    size = dataclasses.asdict(capacities)
    more = ((0, 0), (0, size["width"] - mine.width))
    widened = dataclasses.replace(
        sample,
        bases=np.pad(sample.bases, more, constant_values=PADDING),
        qualities=np.pad(sample.qualities, more),
    )
    fill = sample.padding() | {"start": len(sample.reference)}
    grow = lambda tree, name, axis: pad_axis(
        getattr(tree, name), size[axis], fill.get(name, 0)
    )
    grown = {name: grow(widened, name, axis) for name, axis in _AXES.items()}
    sites = {name: grow(sample.sites, name, axis) for name, axis in _SITE_AXES.items()}
    return dataclasses.replace(
        widened,
        **grown,
        sites=CandidateSites(**sites),
        loci=pad_loci(sample.loci, size),
    )


def reads_from_arrays(
    reads,
    positions,
    quality,
    *,
    reference=None,
    reference_length: int | None = None,
    cigar: list[str] | None = None,
    mapping_quality=60,
    reverse=False,
    site_rule: SiteRule = SiteRule(),
) -> AlignedReads:
    """A sample from plain arrays of reads.

    **Arguments:**

    - `reads`: (n, L) base codes (0-3 = A C G T, 4 or more = unknown) or (n, L, 4)
      one-hot bases or probabilities; probabilities are kept as `base_probs`.
    - `positions`: (n,) 0-based reference position of each read's first aligned base.
    - `quality`: (n, L) Phred; whole numbers are kept as uint8, others as floats.
    - `reference`: (reference_length,) codes. Without it the weighted majority base
      stands in: a site where every read differs from the true reference cannot be
      seen then.
    - `reference_length`: needed only without `reference`; default the last position
      that a read covers.
    - `cigar`: n CIGAR strings; default every base aligned.
    - `mapping_quality`, `reverse`: (n,) or one value for all.

    **Returns** a sample with JAX leaves. Host work: not to be called under `jit`.

    **Raises** `ValueError` for shapes that do not agree, reads outside the reference,
    qualities outside [0, 254] or CIGARs that do not fit their reads.
    """
    codes, probs = _codes_and_probs(np.asarray(reads))
    positions = np.asarray(positions)
    quality = np.asarray(quality)
    n, width = codes.shape
    _check_arrays(n, width, positions, quality)
    phred = np.rint(quality).astype(np.uint8)
    if cigar is None:
        counts, ops = np.ones(n, np.int64), np.zeros(n, np.uint8)
        lengths = np.full(n, width, np.int64)
    else:
        if len(cigar) != n:
            raise ValueError(f"cigar must hold {n} strings, got {len(cigar)}.")
        counts, ops, lengths = parse_cigars(list(cigar))
    rows, _ = rows_from_alignments(
        start=positions.astype(np.int64),
        op_count=counts,
        ops=ops,
        op_lengths=lengths,
        query_begin=np.arange(n, dtype=np.int64) * width,
        query_length=np.full(n, width, np.int64),
        query_bases=codes.ravel(),
        query_qualities=phred.ravel(),
        mapping_quality=np.broadcast_to(np.asarray(mapping_quality, np.uint8), (n,)),
        reverse=np.broadcast_to(np.asarray(reverse, bool), (n,)),
    )
    codes_of_reference = _reference_codes(rows, reference, reference_length)
    if len(rows) and (rows.start.min() < 0 or rows.end.max() > len(codes_of_reference)):
        raise ValueError(
            f"reads must lie inside the reference of {len(codes_of_reference)} bases, "
            f"got positions from {rows.start.min()} to {rows.end.max()}; give a longer "
            "reference or cut the reads."
        )
    sample = reads_from_rows(rows, codes_of_reference, site_rule=site_rule)
    query = query_index(rows)
    if not np.array_equal(phred, quality):
        fine = quality.astype(np.float32).ravel()
        sample = dataclasses.replace(
            sample,
            qualities=np.where(rows.bases < DELETION, fine[query], 0),
            extra_qualities=sample.extra_qualities.astype(np.float32),
        )
    if probs is not None:
        soft = probs.reshape(-1, 4)[query] * (rows.bases < DELETION)[..., None]
        sample = dataclasses.replace(sample, base_probs=soft.astype(np.float32))
    return jax.tree.map(jnp.asarray, sample)


def _codes_and_probs(reads: np.ndarray):
    if reads.ndim == 2:
        if reads.size and (reads.min() < 0 or reads.max() > 255):
            raise ValueError("base codes must be 0-3 = A C G T or 4 = unknown.")
        return np.where(reads > 3, UNKNOWN, reads).astype(np.uint8), None
    if reads.ndim != 3 or reads.shape[2] != 4:
        raise ValueError(
            f"reads must be (n, L) codes or (n, L, 4) probabilities, got {reads.shape}."
        )
    codes = np.where(reads.max(2) > 0, reads.argmax(2), UNKNOWN).astype(np.uint8)
    hard = ((reads == 0) | (reads == 1)).all() and (reads.sum(2) <= 1).all()
    return codes, None if hard else reads


def _check_arrays(n, width, positions, quality):
    if positions.shape != (n,):
        raise ValueError(f"positions must be ({n},), got {positions.shape}.")
    if quality.shape != (n, width):
        raise ValueError(f"quality must be ({n}, {width}), got {quality.shape}.")
    ok = np.isfinite(quality) & (quality >= 0) & (quality <= 254)
    if not ok.all():
        read, base = np.argwhere(~ok)[0]
        raise ValueError(
            f"quality must be Phred in [0, 254], got {quality[read, base]} at read "
            f"{read}, base {base}."
        )


def _reference_codes(rows: ReadRows, reference, reference_length) -> np.ndarray:
    if reference is not None:
        codes = np.asarray(reference)
        if codes.ndim != 1 or (codes.size and codes.min() < 0):
            raise ValueError(
                f"reference must be (length,) base codes, got shape {codes.shape}."
            )
        if reference_length not in (None, len(codes)):
            raise ValueError(
                f"reference_length is {reference_length}, but reference has "
                f"{len(codes)} bases; give one of them."
            )
        return np.where(codes > 3, UNKNOWN, codes).astype(np.uint8)
    length = reference_length or int(rows.end.max(initial=1))
    row, column = np.nonzero(rows.bases < 4)
    index = (rows.start[row] + column) * 4 + rows.bases[row, column]
    inside = (index >= 0) & (index < 4 * length)
    weight = 1.0 - 10.0 ** (rows.qualities[row, column] / -10.0)
    counts = np.bincount(index[inside], weight[inside], 4 * length).reshape(-1, 4)
    return np.where(counts.any(1), counts.argmax(1), UNKNOWN).astype(np.uint8)


def query_index(rows: ReadRows) -> np.ndarray:
    """(R, W): flat query index of the base in each column (clipped where none)."""
    is_base = rows.bases < DELETION
    index = rows.query_first[:, None] + np.cumsum(is_base, axis=1) - 1
    gained = np.zeros(rows.bases.shape, np.int64)
    grows = rows.event_length > 0
    row = rows.event_row[grows]
    column = np.clip(rows.event_position[grows] - rows.start[row], 0, rows.width - 1)
    # An insertion before the first column lies before query_first already.
    later = rows.event_position[grows] > rows.start[row]
    np.add.at(gained, (row[later], column[later]), rows.event_length[grows][later])
    index = index + np.cumsum(gained, axis=1)
    return np.clip(index, 0, max(len(rows.query_bases) - 1, 0))
