"""True genotypes of the candidates of one sample."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Int

Host = Array | np.ndarray


class CallLabels(eqx.Module):
    """What training wants a caller to say of one `AlignedReads`.

    - `site_genotype` (S,): index of the true genotype of each candidate site among
      the ten over A C G T (VCF order); `site_mask` (S,): whether it is known.
    - `locus_genotype` (C,), `locus_mask` (C,): the same of the indel loci, over their
      own four alleles.
    """

    site_genotype: Int[Host, " sites"]
    site_mask: Bool[Host, " sites"]
    locus_genotype: Int[Host, " loci"]
    locus_mask: Bool[Host, " loci"]


class LabelledReads(eqx.Module):
    """A sample and its labels: one training batch."""

    sample: eqx.Module
    labels: CallLabels
