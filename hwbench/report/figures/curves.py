"""Learning curves and other stored curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hwbench import vocabulary
from hwbench.report.figures.canvas import Picture
from hwbench.report.figures.lines import Frame, Line, alike, describe_lines, line_plot
from hwbench.report.layout import group_key, panel_of
from hwbench.report.measured import published_value
from hwbench.report.words import on_other_data, row_label
from hwbench.spec import Figure as Wanted
from hwbench.spec import coordinate
from hwbench.store import Result, StoredCurve
from hwbench.typography import clean, words
from hwbench.verdict.outcome import Comparison, RowOutcome

HEADINGS = {vocabulary.TRAIN: "Training", vocabulary.VALIDATION: "Validation"}


def average_curve(
    curves: Sequence[StoredCurve],
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return x, mean and standard error over seeds, at the points that all seeds share."""
    seeds = [dict(zip(curve.x, curve.y, strict=False)) for curve in curves]
    shared = sorted(set.intersection(*map(set, seeds))) if seeds else []
    x = np.array(shared, dtype=float)
    points = np.array([[seed[v] for v in shared] for seed in seeds], dtype=float)  # [seeds, points]
    y = points.mean(0)
    if len(curves) > 1:
        error = points.std(0, ddof=1) / math.sqrt(len(curves))
        return x, y, np.where((points == points[0]).all(0), 0.0, error)
    own = dict(zip(curves[0].x, curves[0].se or [], strict=False))
    return x, y, np.array([own.get(v, np.nan) for v in shared]) if own else None


def less(curve: StoredCurve, other: StoredCurve) -> StoredCurve:
    """Return the difference of two curves, at the points that both have; it has no error."""
    theirs = dict(zip(other.x, other.y, strict=False))
    shared = {x: y - theirs[x] for x, y in zip(curve.x, curve.y, strict=False) if x in theirs}
    return StoredCurve(x=list(shared), y=list(shared.values()))


def _stored(results: Sequence[Result], curve: str, minus: str | None) -> list[StoredCurve]:
    """Return a curve of the results that have it, less the curve `minus` where one is named."""
    found = [r.curves for r in results if {curve, minus or curve} <= r.curves.keys()]
    return [less(own[curve], own[minus]) if minus else own[curve] for own in found]


def _published_points(
    comparison: Comparison, outcome: RowOutcome, wanted: Wanted, last: float
) -> list[tuple[float, float, float | None]]:
    """Return the published values of a row as points of its K-curve: x, y and the published ±.

    The number of the table is at the last x, the variational bound (`also: {elbo: …}`) at K = 1.
    There are no points if other data were used, for a difference of curves, or if the table gives
    no log-likelihoods.
    """
    metric, row = comparison.spec.metric, outcome.row
    likelihoods = metric in (vocabulary.LOG_LIKELIHOOD, vocabulary.NLL)
    if not likelihoods or wanted.minus or on_other_data(outcome):
        return []
    published = published_value(outcome)
    up = -1 if wanted.negate else 1  # the curve is one of log-likelihoods
    points: list[tuple[float, float, float | None]] = []
    if published is not None:
        sign = up if metric == vocabulary.LOG_LIKELIHOOD else -up
        points.append((last, sign * published.value, published.error))
    if row.also and vocabulary.ELBO in row.also:
        points.append((1.0, up * row.also[vocabulary.ELBO], None))
    return points


def over_epochs(result: Result) -> bool:
    """Return whether a result's curves are over epochs, not over the candidates of a choice."""
    return not any(name.startswith(vocabulary.CHOSEN) for name in result.curves)


def curve_lines(comparison: Comparison, curve: str, wanted: Wanted | None) -> list[Line]:
    """Return a curve of every row that has it: mean and standard error over seeds.

    A K-curve that a figure of the spec requests also has the published values of the row.
    """
    where = wanted.where if wanted else {}
    series = (wanted and wanted.series) or comparison.spec.show.columns
    group = group_key(comparison.spec)
    group = None if group == series else group
    lines = []
    for o in comparison.rows:
        results = [r for r in o.results if wanted or over_epochs(r)]
        stored = _stored(results, curve, wanted.minus if wanted else None)
        curves = [found for found in stored if found.x]
        if not curves or not o.row.matches(where):
            continue
        x, y, se = average_curve(curves)
        if not len(x):
            continue
        y = -y if wanted and wanted.negate else y
        hue = coordinate(series, o.row.at[series]) if series in o.row.at and series else ""
        dash = row_label(o, [k for k in (group, series) if k])
        name = ", ".join(part for part in (hue, dash) if part)
        panel = panel_of(group, o.row.at.get(group) if group else None)
        published = []
        if wanted and curve == vocabulary.K_CURVE:
            published = _published_points(comparison, o, wanted, float(x[-1]))
        dash = dash if hue else ""  # without a hue, the whole name is one
        lines.append(Line(name, panel, hue or name, dash, x, y, se, len(curves), published))
    return lines


def _band(lines: Sequence[Line]) -> str:
    if alike(lines):
        return "Mean over seeds." if any(line.n > 1 for line in lines) else "One seed."
    if any(line.n > 1 for line in lines):
        return "Mean over seeds; the band is ± one standard error."
    return "One seed; a band is ± the standard error of the estimate."


def _what_objectives_are(comparison: Comparison) -> str:
    """Return sentences on the rules behind the results, one within another among them."""
    rules = set()
    for result in (result for outcome in comparison.rows for result in outcome.results):
        for block in (stage.get("rule") for stage in result.case.train):
            while block:
                rules.add(block["use"])
                block = block.get("rule")
    known = (
        (name.split(".")[-1], what) for name, what in vocabulary.OBJECTIVES.items() if name in rules
    )
    return "".join(f" That of {name} is {what}." for name, what in known)


def curve_picture(
    comparison: Comparison, name: str, curve: str, wanted: Wanted | None, place: str
) -> Picture:
    """Return the picture of one stored curve of the rows wanted."""
    title = clean(wanted.title) if wanted else _curve_title(curve)
    lines = curve_lines(comparison, curve, wanted)
    if not lines:
        return Picture.empty(name, place, title, f"No result has the curve {clean(curve)} yet.")
    counts = curve == vocabulary.K_CURVE
    unit = comparison.spec.unit
    x_label = (wanted and wanted.x_label) or ("K, samples per point" if counts else "epoch")
    y_label = (wanted and wanted.y_label) or (
        f"estimate ({unit})" if counts and unit else words(curve.split("/")[-1])
    )
    log_x, log_y = (wanted.log_x, wanted.log_y) if wanted else (counts, False)
    frame = Frame(clean(x_label), clean(y_label), log_x, log_y)
    data, remarks = line_plot(lines, frame, focus=not counts)
    caption = _band(lines) + remarks
    if curve == vocabulary.TRAIN_OBJECTIVE:
        caption += _what_objectives_are(comparison)
    if any(line.published for line in lines):
        caption += " Open markers are published values, each at the end of its curve"
        bounds = any(x == 1 for line in lines for x, _, _ in line.published)
        caption += "; those at K = 1 are variational bounds." if bounds else "."
    return Picture(name, place, "svg", data, title, caption, describe_lines(lines, title))


def _curve_title(curve: str) -> str:
    if curve == vocabulary.K_CURVE:
        return "Estimate against the number of samples K"
    for prefix, heading in HEADINGS.items():
        if curve.startswith(prefix):
            return f"{heading} {words(curve.removeprefix(prefix))}"
    return words(curve)
