"""A metric of the rows over one of their coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwbench.numbers import count
from hwbench.report.figures.canvas import Picture
from hwbench.report.figures.lines import Frame, Line, describe_lines, line_plot, mixed
from hwbench.report.measured import published_value, seed_values
from hwbench.spec import Figure as Wanted
from hwbench.spec import coordinate
from hwbench.typography import NO_BREAK, clean, words
from hwbench.verdict.outcome import Comparison, RowOutcome
from hwbench.verdict.statistics import mean_and_error


@dataclass(frozen=True)
class Point:
    """A row in the plot: its place along x, what was measured there and what was published.

    Attributes:
        measured, published: values with their standard errors, both None where unknown.
        profile: that of the measured value; '' where there is none.
    """

    x: float
    measured: tuple[float | None, float | None]
    published: tuple[float | None, float | None]
    profile: str


def rows_shown(comparison: Comparison, wanted: Wanted) -> list[RowOutcome]:
    """Return the rows that a figure is about."""
    return [o for o in comparison.rows if o.row.matches(wanted.where) and wanted.x in o.row.at]


def row_lines(comparison: Comparison, wanted: Wanted) -> tuple[list[Line], list[str] | None]:
    """Return the metric against a coordinate by series, and ticks if x is not a number."""
    assert wanted.x is not None
    metric = wanted.metric or comparison.spec.metric
    rows = rows_shown(comparison, wanted)
    values = list(dict.fromkeys(o.row.at[wanted.x] for o in rows))
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    place = {v: (float(v) if numeric else float(i)) for i, v in enumerate(values)}
    facet, rest = _facet(comparison, wanted, rows)
    named = [k for k in [wanted.series, *rest] if k and k != facet]
    points: dict[tuple[str, str], list[Point]] = {}
    for o in rows:
        name = ", ".join(coordinate(k, o.row.at[k]) for k in named if k in o.row.at) or "measured"
        panel = coordinate(facet, o.row.at[facet]) if facet else ""
        seeds = seed_values(o, metric)
        measured = mean_and_error(seeds) if seeds else (None, None)
        published = _published(comparison, o, metric)
        point = Point(place[o.row.at[wanted.x]], measured, published, o.profile or "")
        points.setdefault((name, panel), []).append(point)
    lines = [_line(name, panel, found) for (name, panel), found in points.items()]
    ticks = None if numeric else [clean(v) for v in values]
    return [line for line in lines if len(line.x) or line.published], ticks


def _facet(
    comparison: Comparison, wanted: Wanted, rows: Sequence[RowOutcome]
) -> tuple[str | None, list[str]]:
    """Return the coordinate that has a panel for each value, and all that vary beside the axes."""
    sizes = {k: len({str(o.row.at.get(k)) for o in rows}) for k in comparison.spec.rows[0].at}
    rest = [k for k, n in sizes.items() if n > 1 and k not in (wanted.x, wanted.series)]
    return (rest[0] if wanted.series and rest and sizes[rest[0]] <= 6 else None), rest


def _published(
    comparison: Comparison, outcome: RowOutcome, metric: str
) -> tuple[float | None, float | None]:
    value = published_value(outcome)
    if metric == comparison.spec.metric and value is not None:
        return value.value, value.error
    return (outcome.row.also or {}).get(metric), None


def _line(name: str, panel: str, points: Sequence[Point]) -> Line:
    """Return points of one series in one panel as a line; an unknown error counts as none."""
    have = [(p.x, *p.measured) for p in points if p.measured[0] is not None]
    x, y, e = (np.array([p[i] for p in have], dtype=float) for i in range(3))
    se = None if np.isnan(e).all() else np.nan_to_num(e)
    marks = [(p.x, p.published[0], p.published[1]) for p in points if p.published[0] is not None]
    profiles = [p.profile for p in points if p.measured[0] is not None]
    return Line(name, panel, name, "", x, y, se, len(have), marks, profiles)


def _measured(rows: Sequence[RowOutcome], metric: str) -> str:
    """Return what the points of the figure are: means over seeds, samples of an estimate."""
    found = [[r.metrics[metric] for r in o.results if metric in r.metrics] for o in rows]
    if not any(found):
        return "Nothing measured yet."
    several = any(len(metrics) > 1 for metrics in found)
    caption = "Mean over seeds; bars are ± one standard error." if several else "One seed."
    ks = sorted({m.k for metrics in found for m in metrics} - {0})
    if ks:
        counts = ", ".join(map(count, ks))
        caption += f" K{NO_BREAK}={NO_BREAK}{counts} samples per point."
    return caption


def rows_picture(comparison: Comparison, name: str, wanted: Wanted) -> Picture:
    """Return the picture of a metric over a coordinate of the rows."""
    title = clean(wanted.title)
    lines, ticks = row_lines(comparison, wanted)
    if not lines:
        why = "There are no measured or published values yet."
        return Picture.empty(name, "figures", title, why)
    spec, metric = comparison.spec, wanted.metric or comparison.spec.metric
    unit = f" ({spec.unit})" if spec.unit and metric == spec.metric else ""
    x_label = clean(wanted.x_label or words(wanted.x or ""))
    y_label = clean(wanted.y_label or words(metric) + unit)
    frame = Frame(x_label, y_label, wanted.log_x and ticks is None, wanted.log_y, ticks)
    data, remarks = line_plot(lines, frame, bars=True)
    caption = _measured(rows_shown(comparison, wanted), metric)
    caption += remarks
    if any(line.published for line in lines):
        caption += f" {'Large open' if mixed(lines) else 'Open'} markers are published values."
    return Picture(name, "figures", "svg", data, title, caption, describe_lines(lines, title))
