"""The verdict on a row: an equivalence test against its margin."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from hwbench.spec import PROFILES, Profile, Row, Spec, seeds_of
from hwbench.store import Result
from hwbench.verdict.calibration import Setting, place_of, same_value
from hwbench.verdict.evidence import Measured, OnFile, values_by_seed
from hwbench.verdict.outcome import RowOutcome, Verdict
from hwbench.verdict.spread import doubt, draw_variance, spread_over_seeds, with_doubt
from hwbench.verdict.statistics import Estimate, prediction
from hwbench.verdict.wording import (
    doubt_texts,
    equivalent_text,
    no_spread_reason,
    number_text,
    range_text,
    seeds_text,
)


def absence(on_file: OnFile, row: Row, profiles: Sequence[Profile]) -> tuple[Verdict, str]:
    """Return why a row has no number."""
    metric = on_file.spec.metric
    found = [(profile, on_file.at(row, profile)) for profile in profiles]
    kinds: tuple[Literal["failed", "missing"], ...] = ("failed", "missing")
    for kind, (profile, evidence) in itertools.product(kinds, found):
        reasons = [f"seed {f.case.seed}: {f.reason}" for f in evidence.failures if f.kind == kind]
        if reasons:
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            return kind, f"{profile}, {reasons[0]}{more}"
    for profile, evidence in found:
        for result in itertools.chain(*evidence.runs):
            if metric in result.metrics:
                return "failed", f"{profile}, seed {result.case.seed}: {metric} is not a number"
            known = ", ".join(sorted(result.metrics)) or "nothing"
            return "missing", f"the {profile} results do not measure {metric} (they hold {known})"
    if any(evidence.stale for _, evidence in found):
        return "missing", "stale: the spec has changed since"
    return "missing", "not run yet"


def position(spec: Spec, estimate: Estimate, margin: float) -> tuple[Verdict, str]:
    """Judge measured − published against ± margin by its interval."""
    interval, half = estimate.interval(), estimate.half_width()
    where = f"90 % interval {range_text(interval)}"
    edge = f"±{margin:g} {spec.unit}"
    if -margin <= interval.low and interval.high <= margin:
        return "agrees", f"{where} lies inside {edge}"
    if interval.low > margin or interval.high < -margin:
        if (interval.low > margin) == (spec.better == "higher"):
            return "better", f"{where} lies beyond {edge}, on the good side"
        return "worse", f"{where} lies beyond {edge}, on the bad side"
    can = f"these seeds can tell {number_text(half, half)} {spec.unit}"
    return "undecided", f"{where} crosses the margin {edge}; {can}"


def _flags(on_file: OnFile, of: Measured) -> list[str]:
    spec, flags = on_file.spec, []
    if of.profile == "smoke":
        flags.append("smoke")
    if of.stand_in:
        flags.append(f"stand-in: {of.stand_in}")
    flags += doubt_texts(doubt(of.results, spec.metric))
    if any(r.metrics[spec.metric].kind == "score" for r in of.results):
        flags.append("score, not a likelihood")
    if spec.judged(of.row) is not None and spec.known(of.row) == "memory":
        flags.append("from memory")
    flags += [f"plugin: {name}" for name in sorted({p for r in of.results for p in r.plugins})]
    fuller = PROFILES[PROFILES.index(of.profile) :] if of.profile else PROFILES
    if any(on_file.at(of.row, profile).stale for profile in fuller):
        flags.append("stale")
    movements = on_file.movements(of.results)
    if None in movements:
        flags.append("code changed")
    elif movements and of.profile is not None:
        flags.append(equivalent_text(max(m for m in movements if m is not None), of.profile))
    lost = on_file.at(of.row, of.profile).lost(spec.metric) if of.profile else []
    if lost:
        flags.append(f"{seeds_text(len(lost))} failed")
    return flags


def differs_in_source(row: Row) -> bool:
    """Say whether the original source prints another number than the document does."""
    return row.source is not None and (
        row.published is None or row.published.text != row.source.text
    )


def _verdict(
    on_file: OnFile,
    of: Measured,
    profiles: Sequence[Profile],
    setting: Setting | None,
    difference: float | None,
    estimate: Estimate | None,
) -> tuple[Verdict, str]:
    """Ask the questions of `docs/verdicts.md` in their order; the first that applies decides."""
    spec, row = on_file.spec, of.row
    if of.profile is None:
        return absence(on_file, row, profiles)
    if difference is None:
        return "unpublished", "nothing was published to compare with"
    if row.incomparable is not None:
        return "incomparable", row.incomparable
    away = number_text(difference, estimate.half_width() if estimate else None, sign=True)
    by_source = spec.judged(row) is row.source and differs_in_source(row)
    away = f"{away} {spec.unit} from {'the source' if by_source else 'print'}"
    if of.profile != "full" and of.stand_in:
        return (
            "reduced",
            f"run at {of.profile} on other data ({of.stand_in}), so no distance counts",
        )
    if of.profile != "full":
        return "reduced", f"run at {of.profile}, not by the published protocol; {away}"
    if of.stand_in:
        return "incomparable", f"run on other data: {of.stand_in}"
    if setting is not None:
        if setting.open:
            return "undecided", setting.reason
        if setting.chosen == row:
            return "calibrated", f"{setting.reason}; it cannot agree with what it was fitted to"
        if setting.chosen is None or not same_value(spec, row, setting.chosen):
            return "incomparable", setting.reason
    sure = spec.confidence(row)
    if spec.known(row) == "memory" and sure != "high":
        return "undecided", f"published from memory ({sure} confidence), so only shown; {away}"
    if estimate is None:
        return (
            "undecided",
            f"{no_spread_reason(of.sd)}, so the spread over seeds is unknown; {away}",
        )
    margin = spec.margin(row)
    if margin is None:
        return "undecided", "the spec states no margin"
    verdict, reason = position(spec, estimate, margin)
    lost = on_file.at(row, of.profile).lost(spec.metric)
    if lost and verdict in ("agrees", "better"):
        why = f"{seeds_text(len(lost))} failed, so those that are left are a selection"
        return "undecided", f"{why}; {reason}"
    return verdict, reason


def judge_row(
    on_file: OnFile,
    of: Measured,
    profiles: Sequence[Profile],
    setting: Setting | None,
) -> RowOutcome:
    """Return the outcome of one row."""
    spec, row, published = on_file.spec, of.row, on_file.spec.judged(of.row)
    difference = None if of.mean is None or published is None else of.mean - published.value
    estimate: Estimate | None = None
    notes = []
    spread = spread_over_seeds(on_file, of)
    if difference is not None and published is not None and spread is not None:
        draw = draw_variance(of.results, spec.metric, published, on_file.store)
        if draw is None:
            notes.append("the draw of test pixels is not counted: no values per image on file")
        estimate = prediction(
            difference,
            spread,
            len(of.results),
            published.error,
            published.rounding,
            spec.trials(row),
            draw or 0.0,
        )
        estimate = with_doubt(estimate, spec.better, doubt(of.results, spec.metric))
    verdict, reason = _verdict(on_file, of, profiles, setting, difference, estimate)
    fuller = profiles[: profiles.index(of.profile)] if of.profile else ()
    notes += [absence(on_file, row, [p])[1] for p in fuller if on_file.at(row, p).failures]
    errors = [r.metrics[spec.metric].se for r in of.results]
    points = [se for se in errors if se is not None and math.isfinite(se)]
    return RowOutcome(
        row=row,
        results=of.results,
        profile=of.profile,
        mean=of.mean,
        sd=of.sd,
        se_points=float(np.mean(points)) if points else None,
        published=published,
        difference=difference,
        interval=estimate.interval() if estimate else None,
        smallest=estimate.half_width() if estimate else None,
        verdict=verdict,
        reason="; ".join([reason, *notes]),
        flags=_flags(on_file, of),
        expected_seeds=seeds_of(spec, row, of.profile or profiles[0]),
        also=_also(row, of.results),
    )


def _also(row: Row, results: Sequence[Result]) -> dict[str, tuple[float | None, float | None]]:
    out: dict[str, tuple[float | None, float | None]] = {}
    for name, published in (row.also or {}).items():
        values = list(values_by_seed(results, name).values())
        out[name] = (float(np.mean(values)) if values else None, published)
    return out


def row_outcomes(
    on_file: OnFile,
    profiles: Sequence[Profile],
    settings: Mapping[tuple[str, ...], Setting],
    measured: Mapping[str, Measured],
) -> list[RowOutcome]:
    """Return the outcomes of all rows of a spec."""
    spec = on_file.spec
    out = []
    for row in spec.rows:
        of = measured[row.name]
        setting = settings.get(place_of(spec, row)) if spec.calibrate else None
        out.append(judge_row(on_file, of, profiles, setting))
    return out
