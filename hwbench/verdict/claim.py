"""The verdict on a claim over all its parts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hwbench.spec import PROFILES, Claim, Profile, Row, Scalar, Spec
from hwbench.verdict.calibration import Setting, is_elsewhere
from hwbench.verdict.contrast import contrast, weakest_pair
from hwbench.verdict.evidence import OnFile, evidence_for, label, lost_reason
from hwbench.verdict.outcome import ClaimOutcome, ClaimPart, ClaimVerdict, Pair, counting_parts
from hwbench.verdict.spread import one_seed_only
from hwbench.verdict.statistics import ALPHA, adjust_known
from hwbench.verdict.wording import effect_text


@dataclass(frozen=True)
class Side:
    """One of the groups of rows that a claim compares; values are averaged over rows, by seed."""

    name: str
    rows: list[Row]


@dataclass(frozen=True)
class Draft:
    """A part of a claim before the p values are adjusted for their number."""

    part: ClaimPart
    p_for: float | None = None
    p_against: float | None = None


def parts_of(spec: Spec, claim: Claim) -> list[tuple[dict[str, Scalar], list[Side]]]:
    """Return the combinations of coordinates that a claim holds equal, each with its sides.

    Sides stand best first. Values of an order that have no row at a combination are left out
    there; what is left with one side is no part.
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


def missing_part(at: Mapping[str, object], reason: str) -> Draft:
    """Return a part that could not be tested, with the reason."""
    return Draft(ClaimPart(dict(at), "missing", None, None, None, "", None, reason))


def make_draft(
    at: Mapping[str, object],
    pair: Pair,
    profile: Profile,
    reason: str,
    lost: str,
    changed: Iterable[str],
) -> Draft:
    """Return a part as its test left it; with lost seeds it stays undecided."""
    if pair.p_for is None and pair.p_against is None:
        reason += f"; {pair.test.removeprefix('none: ')}"
    if lost:
        reason += f"; {lost}"
    part = ClaimPart(
        at=dict(at),
        verdict="undecided",
        effect=pair.effect,
        interval=pair.interval,
        p=None,
        test=pair.test,
        profile=profile,
        reason=reason,
        changed=list(dict.fromkeys(changed)),
    )
    return Draft(part) if lost else Draft(part, pair.p_for, pair.p_against)


def draft_part(
    on_file: OnFile,
    claim: Claim,
    at: Mapping[str, Scalar],
    sides: Sequence[Side],
    profiles: Sequence[Profile],
) -> Draft:
    """Test one part of a claim; an order needs every neighbours' gap (intersection-union)."""
    spec = on_file.spec
    metric, better = claim.metric or spec.metric, claim.better or spec.better
    unit = spec.unit if metric == spec.metric else ""
    threshold = claim.gap.at_least if claim.gap else 0.0
    tolerance = claim.within.tolerance if claim.within else None
    pairs: dict[str, Pair] = {}
    used: list[Profile] = []
    lost: list[str] = []
    changed: list[str] = []
    for a, b in itertools.pairwise(sides):
        rows = [*a.rows, *b.rows]
        found = evidence_for(on_file, rows, metric, profiles)
        if isinstance(found, str):
            return missing_part(at, found)
        profile, results = found
        groups = [[results[row.name] for row in side.rows] for side in (a, b)]
        single = one_seed_only(spec, a.rows), one_seed_only(spec, b.rows)
        pair = contrast(
            groups[0], groups[1], metric, better, on_file.store, threshold, tolerance, single
        )
        if isinstance(pair, str):
            return missing_part(at, f"{a.name} and {b.name}: {pair}")
        pairs[f"{a.name} {'over' if tolerance is None else 'and'} {b.name}"] = pair
        used.append(profile)
        lost.append(lost_reason(on_file, rows, profile, metric))
        changed += [label(row) for row in rows if on_file.changed(results[row.name])]
    name = min(pairs, key=lambda name: pairs[name].effect)
    reason = f"{name}: {effect_text(pairs[name], unit)}"
    if claim.gap and claim.gap.published:
        reason += f", published {claim.gap.published.text}"
    if claim.order and len(sides) < len(next(iter(claim.order.values()))):
        reason += f"; here only {', '.join(side.name for side in sides)} have rows"
    pair = weakest_pair(list(pairs.values()))
    if pair.p_for is None and pair.p_against is not None:
        untested = {n: p.test.removeprefix("none: ") for n, p in pairs.items() if p.p_for is None}
        reason += "".join(f"; {name} cannot be tested: {why}" for name, why in untested.items())
    lowest = min(used, key=PROFILES.index)
    return make_draft(
        at, pair, lowest, reason, "; ".join(dict.fromkeys(filter(None, lost))), changed
    )


