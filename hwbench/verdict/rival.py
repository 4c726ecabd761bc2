"""A user's own rows against the best of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwbench.spec import Case, Claim, Gap, Profile, Row, label, variants
from hwbench.verdict.claim import Draft, make_draft, missing_part, settle_all
from hwbench.verdict.contrast import Question, Sample, contrast
from hwbench.verdict.evidence import (
    StoredResults,
    lost_seeds,
    measure,
    same_points,
    values_by_seed,
)
from hwbench.verdict.facts import Method, Notice
from hwbench.verdict.outcome import ClaimOutcome, Pair, counting_parts
from hwbench.verdict.pairing import Pairing, pairing
from hwbench.verdict.reasons import (
    Differs,
    Lead,
    NoResults,
    NothingPublished,
    OtherMetric,
    Reason,
    Untested,
)
from hwbench.verdict.spread import (
    all_deterministic,
    doubt,
    draw_variance,
    is_loose,
    monte_carlo_variance,
    no_spread,
    spread_over_seeds,
)
from hwbench.verdict.statistics import prediction

MOST = 6  # names in a reason

AGAINST = "against/"  # begins the id of the claim that a row of the user's own spec is better


def versus(
    stored: StoredResults, mine: StoredResults, profiles: Sequence[Profile]
) -> tuple[list[ClaimOutcome], list[Pairing]]:
    """Compare each row of the user's spec with the table's best measured and best published row.

    Returns the verdicts, and each row beside its rival. A missing comparison counts only if both
    are missing.

    Rivals share every coordinate value of the row that occurs in the table; a value that does not
    occur there (the new method's name) leaves its coordinate free. They count only on the same data
    and pixels.
    """
    spec = stored.spec
    plan: list[tuple[Claim, list[Draft]]] = []
    pairings: list[Pairing] = []
    for row in mine.spec.rows:
        pinned = {
            k: v for k, v in row.at.items() if any(str(r.at.get(k)) == str(v) for r in spec.rows)
        }
        rivals = [r for r in spec.rows if r.matches(pinned)]
        text = f"{label(row.at)} ({mine.spec.id}) beats the rows of {spec.id}"
        claim = Claim(id=AGAINST + row.name, text=text, gap=Gap(better=row.at, worse={}))
        if mine.spec.metric != spec.metric or mine.spec.better != spec.better:
            other = OtherMetric(mine.spec.id, mine.spec.metric, mine.spec.better, spec.metric)
            drafts = [missing_part({}, other)]
        else:
            measured, published = (
                against(stored, mine, row, rivals, profiles)
                for against in (_against_measured, _against_published)
            )
            drafts = [measured[0], published[0]]
            pairings += [p for _, p in (measured, published) if p is not None][:1]
        plan.append((claim, _found_first(drafts)))
    return [_headline(outcome) for outcome in settle_all(plan)], pairings


def _found_first(drafts: list[Draft]) -> list[Draft]:
    """Return drafts in which missing ones do not count, unless all are missing."""
    if all(draft.part.verdict == "missing" for draft in drafts):
        return drafts
    return [replace(d, part=replace(d.part, counts=d.part.verdict != "missing")) for d in drafts]


def _headline(outcome: ClaimOutcome) -> ClaimOutcome:
    """Return a verdict with the finding as its reason."""
    leads = [
        r for part in counting_parts(outcome.parts) for r in part.reasons if isinstance(r, Lead)
    ]
    return replace(outcome, reasons=tuple(leads) or outcome.reasons)


def unequal_budgets(pair: Pairing) -> Notice:
    """Return a warning about unequal training budgets."""
    ratios = [
        (trait.name, float(trait.mine) / float(trait.theirs))
        for trait in pair.unequal
        if trait.mine and trait.theirs
    ]
    names, numbers = zip(*ratios, strict=True)
    return Notice("budget", (pair.rival, *names), numbers, pair.spec, pair.row)


def _data_apart(case: Case, others: Sequence[Case]) -> Differs:
    """Return how a case differs from others: in data set, in pixels, or in their combination."""
    cases = (case, *others)
    mine, *theirs = ({"data": str(c.data.get("use")), "pixels": str(c.pixels)} for c in cases)
    for key, value in mine.items():
        found = dict.fromkeys(other[key] for other in theirs)
        if value not in found:
            return Differs(key, value, tuple(found))
    own, *rest = (" with ".join(place.values()) for place in (mine, *theirs))
    return Differs(" with ".join(mine), own, tuple(dict.fromkeys(rest)))


def _apart(
    stored: StoredResults,
    mine: StoredResults,
    row: Row,
    rivals: Sequence[Row],
    profiles: Sequence[Profile],
) -> Reason:
    """Return why no result of a row can be compared with results of the table."""
    metric = stored.spec.metric

    def measured(store: StoredResults, rows: Sequence[Row]) -> dict[Profile, list[Case]]:
        found = {
            p: [g[0].case for r in rows for g in store.evidence(r, p).measured(metric)]
            for p in profiles
        }
        return {p: cases for p, cases in found.items() if cases}

    own, theirs = measured(mine, [row]), measured(stored, rivals)
    if not own:
        return NoResults(metric, (label(row.at),))
    if not rivals:
        names = [k for k in row.at if any(k in r.at for r in stored.spec.rows)]
        places = [", ".join(str(r.at.get(k)) for k in names) for r in (row, *stored.spec.rows)]
        return Differs(", ".join(names), places[0], tuple(dict.fromkeys(places[1:]))[:MOST])
    if not theirs:
        return NoResults(metric, tuple(label(r.at) for r in rivals)[:MOST])
    common = [p for p in own if p in theirs]
    if not common:
        return Differs("profile", " or ".join(own), tuple(theirs))
    return _data_apart(own[common[0]][0], theirs[common[0]])


def _against_measured(
    stored: StoredResults,
    mine: StoredResults,
    row: Row,
    rivals: Sequence[Row],
    profiles: Sequence[Profile],
) -> tuple[Draft, Pairing | None]:
    spec = stored.spec
    sign = 1.0 if spec.better == "higher" else -1.0
    for profile in profiles:
        for own in mine.evidence(row, profile).measured(spec.metric):
            found = [
                (
                    sign * float(np.mean([*values_by_seed(group, spec.metric).values()])),
                    rival,
                    group,
                )
                for rival in rivals
                for group in stored.evidence(rival, profile).measured(spec.metric)
                if same_points(group[0].case, own[0].case)
            ]
            if not found:
                continue
            _, rival, group = max(found, key=lambda item: item[0])
            at = {"against": f"best measured: {label(rival.at)}"}
            names = (mine.spec.id, label(row.at), label(rival.at))
            beside = pairing(names, own, group[0].case, group)
            question = Question(
                Sample([own], all_deterministic(mine.spec, [row])),
                Sample([group], all_deterministic(spec, [rival])),
                spec.metric,
                spec.better,
            )
            pair = contrast(question, stored.store)
            if isinstance(pair, Untested):
                return missing_part(at, pair), beside
            lost = lost_seeds(mine, [row], profile, spec.metric)
            lost = lost or lost_seeds(stored, [rival], profile, spec.metric)
            lead = Lead(pair.effect, pair.interval, spec.unit, label(rival.at))
            changed = [label(row.at)] if mine.changed(own) else []
            changed += [label(rival.at)] if stored.changed(group) else []
            loose = (
                [label(row.at)] if is_loose(own, spec.metric) else [],
                [label(rival.at)] if is_loose(group, spec.metric) else [],
            )
            draft = make_draft(at, pair, profile, [lead], [lost], changed, loose=loose)
            return draft, beside
    return missing_part(
        {"against": "best measured"}, _apart(stored, mine, row, rivals, profiles)
    ), None


def _against_published(
    stored: StoredResults,
    mine: StoredResults,
    row: Row,
    rivals: Sequence[Row],
    profiles: Sequence[Profile],
) -> tuple[Draft, Pairing | None]:
    spec = stored.spec
    sign = 1.0 if spec.better == "higher" else -1.0
    own = measure(mine, row, profiles)
    if own.mean is None or own.profile is None:
        return missing_part({"against": "best published"}, NoResults("", (label(row.at),))), None
    case = own.results[0].case
    named = [
        (sign * published.value, rival, published)
        for rival in rivals
        if (published := spec.judged(rival)) is not None
        and not rival.incomparable
        and (spec.known(rival) != "memory" or spec.confidence(rival) == "high")
    ]
    full = {rival.name: variants(spec, rival, "full", 0)[0] for _, rival, _ in named}
    rated = [item for item in named if same_points(full[item[1].name], case)]
    if not rated:
        why = _data_apart(case, list(full.values())) if full else NothingPublished()
        return missing_part({"against": "best published"}, why), None
    _, rival, published = max(rated, key=lambda item: item[0])
    names = (mine.spec.id, label(row.at), label(rival.at))
    beside = pairing(names, own.results, full[rival.name], [])
    effect, n = sign * (own.mean - published.value), len(own.results)
    if own.profile != "full":
        pair = Pair(effect, None, None, None, Untested("reduced", own.profile))
    elif (spread := spread_over_seeds(mine, own)) is None:
        pair = Pair(effect, None, None, None, no_spread(own.sd))
    else:
        draw = draw_variance(own.results, spec.metric, published, mine.store) or 0.0
        trials = spec.trials(rival)
        noise = monte_carlo_variance(own.results, spec.metric)
        error, rounding = published.error, published.rounding
        estimate = prediction(effect, spread, n, error, rounding, trials, draw, noise)
        estimate = replace(estimate, below=doubt(own.results, spec.metric))
        method = Method("prediction", (n,))
        pair = Pair(effect, estimate.interval(), estimate.p_above(), estimate.p_below(), method)
    at = {"against": f"best published: {label(rival.at)}"}
    lead = Lead(pair.effect, pair.interval, spec.unit, published.text)
    lost = lost_seeds(mine, [row], own.profile, spec.metric)
    changed = [label(row.at)] if mine.changed(own.results) else []
    loose = [label(row.at)] if is_loose(own.results, spec.metric) else []
    return make_draft(at, pair, own.profile, [lead], [lost], changed, loose=(loose, [])), beside
