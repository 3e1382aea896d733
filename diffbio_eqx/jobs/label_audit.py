"""An account of true alleles: which became labels, and why the others did not."""

import collections
import dataclasses

KINDS = ("substitution", "indel")
NO_CALL = "without a whole genotype of one or two copies"
SYMBOL = "with alleles that are not written in bases"
OTHER = "changes of several bases (neither a substitution nor a plain indel)"
TWICE = "given by more than one record"
OUTSIDE = "outside the confident regions"
UNSEEN = "that no read shows (or too few)"
NEAR = "substitutions near an indel or an allele that is left out"
CROWDED = "at a locus with true alleles that it does not hold"
EDGE = "at a locus that reaches out of the confident regions"

Key = tuple[str, int, str, str]


@dataclasses.dataclass
class LabelAudit:
    """How many true alleles became labels, and why the others did not.

    - `fate`: by (contig, position, ref, alt) of each allele that could be a label, its
      kind (`KINDS`) if it is one, else the reason why not.
    - `left_out`: counts of alleles that could never be one, by reason.
    - `sites`, `loci`: labelled candidates, those without a variant included.

    Each true allele is counted once, in `represented` or in `lost`.
    """

    fate: dict[Key, str] = dataclasses.field(default_factory=dict)
    left_out: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )
    sites: int = 0
    loci: int = 0

    @property
    def represented(self) -> collections.Counter:
        """Alleles that can be learned from, by kind."""
        return collections.Counter(x for x in self.fate.values() if x in KINDS)

    @property
    def lost(self) -> collections.Counter:
        """Alleles that cannot be learned from, by reason."""
        reasons = (x for x in self.fate.values() if x not in KINDS)
        return collections.Counter(reasons) + self.left_out

    def __str__(self) -> str:
        kept, lost = self.represented, self.lost
        total = sum(kept.values()) + sum(lost.values())
        lines = [
            f"{total} true alleles: {kept['substitution']} substitutions and "
            f"{kept['indel']} indels can be learned from, among {self.sites} labelled "
            f"sites and {self.loci} labelled indel loci"
        ]
        lines += [f"  left out: {n} {why}" for why, n in lost.most_common()]
        return "\n".join(lines)
