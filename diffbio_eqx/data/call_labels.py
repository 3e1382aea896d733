"""True genotypes of the candidates of one sample."""

import equinox as eqx
from jaxtyping import Bool, Int

from diffbio_eqx._typing import HostArray


class CallLabels(eqx.Module):
    """What training wants a caller to say of one `AlignedReads`.

    - `site_genotype` (S,): index of the true genotype of each candidate site among
      the ten over A C G T (VCF order); `site_mask` (S,): whether it is known.
    - `locus_genotype` (C,), `locus_mask` (C,): the same of the indel loci, over their
      own four alleles.
    - `genotype` (L,): the true genotype of every position, as at sites; -1 where it is
      not known, or where an indel is near.
    """

    site_genotype: Int[HostArray, " sites"]
    site_mask: Bool[HostArray, " sites"]
    locus_genotype: Int[HostArray, " loci"]
    locus_mask: Bool[HostArray, " loci"]
    genotype: Int[HostArray, " length"]


class LabelledReads(eqx.Module):
    """A sample and its labels: one training batch."""

    sample: eqx.Module
    labels: CallLabels
