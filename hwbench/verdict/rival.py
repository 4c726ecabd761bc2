"""A user's own rows against the best of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwbench.spec import Claim, Gap, Profile, Row, variants
from hwbench.verdict.claim import Draft, make_draft, missing_part, settle_all
from hwbench.verdict.contrast import contrast
from hwbench.verdict.evidence import (
    OnFile,
    label,
    lost_reason,
    measure,
    same_points,
    values_by_seed,
)
from hwbench.verdict.outcome import ClaimOutcome, Pair
from hwbench.verdict.spread import doubt, draw_variance, one_seed_only, spread_over_seeds
from hwbench.verdict.statistics import prediction
from hwbench.verdict.wording import effect_text, no_spread_reason, seeds_text


def versus(on_file: OnFile, mine: OnFile, profiles: Sequence[Profile]) -> list[ClaimOutcome]:
    """Set each row of the user's spec against the table's best measured and best published row.

    Rivals have the row's own value of every coordinate that the table knows it by; a value that
    the table does not have (the new method's name) leaves its coordinate free. They count only on
    the same data and pixels.
    """
    spec = on_file.spec
    plan: list[tuple[Claim, list[Draft]]] = []
    for row in mine.spec.rows:
        pinned = {
            k: v for k, v in row.at.items() if any(str(r.at.get(k)) == str(v) for r in spec.rows)
        }
        rivals = [r for r in spec.rows if r.matches(pinned)]
        text = f"{label(row)} ({mine.spec.id}) beats the rows of {spec.id}"
        claim = Claim(id=f"against/{row.name}", text=text, gap=Gap(better=row.at, worse={}))
        if mine.spec.metric != spec.metric or mine.spec.better != spec.better:
            own = f"{mine.spec.metric} ({mine.spec.better} is better)"
            why = f"{mine.spec.id} measures {own}, not {spec.metric}"
            drafts = [missing_part({}, why)]
        else:
            drafts = [_against_measured(on_file, mine, row, rivals, profiles)]
            drafts.append(_against_published(on_file, mine, row, rivals, profiles))
        plan.append((claim, drafts))
    return settle_all(plan)


def _against_measured(
    on_file: OnFile, mine: OnFile, row: Row, rivals: Sequence[Row], profiles: Sequence[Profile]
) -> Draft:
    spec = on_file.spec
    sign = 1.0 if spec.better == "higher" else -1.0
    for profile in profiles:
        for own in mine.at(row, profile).measured(spec.metric):
            found = [
                (
                    sign * float(np.mean([*values_by_seed(group, spec.metric).values()])),
                    rival,
                    group,
                )
                for rival in rivals
                for group in on_file.at(rival, profile).measured(spec.metric)
                if same_points(group[0].case, own[0].case)
            ]
            if not found:
                continue
            _, rival, group = max(found, key=lambda item: item[0])
            at = {"against": f"best measured: {label(rival)}"}
            single = one_seed_only(mine.spec, [row]), one_seed_only(spec, [rival])
            pair = contrast([own], [group], spec.metric, spec.better, on_file.store, single=single)
            if isinstance(pair, str):
                return missing_part(at, pair)
            lost = lost_reason(mine, [row], profile, spec.metric)
            lost = lost or lost_reason(on_file, [rival], profile, spec.metric)
            reason = f"{effect_text(pair, spec.unit)} over {label(rival)}"
            ran = ((row, own), (rival, group))
            changed = [label(r) for r, of in ran if on_file.changed(of)]
            return make_draft(at, pair, profile, reason, lost, changed)
    return missing_part(
        {"against": "best measured"}, "no profile has results of both on the same data"
    )


def _against_published(
    on_file: OnFile, mine: OnFile, row: Row, rivals: Sequence[Row], profiles: Sequence[Profile]
) -> Draft:
    spec = on_file.spec
    sign = 1.0 if spec.better == "higher" else -1.0
    own = measure(mine, row, profiles)
    if own.mean is None or own.profile is None:
        return missing_part({"against": "best published"}, f"no results of {label(row)}")
    case = own.results[0].case
    printed = [
        (sign * published.value, rival, published)
        for rival in rivals
        if (published := spec.judged(rival)) is not None
        and not rival.incomparable
        and (spec.known(rival) != "memory" or spec.confidence(rival) == "high")
        and same_points(variants(spec, rival, "full", 0)[0], case)
    ]
    if not printed:
        return missing_part({"against": "best published"}, "nothing was published on the same data")
    _, rival, published = max(printed, key=lambda item: item[0])
    effect, n = sign * (own.mean - published.value), len(own.results)
    if own.profile != "full":
        pair = Pair(effect, None, None, None, f"none: run at {own.profile}")
    elif (spread := spread_over_seeds(mine, own)) is None:
        pair = Pair(effect, None, None, None, f"none: {no_spread_reason(own.sd)}")
    else:
        draw = draw_variance(own.results, spec.metric, published, mine.store) or 0.0
        trials = spec.trials(rival)
        of = prediction(effect, spread, n, published.error, published.rounding, trials, draw)
        of = replace(of, below=doubt(own.results, spec.metric))
        test = f"prediction interval, {seeds_text(n)} against print"
        pair = Pair(effect, of.interval(), of.p_above(), of.p_below(), test)
    at = {"against": f"best published: {label(rival)}"}
    reason = f"{effect_text(pair, spec.unit)} over {published.text}"
    lost = lost_reason(mine, [row], own.profile, spec.metric)
    changed = [label(row)] if mine.changed(own.results) else []
    return make_draft(at, pair, own.profile, reason, lost, changed)
