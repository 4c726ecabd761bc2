"""A metric of the rows over one of their coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwbench.report.figures.canvas import Picture, shorten
from hwbench.report.figures.curves import fits
from hwbench.report.figures.lines import Line, describe_lines, line_plot
from hwbench.report.numbers import count
from hwbench.report.typography import NO_BREAK, clean
from hwbench.report.words import coordinate, words
from hwbench.spec import Figure as Wanted
from hwbench.verdict.outcome import Comparison, RowOutcome
from hwbench.verdict.statistics import mean_and_error


def _rows_of(comparison: Comparison, wanted: Wanted) -> list[RowOutcome]:
    return [o for o in comparison.rows if fits(o, wanted.where) and wanted.x in o.row.at]


def row_lines(comparison: Comparison, wanted: Wanted) -> tuple[list[Line], list[str] | None]:
    """Return the metric against a coordinate by series, and ticks if x is not a number."""
    spec, metric = comparison.spec, wanted.metric or comparison.spec.metric
    x_name = wanted.x
    assert x_name is not None
    rows = _rows_of(comparison, wanted)
    values = list(dict.fromkeys(o.row.at[x_name] for o in rows))
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    place = {v: (float(v) if numeric else float(i)) for i, v in enumerate(values)}
    varying = {k for k in spec.rows[0].at if len({str(o.row.at.get(k)) for o in rows}) > 1}
    rest = [k for k in spec.rows[0].at if k in varying and k not in (x_name, wanted.series)]
    facet = (
        rest[0]
        if wanted.series and rest and len({str(o.row.at.get(rest[0])) for o in rows}) <= 6
        else None
    )
    collected: dict[
        tuple[str, str],
        list[tuple[float, float | None, float | None, tuple[float, float | None] | None]],
    ] = {}
    for o in rows:
        named = [
            k
            for k in ([wanted.series] if wanted.series else []) + rest
            if k and k != facet and k in o.row.at
        ]
        name = ", ".join(coordinate(k, o.row.at[k]) for k in named)
        panel = coordinate(facet, o.row.at[facet]) if facet else ""
        measured = [r.metrics[metric].value for r in o.results if metric in r.metrics]
        mean, se = mean_and_error(measured) if measured else (None, None)
        printed = o.published or o.row.published
        mark: tuple[float, float | None] | None = None
        if metric == spec.metric and printed is not None:
            mark = (printed.value, printed.error)
        elif o.row.also and metric in o.row.also:
            mark = (o.row.also[metric], None)
        collected.setdefault((name, panel), []).append((place[o.row.at[x_name]], mean, se, mark))
    lines = []
    for (name, panel), points in collected.items():
        have = [(x, y, e) for x, y, e, _ in points if y is not None]
        marks = [(x, m[0], m[1]) for x, _, _, m in points if m is not None]
        if not have and not marks:
            continue
        x, y, e = (np.array([p[i] for p in have], dtype=float) for i in range(3))
        se = None if np.isnan(e).all() else np.nan_to_num(e)
        lines.append(Line(name, panel, name, x, y, se, len(have), marks))
    return lines, None if numeric else [shorten(clean(v), 18) for v in values]


def _measured(rows: Sequence[RowOutcome], metric: str) -> str:
    """Say what stands behind the points of a figure of rows: seeds, and samples of an estimate."""
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
        return Picture(
            name,
            "figures",
            "svg",
            b"",
            title,
            "Nothing measured and nothing published to draw yet.",
            "",
        )
    metric = wanted.metric or comparison.spec.metric
    unit = (
        f" ({comparison.spec.unit})"
        if comparison.spec.unit and metric == comparison.spec.metric
        else ""
    )
    marks = any(line.published for line in lines)
    data, _ = line_plot(
        lines,
        clean(wanted.x_label or words(wanted.x or "")),
        clean(wanted.y_label or words(metric) + unit),
        log_x=wanted.log_x and ticks is None,
        log_y=wanted.log_y,
        ticks=ticks,
        bars=True,
        legend_note=marks,
    )
    caption = _measured(_rows_of(comparison, wanted), metric)
    caption += " Open markers are published numbers." if marks else ""
    return Picture(name, "figures", "svg", data, title, caption, describe_lines(lines, title))
