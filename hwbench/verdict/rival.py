"""A user's own rows against the best of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwbench.spec import Claim, Gap, Profile, Row, label, variants
from hwbench.verdict.claim import Draft, make_draft, missing_part, settle_all
from hwbench.verdict.contrast import Question, Sample, contrast
from hwbench.verdict.evidence import (
    StoredResults,
    lost_seeds,
    measure,
    same_points,
    values_by_seed,
)
from hwbench.verdict.facts import Method
from hwbench.verdict.outcome import ClaimOutcome, Pair
from hwbench.verdict.reasons import (
    Lead,
    NoCommonProfile,
    NoResults,
    NothingPublished,
    OtherMetric,
    Untested,
)
from hwbench.verdict.spread import (
    all_deterministic,
    doubt,
    draw_variance,
    monte_carlo_variance,
    no_spread,
    spread_over_seeds,
)
from hwbench.verdict.statistics import prediction


def versus(
    stored: StoredResults, mine: StoredResults, profiles: Sequence[Profile]
) -> list[ClaimOutcome]:
    """Compare each row of the user's spec with the table's best measured and best published row.

    Rivals share every coordinate value of the row that occurs in the table; a value that does not
    occur there (the new method's name) leaves its coordinate free. They count only on the same data
    and pixels.
    """
    spec = stored.spec
    plan: list[tuple[Claim, list[Draft]]] = []
    for row in mine.spec.rows:
        pinned = {
            k: v for k, v in row.at.items() if any(str(r.at.get(k)) == str(v) for r in spec.rows)
        }
        rivals = [r for r in spec.rows if r.matches(pinned)]
        text = f"{label(row.at)} ({mine.spec.id}) beats the rows of {spec.id}"
        claim = Claim(id=f"against/{row.name}", text=text, gap=Gap(better=row.at, worse={}))
        if mine.spec.metric != spec.metric or mine.spec.better != spec.better:
            other = OtherMetric(mine.spec.id, mine.spec.metric, mine.spec.better, spec.metric)
            drafts = [missing_part({}, other)]
        else:
            drafts = [_against_measured(stored, mine, row, rivals, profiles)]
            drafts.append(_against_published(stored, mine, row, rivals, profiles))
        plan.append((claim, drafts))
    return settle_all(plan)


def _against_measured(
    stored: StoredResults,
    mine: StoredResults,
    row: Row,
    rivals: Sequence[Row],
    profiles: Sequence[Profile],
) -> Draft:
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
            question = Question(
                Sample([own], all_deterministic(mine.spec, [row])),
                Sample([group], all_deterministic(spec, [rival])),
                spec.metric,
                spec.better,
            )
            pair = contrast(question, stored.store)
            if isinstance(pair, Untested):
                return missing_part(at, pair)
            lost = lost_seeds(mine, [row], profile, spec.metric)
            lost = lost or lost_seeds(stored, [rival], profile, spec.metric)
            lead = Lead(pair.effect, pair.interval, spec.unit, label(rival.at))
            changed = [label(row.at)] if mine.changed(own) else []
            changed += [label(rival.at)] if stored.changed(group) else []
            return make_draft(at, pair, profile, [lead], [lost], changed)
    return missing_part({"against": "best measured"}, NoCommonProfile(same_data=True))


def _against_published(
    stored: StoredResults,
    mine: StoredResults,
    row: Row,
    rivals: Sequence[Row],
    profiles: Sequence[Profile],
) -> Draft:
    spec = stored.spec
    sign = 1.0 if spec.better == "higher" else -1.0
    own = measure(mine, row, profiles)
    if own.mean is None or own.profile is None:
        return missing_part({"against": "best published"}, NoResults("", (label(row.at),)))
    case = own.results[0].case
    rated = [
        (sign * published.value, rival, published)
        for rival in rivals
        if (published := spec.judged(rival)) is not None
        and not rival.incomparable
        and (spec.known(rival) != "memory" or spec.confidence(rival) == "high")
        and same_points(variants(spec, rival, "full", 0)[0], case)
    ]
    if not rated:
        return missing_part({"against": "best published"}, NothingPublished(same_data=True))
    _, rival, published = max(rated, key=lambda item: item[0])
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
    return make_draft(at, pair, own.profile, [lead], [lost], changed)
