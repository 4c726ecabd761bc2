"""The verdict on a claim over all its parts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hwbench.spec import PROFILES, Case, Claim, Profile, Row, Scalar, Spec, label
from hwbench.store import Result
from hwbench.verdict.calibration import Setting, is_elsewhere
from hwbench.verdict.contrast import Question, Sample, contrast, weakest_pair
from hwbench.verdict.evidence import Common, StoredResults, common_evidence, lost_seeds
from hwbench.verdict.outcome import ClaimOutcome, ClaimPart, ClaimVerdict, Pair, counting_parts
from hwbench.verdict.reasons import (
    CodeChanged,
    Effect,
    LooseBounds,
    LostSeeds,
    NoPartCounts,
    NoRows,
    NotCounted,
    OnlySides,
    OtherSetting,
    PValue,
    Reason,
    Sides,
    Tally,
    UnequalTraining,
    Untested,
    UntestedSides,
)
from hwbench.verdict.reduction import Judgeable, judgeable, published_case
from hwbench.verdict.sizes import unit_of
from hwbench.verdict.spread import all_deterministic, is_loose
from hwbench.verdict.statistics import ALPHA, adjust_known


@dataclass(frozen=True)
class Side:
    """One of the groups of rows that a claim compares; values are averaged over rows, by seed."""

    name: str
    rows: list[Row]


@dataclass(frozen=True)
class Draft:
    """A part of a claim before the p values are adjusted for their number.

    Attributes:
        loose: names of the sides whose numbers are loose bounds: of those claimed to be better,
            and of those claimed to be worse.
    """

    part: ClaimPart
    p_for: float | None = None
    p_against: float | None = None
    loose: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


@dataclass(frozen=True)
class Tested:
    """Two neighbouring sides of a claim after their test, and the evidence that it rests on.

    Attributes:
        permitted: which verdicts their training permits.
        lost: seeds that failed.
        changed: rows whose results come from other code.
        loose_first, loose_second: whether the number of a side is a loose bound.
    """

    names: Sides
    pair: Pair
    evidence: Common
    permitted: Judgeable
    lost: LostSeeds | None
    changed: tuple[str, ...]
    loose_first: bool
    loose_second: bool


def parts_of(spec: Spec, claim: Claim) -> list[tuple[dict[str, Scalar], list[Side]]]:
    """Return the combinations of coordinates that a claim holds equal, each with its sides.

    The best side comes first. Values of an order without a row at a combination are left out
    there; a combination with a single side is no part.
    """
    wanted: list[tuple[str, Mapping[str, Scalar]]]
    if claim.order is not None:
        ((coordinate, values),) = claim.order.items()
        named = {coordinate}
        wanted = [(str(value), {coordinate: value}) for value in values]
    elif claim.gap is not None:
        named = {*claim.gap.better, *claim.gap.worse}
        wanted = [(label(side), side) for side in (claim.gap.better, claim.gap.worse)]
    else:
        assert claim.within is not None
        named = {*claim.within.a, *claim.within.b}
        wanted = [(label(side), side) for side in (claim.within.a, claim.within.b)]
    groups: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in spec.rows:
        if row.matches(claim.where):
            held = tuple((k, str(v)) for k, v in row.at.items() if k not in named)
            groups.setdefault(held, []).append(row)
    out = []
    for rows in groups.values():
        sides = [Side(name, [r for r in rows if r.matches(at)]) for name, at in wanted]
        sides = [side for side in sides if side.rows]
        if len(sides) >= 2:
            out.append(({k: v for k, v in rows[0].at.items() if k not in named}, sides))
    return out


def missing_part(at: Mapping[str, object], reason: Reason) -> Draft:
    """Return a part that could not be tested, with the reason."""
    return Draft(ClaimPart(dict(at), "missing", None, None, None, None, None, (reason,)))


def make_draft(
    at: Mapping[str, object],
    pair: Pair,
    profile: Profile,
    reasons: Sequence[Reason],
    lost: Iterable[LostSeeds | None],
    changed: Iterable[str],
    stand_ins: Iterable[tuple[str, str]] = (),
    loose: tuple[Iterable[str], Iterable[str]] = ((), ()),
) -> Draft:
    """Return a part after its test; with lost seeds it stays undecided."""
    failed = tuple(dict.fromkeys(seeds for seeds in lost if seeds is not None))
    untested = (pair.method,) if isinstance(pair.method, Untested) else ()
    part = ClaimPart(
        at=dict(at),
        verdict="undecided",
        effect=pair.effect,
        interval=pair.interval,
        p=None,
        method=pair.method,
        profile=profile,
        reasons=(*reasons, *untested, *failed),
        changed=tuple(dict.fromkeys(changed)),
        stand_ins=tuple(dict.fromkeys(stand_ins)),
    )
    if failed:
        return Draft(part)
    better, worse = (tuple(dict.fromkeys(names)) for names in loose)
    return Draft(part, pair.p_for, pair.p_against, (better, worse))


def ask(
    spec: Spec, claim: Claim, sides: tuple[Side, Side], results: Mapping[str, list[Result]]
) -> Question:
    """Return the question that a claim asks about two neighbouring sides."""
    a, b = (
        Sample([results[row.name] for row in side.rows], all_deterministic(spec, side.rows))
        for side in sides
    )
    return Question(
        a,
        b,
        claim.metric or spec.metric,
        claim.better or spec.better,
        claim.gap.at_least if claim.gap else 0.0,
        claim.within.tolerance if claim.within else None,
    )


def draft_part(
    stored: StoredResults,
    claim: Claim,
    at: Mapping[str, Scalar],
    sides: Sequence[Side],
    profiles: Sequence[Profile],
) -> Draft:
    """Test one part of a claim; an order needs every neighbours' gap (intersection-union)."""
    tested: list[Tested] = []
    for a, b in itertools.pairwise(sides):
        found = _tested(stored, claim, a, b, profiles)
        if not isinstance(found, Tested):
            return missing_part(at, found)
        tested.append(found)
    weakest = weakest_pair([found.pair for found in tested])
    permitted = Judgeable(*map(all, zip(*(found.permitted for found in tested), strict=True)))
    pair = replace(
        weakest,
        p_for=weakest.p_for if permitted.holds else None,
        p_against=weakest.p_against if permitted.fails else None,
    )
    unequal = dict.fromkeys(_unequal(found) for found in tested if not all(found.permitted))
    return make_draft(
        at,
        pair,
        min((found.evidence.profile for found in tested), key=PROFILES.index),
        [*explain(stored.spec, claim, sides, [(t.names, t.pair) for t in tested]), *unequal],
        [found.lost for found in tested],
        itertools.chain.from_iterable(found.changed for found in tested),
        itertools.chain.from_iterable(found.evidence.stand_ins for found in tested),
        _loose_sides(tested),
    )


