"""Views of rows."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from hwbench import vocabulary
from hwbench.numbers import (
    count,
    counted,
    decimals,
    difference_text,
    fixed,
    interval_text,
    percent,
    short,
)
from hwbench.report.layout import placed
from hwbench.report.measured import last_validation, measured_note, number_texts, over_seeds
from hwbench.report.units import Scale, scale_of
from hwbench.report.views import RowView
from hwbench.report.words import (
    anchor,
    is_guest,
    on_other_data,
    origin_text,
    row_label,
    sentence,
    spec_of,
)
from hwbench.spec import Row, Spec, label
from hwbench.typography import NO_BREAK, clean, minus, words
from hwbench.verdict.outcome import Comparison, RowOutcome
from hwbench.verdict.reasons import Position
from hwbench.verdict.remarks import flag_text
from hwbench.verdict.row import differs_in_source


def facts(outcome: RowOutcome, metric: str) -> dict[str, str]:
    """Return what belongs beside a number: profile, seeds, estimator, K, points, pixels."""
    out: dict[str, str] = {}
    if not outcome.results:
        return out
    n = len(outcome.results)
    out["profile"] = f"{outcome.profile} profile"
    incomplete = outcome.expected_seeds > n
    out["seeds"] = f"{n} of {outcome.expected_seeds} seeds" if incomplete else counted(n, "seed")
    stored = [r.metrics[metric] for r in outcome.results if metric in r.metrics]
    if stored:
        kinds = sorted({m.kind for m in stored})
        ks = sorted({m.k for m in stored})
        if kinds != ["exact"]:
            out["estimator"] = " and ".join(
                "score, not a likelihood" if kind == "score" else kind for kind in kinds
            )
        if ks != [0]:
            many = ", ".join(count(k) for k in ks)
            annealed = all(vocabulary.LOG_Z in r.diagnostics for r in outcome.results)
            out["K"] = f"{many} annealing chains" if annealed else f"K{NO_BREAK}={NO_BREAK}{many}"
        elif kinds == ["exact"]:
            out["K"] = "exact"
        points = sorted({m.n for m in stored} - {0})
        if points:
            noun = "test point" if points == [1] else "test points"
            out["points"] = f"{', '.join(count(p) for p in points)} {noun}"
    pixels = sorted({r.case.pixels for r in outcome.results if r.case.pixels is not None})
    if pixels:
        out["pixels"] = " and ".join(map(clean, pixels)) + " pixels"
    used = sorted(
        {str(r.case.data.get("use", "")) for r in outcome.results if r.case.stands_in_for}
    )
    if used:
        out["stand-in"] = " and ".join(map(clean, used)) + " instead of the published data"
    return out


def _source(spec: Spec, row: Row) -> tuple[str, str]:
    """Return the value of the original source, and its number if the row is compared with it."""
    if row.source is None or not differs_in_source(row):
        return "", ""
    number, by_source = minus(clean(row.source.text)), spec.judged(row) is row.source
    number = scale_of(spec).printed(number)
    text = f"original source: {number}" + (", compared with it" if by_source else "")
    return text, number if by_source else ""


def _also(spec: Spec, outcome: RowOutcome) -> list[str]:
    """Return further metrics with published values, and what a search chooses by."""
    found = [
        f"{words(name)}: {over_seeds(outcome, name) or 'not measured'} (published {short(value)})"
        for name, value in (outcome.row.also or {}).items()
    ]
    searches = all(row.published is None and row.source is None for row in spec.rows)
    validation = last_validation(outcome, spec.metric) if searches else ""
    return [*found, f"last validation: {validation}"] if validation else found


def _distance(outcome: RowOutcome, scale: Scale, margin: float | None) -> dict[str, str]:
    """Return how far the row is from the published value, as the texts of its view."""
    away = on_other_data(outcome)  # no distance from the published value is meaningful
    interval = None if away else scale.interval(outcome.interval)
    half = None if interval is None else (interval.high - interval.low) / 2
    difference = None if away else scale.value(outcome.difference)
    places = decimals(scale.value(outcome.se_points), 2)
    out = {
        "difference": scale.apart(difference_text(difference, interval, places)),
        "interval": interval_text(interval),
        "level": percent(interval.level) if interval else "",
        "margin": "",
        "smallest": "",
    }
    width = scale.value(margin)
    if width is not None and outcome.published is not None:
        out["margin"] = scale.apart(f"± {short(width)}")
    said = any(isinstance(r, Position) and r.where == "across" for r in outcome.reasons)
    if not away and not said and outcome.smallest is not None:
        out["smallest"] = scale.apart(fixed(scale.value(outcome.smallest), decimals(half)))
    return out


def _command(comparison: Comparison, outcome: RowOutcome) -> str:
    """Return the command that runs a row again at its profile; '' without a result."""
    if outcome.profile is None:
        return ""
    at = ",".join(f"{name}={value}" for name, value in outcome.row.at.items())
    rows = f"--profile {outcome.profile} --rows {shlex.quote(clean(at))} --rerun all"
    return f"hwbench run {spec_of(comparison, outcome)} {rows}"


def row_views(comparison: Comparison) -> tuple[list[RowView], list[str]]:
    """Return the views of all rows, and the facts that most of them share."""
    spec = comparison.spec
    all_facts = [facts(o, spec.metric) for o in comparison.rows]
    usual = _usual(all_facts)
    published, measured = number_texts(comparison)
    places, scale = placed(spec), scale_of(spec)
    views = []
    for outcome, fact, published_text, number in zip(
        comparison.rows, all_facts, published, measured, strict=True
    ):
        flags = [clean(flag_text(f)) for f in outcome.flags if f.kind != "memory"]  # in `origin`
        origin, origin_mark = "", ""
        if outcome.row.published is not None or outcome.row.source is not None:
            origin, origin_mark = origin_text(spec, outcome.row)
        source, judged = _source(spec, outcome.row)
        views.append(
            RowView(
                anchor="--".join(
                    [anchor(spec.id), *(["against"] if is_guest(outcome) else []), outcome.row.name]
                ),
                label=row_label(outcome),
                rest=label(outcome.row.at, without=places),
                published=published_text,
                origin=origin,
                origin_mark=origin_mark,
                source=source,
                judged=judged,
                measured=number,
                measured_note=measured_note(outcome, scale),
                facts=[v for k, v in fact.items() if k != "stand-in"],  # a flag says it
                own=[
                    v for k, v in fact.items() if usual.get(k) != v and str(k) not in outcome.row.at
                ],
                **_distance(outcome, scale, spec.margin(outcome.row)),
                profile=outcome.profile or "",
                verdict=outcome.verdict,
                reason=sentence(outcome.reason),
                flags=list(dict.fromkeys(flags)),
                also=_also(spec, outcome),
                note=minus(clean(outcome.row.note or "")),
                command=_command(comparison, outcome),
            )
        )
    return views, list(usual.values())


def _usual(all_facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the facts that most measured rows share; beside a row, only exceptions are shown."""
    run = [f for f in all_facts if f]
    out = {}
    for name in dict.fromkeys(n for f in run for n in f):
        (value, n), *_ = Counter(f.get(name, "") for f in run).most_common()
        if value and 2 * n > len(run):
            out[name] = value
    return out
