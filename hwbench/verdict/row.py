"""The verdict on a row: an equivalence test against its margin."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from hwbench.spec import PROFILES, Profile, Row, Spec, label, seeds_of
from hwbench.store import Result
from hwbench.verdict.calibration import Setting, place_of, same_value
from hwbench.verdict.evidence import Measured, StoredResults, values_by_seed
from hwbench.verdict.facts import Flag
from hwbench.verdict.outcome import RowOutcome, Verdict
from hwbench.verdict.reasons import (
    Distance,
    DrawNotCounted,
    Ended,
    Fitted,
    FromMemory,
    LooseBounds,
    NoMargin,
    NoSpread,
    NothingPublished,
    NotMeasured,
    NotRun,
    OtherData,
    OutOfDate,
    Position,
    Reason,
    Reduced,
    Selection,
    Stated,
)
from hwbench.verdict.reduction import Departure, departures, published_case
from hwbench.verdict.spread import (
    doubt,
    draw_variance,
    is_loose,
    monte_carlo_variance,
    no_spread,
    notable_doubt,
    spread_over_seeds,
    with_doubt,
)
from hwbench.verdict.statistics import Estimate, prediction


def absence(stored: StoredResults, row: Row, profiles: Sequence[Profile]) -> tuple[Verdict, Reason]:
    """Return why a row has no number."""
    metric = stored.spec.metric
    found = [(profile, stored.evidence(row, profile)) for profile in profiles]
    kinds: tuple[Literal["failed", "missing"], ...] = ("failed", "missing")
    for kind, (profile, evidence) in itertools.product(kinds, found):
        ended = [failure for failure in evidence.failures if failure.kind == kind]
        if ended:
            seed, reason = ended[0].case.seed, ended[0].reason
            return kind, Ended(profile, seed, reason, len(ended) - 1)
    for profile, evidence in found:
        first = next(itertools.chain(*evidence.runs), None)
        if first is not None:
            return "missing", NotMeasured(profile, metric, tuple(sorted(first.metrics)))
    if any(evidence.stale for _, evidence in found):
        return "missing", OutOfDate()
    return "missing", NotRun()


def position(spec: Spec, estimate: Estimate, margin: float) -> tuple[Verdict, Position]:
    """Judge measured − published against ± margin by its interval."""
    interval, half = estimate.interval(), estimate.half_width()
    verdict: Verdict
    where: Literal["inside", "better", "worse", "across"]
    if -margin <= interval.low and interval.high <= margin:
        verdict, where = "agrees", "inside"
    elif interval.low > margin or interval.high < -margin:
        better = (interval.low > margin) == (spec.better == "higher")
        verdict = where = "better" if better else "worse"
    else:
        verdict, where = "undecided", "across"
    return verdict, Position(where, interval, margin, spec.unit, half)


def _flags(stored: StoredResults, measured: Measured) -> tuple[Flag, ...]:
    spec, results, flags = stored.spec, measured.results, []
    row, profile = measured.row, measured.profile
    if profile == "smoke":
        flags.append(Flag("smoke"))
    if measured.stand_in:
        flags.append(Flag("stand-in", measured.stand_in))
    if nats := notable_doubt(doubt(results, spec.metric)):
        flags.append(Flag("log Z", (nats,)))
    if any(r.metrics[spec.metric].kind == "score" for r in results):
        flags.append(Flag("score"))
    if spec.judged(row) is not None and spec.known(row) == "memory":
        flags.append(Flag("memory"))
    flags += [Flag("plugin", (name,)) for name in sorted({p for r in results for p in r.plugins})]
    fuller = PROFILES[PROFILES.index(profile) :] if profile else PROFILES
    if any(stored.evidence(row, at).stale for at in fuller):
        flags.append(Flag("stale"))
    movements = stored.movements(results)
    if None in movements:
        flags.append(Flag("changed"))
    elif movements and profile:
        farthest = max(share for share in movements if share is not None)
        flags.append(Flag("equivalent", (farthest, profile)))
    lost = stored.evidence(row, profile).lost(spec.metric) if profile else []
    if lost:
        flags.append(Flag("lost", (len(lost),)))
    return tuple(flags)


def departed(spec: Spec, measured: Measured) -> tuple[Departure, ...]:
    """Return where results below full depart from the case at full."""
    if measured.profile in (None, "full"):
        return ()
    ran = measured.results[0].case
    return departures(ran, published_case(spec, measured.row, ran))


def differs_in_source(row: Row) -> bool:
    """Return whether the original source gives another number than the document."""
    return row.source is not None and (
        row.published is None or row.published.text != row.source.text
    )


def _verdict(
    stored: StoredResults,
    measured: Measured,
    profiles: Sequence[Profile],
    setting: Setting | None,
    difference: float | None,
    estimate: Estimate | None,
) -> tuple[Verdict, tuple[Reason, ...]]:
    """Ask the questions of `docs/verdicts.md` in their order; the first that applies decides."""
    spec, row, profile = stored.spec, measured.row, measured.profile
    if profile is None:
        verdict, reason = absence(stored, row, profiles)
        return verdict, (reason,)
    if difference is None:
        return "unpublished", (NothingPublished(),)
    if row.incomparable is not None:
        return "incomparable", (Stated(row.incomparable),)
    by_source = spec.judged(row) is row.source and differs_in_source(row)
    scale = estimate.half_width() if estimate else None
    away = Distance(difference, scale, spec.unit, by_source)
    if profile != "full":
        others = (d.name for d in departed(spec, measured) if not d.length)
        reduced = Reduced(profile, measured.stand_in, tuple(others))
        return "reduced", (reduced,) if measured.stand_in else (reduced, away)
    if measured.stand_in:
        return "incomparable", (OtherData(*measured.stand_in),)
    if setting is not None:
        if setting.open:
            return "undecided", (setting.reason,)
        if setting.chosen == row:
            return "calibrated", (setting.reason, Fitted())
        if setting.chosen is None or not same_value(spec, row, setting.chosen):
            return "incomparable", (setting.reason,)
    sure = spec.confidence(row)
    if spec.known(row) == "memory" and sure != "high":
        return "undecided", (FromMemory(sure), away)
    if estimate is None:
        return "undecided", (NoSpread(no_spread(measured.sd)), away)
    margin = spec.margin(row)
    if margin is None:
        return "undecided", (NoMargin(),)
    verdict, where = position(spec, estimate, margin)
    lost = stored.evidence(row, profile).lost(spec.metric)
    if lost and verdict in ("agrees", "better"):
        return "undecided", (Selection(len(lost)), where)
    return verdict, (where,)


def judge_row(
    stored: StoredResults,
    measured: Measured,
    profiles: Sequence[Profile],
    setting: Setting | None,
) -> RowOutcome:
    """Return the outcome of one row."""
    spec, row, results = stored.spec, measured.row, measured.results
    published = spec.judged(row)
    difference = (
        None if measured.mean is None or published is None else measured.mean - published.value
    )
    estimate: Estimate | None = None
    notes: list[Reason] = []
    spread = spread_over_seeds(stored, measured)
    if difference is not None and published is not None and spread is not None:
        draw = draw_variance(results, spec.metric, published, stored.store)
        if draw is None:
            notes.append(DrawNotCounted())
        estimate = prediction(
            difference,
            spread,
            len(results),
            published.error,
            published.rounding,
            spec.trials(row),
            draw or 0.0,
            monte_carlo_variance(results, spec.metric),
        )
        estimate = with_doubt(estimate, spec.better, doubt(results, spec.metric))
    verdict, reasons = _verdict(stored, measured, profiles, setting, difference, estimate)
    if verdict == "worse" and is_loose(results, spec.metric):
        notes.append(LooseBounds((label(row.at),)))
    fuller = profiles[: profiles.index(measured.profile)] if measured.profile else ()
    notes += [absence(stored, row, [p])[1] for p in fuller if stored.evidence(row, p).failures]
    errors = [r.metrics[spec.metric].se for r in results]
    points = [se for se in errors if se is not None and math.isfinite(se)]
    return RowOutcome(
        row=row,
        results=tuple(results),
        profile=measured.profile,
        mean=measured.mean,
        sd=measured.sd,
        se_points=float(np.mean(points)) if points else None,
        published=published,
        difference=difference,
        interval=estimate.interval() if estimate else None,
        smallest=estimate.half_width() if estimate else None,
        verdict=verdict,
        reasons=(*reasons, *notes),
        flags=_flags(stored, measured),
        expected_seeds=seeds_of(spec, row, measured.profile or profiles[0]),
        also=_also(row, results),
        departures=departed(spec, measured),
    )


def _also(row: Row, results: Sequence[Result]) -> dict[str, tuple[float | None, float | None]]:
    out: dict[str, tuple[float | None, float | None]] = {}
    for name, published in (row.also or {}).items():
        values = list(values_by_seed(results, name).values())
        out[name] = (float(np.mean(values)) if values else None, published)
    return out


def row_outcomes(
    stored: StoredResults,
    profiles: Sequence[Profile],
    settings: Mapping[tuple[str, ...], Setting],
    measured: Mapping[str, Measured],
) -> list[RowOutcome]:
    """Return the outcomes of all rows of a spec."""
    spec = stored.spec
    out = []
    for row in spec.rows:
        setting = settings.get(place_of(spec, row)) if spec.calibrate else None
        out.append(judge_row(stored, measured[row.name], profiles, setting))
    return out
