"""Reads as sequenced and as aligned, and which base is which."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from diffbio_eqx._checks import require
from diffbio_eqx._typing import HostArray
from diffbio_eqx.data.aligned_reads import AlignedReads
from diffbio_eqx.data.candidate_sites import SiteRule
from diffbio_eqx.data.cigar import parse_cigars, rows_from_alignments
from diffbio_eqx.data.reads import PADDING, UNKNOWN, Reads
from diffbio_eqx.data.sample_building import query_index, reads_from_rows


class JointSample(eqx.Module):
    """One window for preprocessing and calling together.

    - `reads`: R reads as they came from the sequencer, or R pairs.
    - `aligned`: A rows of the same reads over a reference. They are aligned as a whole:
      what preprocessing takes away weighs nothing later, and no base moves.
    - `read` (A,): the read of each row; that of a mate is R more.
    - `cycle` (A, W): the column in `reads` of the base in each column of `aligned`;
      over a deletion, of the base before it in the direction of the reference.
    """

    reads: Reads
    aligned: AlignedReads
    read: Int32[HostArray, " rows"]
    cycle: Int32[HostArray, "rows width"]

    @staticmethod
    def from_alignments(
        reads: Reads,
        positions: Any,
        *,
        reference: Any,
        cigar: Sequence[str] | None = None,
        reverse: Any = False,
        mapping_quality: Any = 60,
        site_rule: SiteRule = SiteRule(),
    ) -> "JointSample":
        """A sample from where each read lies.

        **Arguments:**

        - `reads`: as sequenced; `prepare_reads` comes before or after this.
        - `positions` (n,): 0-based position of the first aligned base; n = R, or 2 R
          for pairs, the mates behind the first reads.
        - `reference` (L,): codes of the window.
        - `cigar`: n strings, default every base aligned; `reverse`, `mapping_quality`
          (n,) or one value for all.

        **Raises:** `ValueError` for sizes that do not agree, or reads that lie outside
        of the reference.
        """
        ends = [reads] if reads.mate is None else [reads, reads.mate]
        widths = [end.bases.shape[1] for end in ends]
        require(
            len(set(widths)) == 1,
            "columns of reads and mates",
            expected="as many in both",
            got=widths,
            hint="pad the shorter with code 7 and quality 0",
        )
        codes = np.concatenate([np.asarray(end.bases) for end in ends])
        fine = np.concatenate([np.asarray(end.qualities) for end in ends])
        count, width = codes.shape
        positions = np.asarray(positions, np.int64)
        require(
            positions.shape == (count,),
            "positions",
            expected=f"({count},), one for each read",
            got=positions.shape,
        )
        reverse = np.broadcast_to(np.asarray(reverse, bool), (count,))
        size = (codes != PADDING).sum(1)
        place = np.arange(width)
        turned = np.where(
            reverse[:, None] & (place < size[:, None]),
            size[:, None] - 1 - place,
            place,
        )
        codes = np.take_along_axis(codes, turned, 1)
        codes = np.where(reverse[:, None] & (codes < 4), 3 - codes, codes)
        fine = np.take_along_axis(fine, turned, 1)
        cigar = [f"{n}M" for n in size] if cigar is None else list(cigar)
        op_count, ops, op_lengths = parse_cigars(cigar)
        rows, read = rows_from_alignments(
            start=positions,
            op_count=op_count,
            ops=ops,
            op_lengths=op_lengths,
            query_begin=np.arange(count, dtype=np.int64) * width,
            query_length=size.astype(np.int64),
            query_bases=np.where(codes > 3, np.uint8(UNKNOWN), codes).ravel(),
            query_qualities=np.rint(fine).astype(np.uint8).ravel(),
            mapping_quality=np.broadcast_to(
                np.asarray(mapping_quality, np.uint8), (count,)
            ),
            reverse=reverse,
        )
        reference = np.asarray(reference, np.uint8)
        low, high = rows.start.min(initial=0), rows.end.max(initial=0)
        require(
            low >= 0 and high <= len(reference),
            "positions of reads",
            expected=f"inside of the reference of {len(reference)} bases",
            got=f"from {low} to {high}",
            hint="give a longer reference, or leave those reads out",
        )
        aligned = reads_from_rows(rows, reference, site_rule=site_rule)
        flat = query_index(rows)
        column = np.clip(flat - rows.query_begin[:, None], 0, width - 1)
        if np.issubdtype(fine.dtype, np.floating):
            exact = np.where(rows.bases <= UNKNOWN, fine.ravel()[flat], 0)
            extra = aligned.extra_qualities.astype(exact.dtype)
            aligned = eqx.tree_at(
                lambda x: (x.qualities, x.extra_qualities), aligned, (exact, extra)
            )
        sample = JointSample(
            reads,
            aligned,
            read.astype(np.int32),
            np.take_along_axis(turned[read], column, 1).astype(np.int32),
        )
        return jax.tree.map(jnp.asarray, sample)
