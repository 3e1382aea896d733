"""A sample without the reads that no candidate refers to."""

import dataclasses

import numpy as np

from diffbio_eqx.data.aligned_reads import AlignedReads


def candidate_reads(sample: AlignedReads) -> AlignedReads:
    """`sample` (NumPy leaves) with only the reads over its sites and loci.

    Genotypes at the candidates stay the same; a pileup would not, so events are left
    out too. Of reads at 30x about a third remain.
    """
    sites, loci = sample.sites, sample.loci
    used = np.zeros(len(sample.read_mask), bool)
    used[sites.entry_read] = True
    used[loci.segment_read] = True
    index = np.cumsum(used, dtype=np.int32) - 1
    rows = ["bases", "qualities", "start", "mapping_quality", "reverse", "read_mask"]
    kept = {name: getattr(sample, name)[used] for name in rows}
    events = ["event_position", "event_length", "event_read", "event_mask"]
    kept |= {name: getattr(sample, name)[:0] for name in events}
    return dataclasses.replace(
        sample,
        **kept,
        sites=dataclasses.replace(sites, entry_read=index[sites.entry_read]),
        loci=dataclasses.replace(loci, segment_read=index[loci.segment_read]),
    )