def _tested(
    stored: StoredResults, claim: Claim, a: Side, b: Side, profiles: Sequence[Profile]
) -> Tested | Reason:
    """Test whether one side is better than the other, or say why it cannot be tested."""
    spec, metric = stored.spec, claim.metric or stored.spec.metric
    rows, names = [*a.rows, *b.rows], Sides(a.name, b.name, claim.within is not None)
    found = common_evidence(stored, rows, metric, profiles)
    if not isinstance(found, Common):
        return found
    pair = contrast(ask(spec, claim, (a, b), found.results), stored.store)
    if isinstance(pair, Untested):
        return UntestedSides(names, pair)
    whole = Judgeable(holds=True, fails=True)
    judged = found.profile != "full"
    return Tested(
        names,
        pair,
        found,
        _judgeable(spec, (a, b), found, alike=names.alike) if judged else whole,
        lost_seeds(stored, rows, found.profile, metric),
        tuple(label(row.at) for row in rows if stored.changed(found.results[row.name])),
        any(is_loose(found.results[row.name], metric) for row in a.rows),
        any(is_loose(found.results[row.name], metric) for row in b.rows),
    )


def _loose_sides(tested: Sequence[Tested]) -> tuple[list[str], list[str]]:
    """Return the sides with loose bounds among those claimed to be better, and to be worse.

    Of sides that are claimed to be alike, each is both.
    """
    better = [found.names.first for found in tested if found.loose_first]
    worse = [found.names.second for found in tested if found.loose_second]
    if any(found.names.alike for found in tested):
        better = worse = [*better, *worse]
    return better, worse


def _unequal(found: Tested) -> UnequalTraining:
    names, permitted = found.names, found.permitted
    short = names.first if permitted.holds else names.second if permitted.fails else ""
    return UnequalTraining(found.evidence.profile, short)


def _judgeable(spec: Spec, sides: tuple[Side, Side], found: Common, *, alike: bool) -> Judgeable:
    def cases(side: Side) -> list[tuple[Case, Case]]:
        ran = [(row, found.results[row.name][0].case) for row in side.rows if row.name in measured]
        return [(case, published_case(spec, row, case)) for row, case in ran]

    measured = {name for name, results in found.results.items() if results}
    permitted = judgeable(*map(cases, sides))
    return permitted if all(permitted) or not alike else Judgeable(holds=False, fails=False)


