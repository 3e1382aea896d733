"""A call set against a truth set: counts by type, errors, intervals."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
from jaxtyping import Integer

from diffbio_eqx._checks import require_choice
from diffbio_eqx.data.variant_records import VariantRecord
from diffbio_eqx.metrics.haplotype_matching import match_haplotypes
from diffbio_eqx.metrics.variant_units import cached_fetch, variant_units
from diffbio_eqx.metrics.wilson import wilson_interval


@dataclasses.dataclass(frozen=True)
class ClassCounts:
    """Counts of one type of variant; `tp_truth + fn` is the truth, `tp_call + fp` the
    calls. The two kinds of true positive differ where one side spells a change in
    more units than the other."""

    tp_truth: int = 0
    tp_call: int = 0
    fp: int = 0
    fn: int = 0

    @property
    def errors(self) -> int:
        """False positives and false negatives together."""
        return self.fp + self.fn

    @property
    def precision(self) -> float:
        """Share of calls that are true; 1 without calls."""
        total = self.tp_call + self.fp
        return self.tp_call / total if total else 1.0

    @property
    def recall(self) -> float:
        """Share of the truth that was called; 1 without truth."""
        total = self.tp_truth + self.fn
        return self.tp_truth / total if total else 1.0

    @property
    def f1(self) -> float:
        """2 P R / (P + R)."""
        both = self.precision + self.recall
        return 2.0 * self.precision * self.recall / both if both else 0.0

    def precision_interval(self, *, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson interval of the precision."""
        total = self.tp_call + self.fp
        return wilson_interval(self.tp_call, total, confidence=confidence)

    def recall_interval(self, *, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson interval of the recall."""
        total = self.tp_truth + self.fn
        return wilson_interval(self.tp_truth, total, confidence=confidence)

    def f1_interval(self, *, confidence: float = 0.95) -> tuple[float, float]:
        """Interval of F1 = 2 J / (1 + J), from the Wilson interval of the Jaccard
        index J = TP / (TP + FP + FN) taken as a proportion (TP on the truth side)."""
        total = self.tp_truth + self.errors
        low, high = wilson_interval(self.tp_truth, total, confidence=confidence)
        return 2.0 * low / (1.0 + low), 2.0 * high / (1.0 + high)

    def __add__(self, other: "ClassCounts") -> "ClassCounts":
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return ClassCounts(*(a + b for a, b in zip(mine, theirs, strict=True)))


@dataclasses.dataclass(frozen=True)
class VariantScore:
    """What `score_variants` found.

    - `snp`, `indel`: counts; `mode`: whether genotypes or alleles had to agree.
    - `false_positives`, `false_negatives`: `(kind, record)` in file order.
    - `truth_skipped`, `call_skipped`: records that take no part, by reason.
    - `exact_clusters`, `exact_units`: clusters too dense to search and their units,
      matched by equal alleles only.
    """

    snp: ClassCounts
    indel: ClassCounts
    mode: str
    false_positives: list[tuple[str, VariantRecord]]
    false_negatives: list[tuple[str, VariantRecord]]
    truth_skipped: dict[str, int]
    call_skipped: dict[str, int]
    exact_clusters: int = 0
    exact_units: int = 0

    @property
    def all(self) -> ClassCounts:
        """Both types together."""
        return self.snp + self.indel

    def table(self, name: str = "calls") -> str:
        """A text table with a head line and one line each for SNPs and indels."""
        width = max(len(name), 5)
        head = f"{'calls':<{width}}  match     type   {'TP':>6} {'TPcall':>6} "
        lines = [
            head + f"{'FP':>5} {'FN':>5}  precision  recall      F1  95 % interval"
        ]
        for kind in ("snp", "indel"):
            c: ClassCounts = getattr(self, kind)
            low, high = c.f1_interval()
            lines.append(
                f"{name:<{width}}  {self.mode:<8}  {kind:<5}  {c.tp_truth:>6} "
                f"{c.tp_call:>6} {c.fp:>5} {c.fn:>5}  {c.precision:>9.4f}  "
                f"{c.recall:.4f}  {c.f1:.4f}  {low:.4f}-{high:.4f}"
            )
        if self.exact_clusters:
            lines.append(
                f"{self.exact_clusters} dense clusters ({self.exact_units} variants) "
                "were matched by equal alleles only"
            )
        return "\n".join(lines)


def score_variants(
    truth: Iterable[VariantRecord],
    calls: Iterable[VariantRecord],
    fetch: Callable[[str, int, int], str],
    *,
    regions: Mapping[str, Integer[np.ndarray, "intervals 2"]] | None = None,
    mode: str = "genotype",
    all_records: bool = False,
    minimum_quality: int | float | None = None,
    state_limit: int = 2000,
) -> VariantScore:
    """Count what a call set gets right, by the haplotypes that both sides spell.

    Records become units (`variant_units`: MNPs as SNPs, complex changes whole and
    counted as indels, a 1/2 genotype once) and are matched by `match_haplotypes`. A
    variant is inside the confident regions if its left-aligned interval is, an
    indel's anchor base included. Outside ones take part in the matching but are not
    counted: truth outside is no FN, a call outside no FP, and a call inside that
    matches only truth outside is neither right nor wrong.

    **Arguments:**

    - `fetch(contig, start, end)`: reference bases, fewer at the contig's end.
    - `regions`: 0-based half-open intervals by contig; None counts everything. A
      contig that is not named counts nothing.
    - `mode`: `genotype` wants both copies right (a het called hom is one FP and one
      FN); `allele` wants one allele of the site right.
    - `all_records`: also use calls whose FILTER is neither PASS nor empty.
    - `minimum_quality`: leave out calls whose QUAL is lower or missing.
    - `state_limit`: see `match_haplotypes`.

    **Raises** `ValueError` for an unknown mode.

    ```python
    score = score_variants(truth, calls, fetch, regions={"chr20": confident})
    print(score.table("mine"))
    ```
    """
    require_choice("mode", mode, ("genotype", "allele"))
    kept, filtered = _filter(calls, minimum_quality, all_records=all_records)
    fetch = cached_fetch(fetch)
    truth_units, truth_skipped = variant_units(truth, fetch)
    call_units, call_skipped = variant_units(kept, fetch)
    call_skipped.update(filtered)
    tally: Counter = Counter()
    wrong: dict[str, list] = {"fp": [], "fn": []}
    clusters = exact = 0
    for contig in dict.fromkeys([*truth_units, *call_units]):
        ours, theirs = truth_units.get(contig, []), call_units.get(contig, [])
        match = match_haplotypes(
            ours,
            theirs,
            partial(fetch, contig),
            ploidy=2 if mode == "genotype" else 1,
            state_limit=state_limit,
        )
        clusters += match.exact_clusters
        exact += match.exact_units
        inside_truth = _inside(ours, regions, contig)
        inside_calls = _inside(theirs, regions, contig)
        right_truth, right_calls = (
            np.zeros(len(ours), bool),
            np.zeros(len(theirs), bool),
        )
        for truth_index, call_index in match.groups:
            right_truth[list(truth_index)] = True
            if not inside_truth[list(truth_index)].any():
                inside_calls[list(call_index)] = False
            right_calls[list(call_index)] = True
        sides = (
            (ours, inside_truth, right_truth, "tp_truth", "fn"),
            (theirs, inside_calls, right_calls, "tp_call", "fp"),
        )
        for units, inside, right, good, bad in sides:
            for i in np.flatnonzero(inside):
                tally[units[i].kind, good if right[i] else bad] += 1
                if not right[i]:
                    wrong[bad].append((units[i].kind, units[i].record))
    fields = [field.name for field in dataclasses.fields(ClassCounts)]
    snp, indel = (
        ClassCounts(*(tally[kind, name] for name in fields))
        for kind in ("snp", "indel")
    )
    return VariantScore(
        snp,
        indel,
        mode,
        wrong["fp"],
        wrong["fn"],
        dict(truth_skipped),
        dict(call_skipped),
        clusters,
        exact,
    )


def _filter(calls, minimum_quality, *, all_records):
    kept, skipped = [], Counter()
    for record in calls:
        passed = all_records or not set(record.filters) - {"PASS"}
        low = minimum_quality is not None and (record.qual or 0.0) < minimum_quality
        if not passed:
            skipped["filtered"] += 1
        elif low:
            skipped["low quality"] += 1
        else:
            kept.append(record)
    return kept, skipped


def _inside(units, regions, contig):
    """Which units lie wholly in one of the joined intervals of their contig."""
    if regions is None:
        return np.ones(len(units), bool)
    intervals = np.asarray(regions.get(contig, np.zeros((0, 2))), np.int64)
    if not len(intervals) or not units:
        return np.zeros(len(units), bool)
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(intervals[:, 1])
    first = np.append(True, intervals[1:, 0] > reach[:-1])
    starts = intervals[first, 0]
    ends = np.append(reach[:-1][first[1:]], reach[-1])
    spans = np.array([unit.span for unit in units])
    place = np.searchsorted(starts, spans[:, 0], side="right") - 1
    return (place >= 0) & (spans[:, 1] <= ends[place])
