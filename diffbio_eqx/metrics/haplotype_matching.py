"""Truth and calls matched by the haplotypes that they spell."""

import dataclasses
from collections.abc import Callable, Sequence

from diffbio_eqx.metrics.variant_units import Change, VariantUnit

Hap = tuple[str, str, int, int]
_SYNC: Hap = ("", "", 0, 0)
_ISOLATED = 100


@dataclasses.dataclass(frozen=True)
class HaplotypeMatch:
    """Groups of truth and call indexes that spell the same, and what was not searched.

    - `groups`: `(truth indexes, call indexes)`, neither empty: together they turn the
      reference into the same haplotypes.
    - `exact_clusters`, `exact_units`: clusters with too many ways to combine, and the
      units in them, that were matched by equal alleles and genotype only.
    """

    groups: list[tuple[tuple[int, ...], tuple[int, ...]]]
    exact_clusters: int = 0
    exact_units: int = 0


@dataclasses.dataclass(slots=True)
class _State:
    """One way to keep units so far: banked score, what is open since the last sync."""

    score: int = 0
    open_truth: tuple = ()
    open_calls: tuple = ()
    groups: tuple | None = None

    @property
    def value(self) -> int:
        return self.score + len(self.open_truth) + len(self.open_calls)


def match_haplotypes(
    truth: Sequence[VariantUnit],
    calls: Sequence[VariantUnit],
    reference: Callable[[int, int], str],
    *,
    ploidy: int = 2,
    state_limit: int = 2000,
) -> HaplotypeMatch:
    """Keep the largest sets of truth and calls that spell the same haplotypes.

    The contig is swept from left to right; every unit is dropped or kept, with either
    phase (phases that a file states are not used). A state is what decides the future:
    for each haplotype the bases that one side has spelled and the other has not yet,
    and how far each side's last change reaches. States whose bases differ die, equal
    ones merge and the one with most units kept lives; where both sides are level the
    units since the last such place form a group. So the search is exact, and no window
    size decides what may be equal. Changes on one haplotype may touch, not overlap.

    **Arguments:** units of one contig sorted as `variant_units` gives them;
    `reference(start, end)` its bases; `ploidy` 2 matches genotypes, 1 alleles (a unit
    plays any one of its changes). A cluster that needs more than `state_limit` states
    is matched by equal alleles and genotype, and counted.

    **Reference:** the problem is that of Cleary et al. 2015, doi:10.1101/023754
    """
    units = [(u, 0, i) for i, u in enumerate(truth)]
    units += [(u, 1, i) for i, u in enumerate(calls)]
    units.sort(key=lambda x: (min(c.begin_code for c in x[0].changes), x[1]))
    groups: list = []
    clusters = exact = 0
    index = cluster = position = 0
    states = {(_SYNC,) * ploidy: _State()}
    while index < len(units):
        unit, side, number = units[index]
        states = _advance(states, position, unit.start, reference)
        position = unit.start
        if (
            len(states) == 1
            and _SYNC == next(iter(states))[0] == next(iter(states))[-1]
        ):
            _collect(next(iter(states.values())), groups)
            states = {(_SYNC,) * ploidy: _State()}
            cluster = index
            if _same_and_alone(units, index):
                first, second = sorted(units[index : index + 2], key=lambda x: x[1])
                groups.append(((first[2],), (second[2],)))
                position = max(first[0].end, second[0].end)
                index += 2
                continue
        states = _branch(states, unit, side, number, position, reference, ploidy)
        index += 1
        if len(states) > state_limit:
            index = _cluster_end(units, cluster)
            group = units[cluster:index]
            groups += _equal_keys(group)
            clusters, exact = clusters + 1, exact + len(group)
            position = max(u.end for u, _, _ in group)
            states = {(_SYNC,) * ploidy: _State()}
            cluster = index
    last = 1 + max([position, *(u.end for u, _, _ in units[cluster:])])
    states = _advance(states, position, last, reference)
    level = states.get((_SYNC,) * ploidy)
    if level is not None:
        _collect(level, groups)
    return HaplotypeMatch(groups, clusters, exact)