def explain(
    spec: Spec, claim: Claim, sides: Sequence[Side], pairs: Sequence[tuple[Sides, Pair]]
) -> list[Reason]:
    """Return the smallest effect between neighbours, and what qualifies it."""
    names, smallest = min(pairs, key=lambda found: found[1].effect)
    metric = claim.metric or spec.metric
    effect = Effect(
        names,
        smallest.effect,
        smallest.interval,
        unit_of(spec, metric),
        published=claim.gap.published.text if claim.gap and claim.gap.published else "",
        metric="" if metric == spec.metric else metric,
        at_least=(claim.gap.at_least or None) if claim.gap else None,
        within=claim.within.tolerance if claim.within else None,
    )
    reasons: list[Reason] = [effect]
    if claim.order and len(sides) < len(next(iter(claim.order.values()))):
        reasons.append(OnlySides(tuple(side.name for side in sides)))
    untested = [(names, p.method) for names, p in pairs if isinstance(p.method, Untested)]
    if len(untested) < len(pairs):
        reasons += [UntestedSides(names, why) for names, why in untested]
    return reasons


def settle(drafts: Sequence[Draft]) -> list[ClaimPart]:
    """Return the parts with Holm-adjusted p values and verdicts; a table's parts are one family."""
    upheld = adjust_known([draft.p_for for draft in drafts])
    opposed = adjust_known([draft.p_against for draft in drafts])
    out = []
    for draft, p, q in zip(drafts, upheld, opposed, strict=True):
        part, verdict, reasons = draft.part, draft.part.verdict, list(draft.part.reasons)
        decisive = p
        if p is not None and p < ALPHA:
            verdict = "holds"
        elif q is not None and q < ALPHA:
            verdict, decisive = "fails", q
        if q is not None:
            least = q if p is None else min(p, q)
            reasons.append(PValue(least, p is None or q < p, verdict == "undecided"))
        elif p is not None and verdict == "undecided":
            reasons.append(PValue(p, opposite=False, inconclusive=True))
        better, worse = draft.loose
        if behind := {"holds": worse, "fails": better}.get(verdict):
            reasons.append(LooseBounds(behind))
        if part.changed:
            reasons.append(CodeChanged(part.changed))
        out.append(replace(part, verdict=verdict, p=decisive, reasons=tuple(reasons)))
    return out


def settle_all(plan: Sequence[tuple[Claim, list[Draft]]]) -> list[ClaimOutcome]:
    """Return the verdicts on claims whose parts are one family."""
    parts = iter(settle([draft for _, drafts in plan for draft in drafts]))
    return [conclude(claim, list(itertools.islice(parts, len(drafts)))) for claim, drafts in plan]


def conclude(claim: Claim, parts: Sequence[ClaimPart]) -> ClaimOutcome:
    """Return the verdict over the parts that count; undecided where none does.

    It is the first that any part has of: fails, undecided, missing, holds.
    """
    counted = counting_parts(parts)
    order: tuple[ClaimVerdict, ...] = ("fails", "undecided", "missing", "holds")
    tally = {v: sum(p.verdict == v for p in counted) for v in order}
    verdict: ClaimVerdict = next((v for v in order if tally[v]), "undecided")
    if not counted:
        reasons: tuple[Reason, ...] = (NoPartCounts(),)
    elif len(counted) == 1:
        reasons = counted[0].reasons
    else:
        reasons = (Tally(tuple(tally.items())),)
    aside = len(parts) - len(counted)
    if aside:
        reasons = (*reasons, NotCounted(aside))
    return ClaimOutcome(claim, tuple(parts), verdict, reasons)


def judge_claims(
    stored: StoredResults, profiles: Sequence[Profile], settings: Mapping[tuple[str, ...], Setting]
) -> list[ClaimOutcome]:
    """Return the verdict on every claim of the spec."""
    spec = stored.spec
    plan: list[tuple[Claim, list[Draft]]] = []
    for claim in spec.claims:
        drafts = []
        for at, sides in parts_of(spec, claim):
            draft = draft_part(stored, claim, at, sides, profiles)
            rows = [row for side in sides for row in side.rows]
            if any(is_elsewhere(spec, row, settings) for row in rows):
                reasons = (*draft.part.reasons, OtherSetting())
                draft = replace(draft, part=replace(draft.part, counts=False, reasons=reasons))
            drafts.append(draft)
        plan.append((claim, drafts or [missing_part({}, NoRows())]))
    return settle_all(plan)