def settle(drafts: Sequence[Draft]) -> list[ClaimPart]:
    """Return the parts with Holm-adjusted p values and verdicts; a table's parts are one family."""
    upheld = adjust_known([draft.p_for for draft in drafts])
    opposed = adjust_known([draft.p_against for draft in drafts])
    out = []
    for draft, p, q in zip(drafts, upheld, opposed, strict=True):
        part, verdict, says = draft.part, draft.part.verdict, ""
        if q is not None:
            says = f"p = {q:.2g} for the opposite" if p is None or q < p else f"p = {p:.2g}"
        if p is not None and p < ALPHA:
            verdict = "holds"
        elif q is not None and q < ALPHA:
            verdict, p = "fails", q
        if says:
            says = f" ({says}{', too little to tell' * (verdict == 'undecided')})"
        if part.changed:
            says += f"; the code has changed since {', '.join(part.changed)} ran"
        out.append(replace(part, verdict=verdict, p=p, reason=part.reason + says))
    return out


def settle_all(plan: Sequence[tuple[Claim, list[Draft]]]) -> list[ClaimOutcome]:
    """Return the verdicts on claims whose parts are one family."""
    parts = iter(settle([draft for _, drafts in plan for draft in drafts]))
    return [conclude(claim, list(itertools.islice(parts, len(drafts)))) for claim, drafts in plan]


def conclude(claim: Claim, parts: list[ClaimPart]) -> ClaimOutcome:
    """Return the verdict over the parts that count; undecided where none does.

    It is the first that any part has of: fails, undecided, missing, holds.
    """
    counted = counting_parts(parts)
    order: tuple[ClaimVerdict, ...] = ("fails", "undecided", "missing", "holds")
    tally = {v: sum(p.verdict == v for p in counted) for v in order}
    verdict: ClaimVerdict = next((v for v in order if tally[v]), "undecided")
    if not counted:
        reason = "no part has the setting that was chosen"
    elif len(counted) == 1:
        reason = counted[0].reason
    else:
        words = ", ".join(f"{v} in {n}" for v, n in tally.items() if n)
        reason = f"of {len(counted)} parts: {words}"
    aside = len(parts) - len(counted)
    return ClaimOutcome(
        claim, parts, verdict, reason + (f"; {aside} shown but not counted" if aside else "")
    )


def judge_claims(
    on_file: OnFile, profiles: Sequence[Profile], settings: Mapping[tuple[str, ...], Setting]
) -> list[ClaimOutcome]:
    """Return the verdict on every claim of the spec."""
    spec = on_file.spec
    plan: list[tuple[Claim, list[Draft]]] = []
    for claim in spec.claims:
        drafts = []
        for at, sides in parts_of(spec, claim):
            draft = draft_part(on_file, claim, at, sides, profiles)
            rows = [row for side in sides for row in side.rows]
            if any(is_elsewhere(spec, row, settings) for row in rows):
                reason = f"{draft.part.reason}; not the setting that calibration chose"
                draft = replace(draft, part=replace(draft.part, counts=False, reason=reason))
            drafts.append(draft)
        plan.append((claim, drafts or [missing_part({}, "the spec has no rows that it compares")]))
    return settle_all(plan)