def _same_and_alone(units, index):
    """Whether this unit and the next are the same variant, far from the one after."""
    if index + 1 >= len(units):
        return False
    (a, side, _), (b, other, _) = units[index : index + 2]
    if side == other or a.key != b.key:
        return False
    after = units[index + 2][0].start if index + 2 < len(units) else None
    return after is None or after > max(a.end, b.end) + _ISOLATED


def _cluster_end(units, index):
    """Index after the units that follow one another without a wide gap."""
    reach = units[index][0].end
    while index < len(units) and units[index][0].start <= reach + _ISOLATED:
        reach = max(reach, units[index][0].end)
        index += 1
    return index


def _equal_keys(group):
    waiting: dict = {}
    pairs = []
    for unit, side, number in group:
        others = waiting.get((unit.key, 1 - side))
        if others:
            other = others.pop()
            pair = (number, other) if side == 0 else (other, number)
            pairs.append(((pair[0],), (pair[1],)))
        else:
            waiting.setdefault((unit.key, side), []).append(number)
    return pairs


def _collect(state, groups):
    found, link = [], state.groups
    while link is not None:
        link, group = link
        found.append(group)
    groups.extend(reversed(found))


def _keep(states, key, state):
    old = states.get(key)
    if old is None or state.value > old.value:
        states[key] = state


def _branch(states, unit, side, number, position, reference, ploidy):
    """Every state without the unit, and with it in each phase."""
    a, b = unit.copies
    ways = {(a, b), (b, a)} if ploidy == 2 else {(c,) for c in unit.changes}
    result: dict = {}
    for haps, state in states.items():
        _keep(result, haps, state)
        for way in ways:
            new = []
            for hap, change in zip(haps, way, strict=True):
                if change is not None:
                    hap = _apply(hap, change, side, position, reference)
                if hap is None:
                    break
                new.append(hap)
            else:
                kept = _State(
                    state.score,
                    state.open_truth + (number,) * (side == 0),
                    state.open_calls + (number,) * (side == 1),
                    state.groups,
                )
                _keep(result, tuple(sorted(new)), kept)
    return result


def _apply(hap: Hap, change: Change, side, position, reference) -> Hap | None:
    """One side's haplotype continued to the end of a change, or None if it cannot."""
    frontier = hap[2 + side]
    if change.begin_code < frontier:
        return None
    spelled = max(position, frontier // 2)
    more = change.bases
    if spelled < change.start:
        more = reference(spelled, change.start) + more
    if side == 0:
        return _level(hap[0] + more, hap[1], change.end_code, hap[3])
    return _level(hap[0], hap[1] + more, hap[2], change.end_code)


def _level(truth, calls, truth_frontier, call_frontier) -> Hap | None:
    """Strike out what both sides have spelled; None where they differ."""
    if not truth or not calls:
        return truth, calls, truth_frontier, call_frontier
    size = min(len(truth), len(calls))
    if truth[:size] != calls[:size]:
        return None
    return truth[size:], calls[size:], truth_frontier, call_frontier


def _advance(states, begin, end, reference):
    """All states continued with reference bases from `begin` to `end`."""
    step = 256
    while True:
        stop = min(end, begin + step)
        result: dict = {}
        for haps, state in states.items():
            new = [_extend(hap, begin, stop, reference) for hap in haps]
            if None in new:
                continue
            if all(hap == _SYNC for hap in new):
                state = _bank(state)
            _keep(result, tuple(sorted(new)), state)
        states, begin, step = result, stop, 4 * step
        level = len(states) == 1 and all(h == _SYNC for h in next(iter(states)))
        if begin >= end or level:
            return states


def _extend(hap: Hap, begin, end, reference) -> Hap | None:
    if hap == _SYNC:
        return hap
    truth, calls, *frontiers = hap
    starts = [max(begin, f // 2) for f in frontiers]
    texts = [reference(s, end) if s < end else "" for s in starts]
    kept = [f if f > 2 * end else 0 for f in frontiers]
    return _level(truth + texts[0], calls + texts[1], *kept)


def _bank(state):
    """Both sides are level: close the group; one that holds one side only is void."""
    if not state.open_truth and not state.open_calls:
        return state
    if not state.open_truth or not state.open_calls:
        return _State(state.score, (), (), state.groups)
    group = (state.open_truth, state.open_calls)
    return _State(state.value, (), (), (state.groups, group))
