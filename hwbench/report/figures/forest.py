"""Published against measured, with intervals and margins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hwbench.numbers import percent, significant
from hwbench.report.figures.canvas import (
    GRID,
    MEASURED,
    MUTED,
    ONE_SEED,
    PAPER,
    PUBLISHED,
    SERIES,
    VERDICT_COLOURS,
    Picture,
    draw_point,
    name_rows,
    new_figure,
    svg_of,
    wrap,
)
from hwbench.report.layout import group_key, panel_of
from hwbench.report.measured import (
    difference_of,
    measured_text,
    published_value,
    seed_values,
    standard_error,
)
from hwbench.report.units import Scale, scale_of
from hwbench.report.words import JUDGED, ROW_VERDICTS, on_other_data, row_label
from hwbench.spec import Spec
from hwbench.typography import MINUS, clean, minus, words
from hwbench.verdict.outcome import Comparison, RowOutcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Published against measured"


def forest_picture(comparison: Comparison, name: str) -> Picture | None:
    """Return the picture of published against measured; None where no row has both."""
    figure = forest_figure(comparison)
    if figure is None:
        return None
    title, caption = TITLE, forest_caption(comparison)
    alt = forest_alt(comparison)
    return Picture(name, "forest", "svg", svg_of(figure), title, caption, alt)


def forest_figure(comparison: Comparison) -> Figure | None:
    """Return published against measured: values at the left, differences at the right.

    It has the rows that were measured. None where no row has both values: the figures of the spec
    show what there is.
    """
    measured = _measured(comparison)
    if not any(published_value(o) for o in measured):
        return None
    spec, blocks = comparison.spec, _blocks(comparison.spec, measured)
    key = group_key(spec)
    differing = any(difference_of(o) is not None for o in measured)
    labels = {id(o): wrap(row_label(o, [key] if key else [])) for o in measured}
    tall = max(text.count("\n") for text in labels.values())
    height = (0.25 + 0.09 * tall) * len(measured) + 0.5 * len(blocks) + 0.45
    figure = new_figure(height)
    ratios = {
        "height_ratios": [len(rows) + 0.4 for _, rows in blocks],
        "width_ratios": [1.25, 1] if differing else [1],
    }
    grid = figure.subplots(
        len(blocks), 2 if differing else 1, squeeze=False, sharey="row", gridspec_kw=ratios
    )
    for (name, rows), panels in zip(blocks, grid, strict=True):
        _draw_block(panels, rows, spec)
        name_rows(panels[0], range(len(rows)), [labels[id(o)] for o in rows])
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        panels[0].set_title(name)
    scale = scale_of(spec)
    unit = f" ({scale.unit})" if scale.unit else ""
    grid[-1][0].set_xlabel(f"{words(spec.metric)}{unit}")
    if differing:
        better = "right" if spec.better == "higher" else "left"
        grid[-1][-1].set_xlabel(f"measured {MINUS} published\n(better to the {better})")
    handles = _legend(measured, differing)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper left",
        ncols=len(handles),
        columnspacing=1.6,
    )
    return figure


def _measured(comparison: Comparison) -> list[RowOutcome]:
    """Return the rows that have a result; the table has the others."""
    return [o for o in comparison.rows if o.mean is not None]


def _blocks(spec: Spec, rows: Sequence[RowOutcome]) -> list[tuple[str, list[RowOutcome]]]:
    """Return the rows by group, with the group's name ('' where there is one group only)."""
    key = group_key(spec)
    if key is None:
        return [("", list(rows))]
    names = dict.fromkeys(o.row.at.get(key) for o in rows)
    return [(panel_of(key, name), [o for o in rows if o.row.at.get(key) == name]) for name in names]


def _draw_block(panels: Sequence[Axes], rows: Sequence[RowOutcome], spec: Spec) -> None:
    """Draw the rows of one group, the first at the top: values, and differences beside them."""
    from matplotlib.ticker import FuncFormatter

    left, right = panels[0], panels[-1]
    scale = scale_of(spec)
    half = _half_width(rows, spec)
    _draw_values(left, rows, spec.metric)
    if right is not left:
        _draw_margins(right, rows, spec)
        _draw_differences(right, rows, half, scale)
        right.axvline(0, color=MUTED, lw=0.8, zorder=3)
        right.yaxis.set_visible(False)  # else ticks of which nothing is shown are made and measured
    _write_verdicts(right, rows)
    for axes in panels:
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=5)
        if scale.digits:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: minus(f"{scale.value(v):g}")))
    if right is not left and half > 0:
        right.set_xlim(-half, half)


def _half_width(rows: Sequence[RowOutcome], spec: Spec) -> float:
    """Return where the axis of differences ends: all that is judged and all margins fit."""
    margins = [spec.margin(o.row) for o in rows if o.published is not None]
    return max(1.1 * reach(rows), *(1.25 * m for m in margins if m is not None), 0.0)


def reach(rows: Sequence[RowOutcome]) -> float:
    """Return how far the axis of differences must reach, so that no judged row is cut off."""
    judged = [o for o in rows if o.verdict in JUDGED and difference_of(o) is not None]
    shown = judged or [o for o in rows if difference_of(o) is not None]
    widest = 0.0
    for o in shown:
        ends = [o.difference, *((o.interval.low, o.interval.high) if o.interval else ())]
        widest = max(widest, *(abs(v) for v in ends if v is not None and math.isfinite(v)))
    return widest


def _draw_values(axes: Axes, rows: Sequence[RowOutcome], metric: str) -> None:
    """Draw published values (open), and below them means (filled) and seeds (ticks)."""
    known = [(y - 0.17, p) for y, o in enumerate(rows) if (p := published_value(o)) is not None]
    published = [(p.value, y, p.error) for y, p in known]
    _draw_points(axes, published, PUBLISHED, elinewidth=0.8, zorder=4)
    for other in (False, True):
        here = [
            (y + 0.17, o)
            for y, o in enumerate(rows)
            if o.mean is not None and on_other_data(o) == other
        ]
        marker = MEASURED | {"color": MUTED if other else SERIES[0]}
        means = [(o.mean, y, standard_error(o)) for y, o in here]
        _draw_points(axes, means, marker, elinewidth=1.1, zorder=5)
        several = [(v, y) for y, o in here if len(o.results) > 1 for v in seed_values(o, metric)]
        if several:
            x, heights = zip(*several, strict=True)
            axes.plot(x, heights, ls="", color=marker["color"], zorder=2, **ONE_SEED)


def _draw_points(
    axes: Axes,
    points: Sequence[tuple[float | None, float, float | None]],
    marker: dict[str, Any],
    **bars: Any,
) -> None:
    """Draw points x, y with an error along x each, None where none is known."""
    if points:
        x, y, error = np.array(points, dtype=float).T
        known = None if np.isnan(error).all() else np.nan_to_num(error)
        draw_point(axes, x, y, marker, xerr=known, **bars)


def _draw_margins(axes: Axes, rows: Sequence[RowOutcome], spec: Spec) -> None:
    """Draw ± the margin of each row that has one, with edges, which show a narrow band."""
    from matplotlib.collections import PolyCollection

    margins = {y: spec.margin(o.row) for y, o in enumerate(rows) if o.published is not None}
    found = [(y - 0.36, y + 0.36, m) for y, m in margins.items() if m is not None]
    if found:
        low, high, margin = np.array(found).T
        x = np.stack([-margin, margin, margin, -margin], 1)
        corners = np.stack([x, np.stack([low, low, high, high], 1)], 2)  # [rows, corner, x and y]
        axes.add_collection(
            PolyCollection(list(corners), facecolors=GRID, alpha=0.75, linewidths=0, zorder=1)
        )
        for ends in (-margin, margin):
            axes.vlines(ends, low, high, colors=MUTED, linewidths=0.6, zorder=2)


def _draw_differences(axes: Axes, rows: Sequence[RowOutcome], reach: float, scale: Scale) -> None:
    """Draw measured − published with intervals, or an arrow where it is off the scale."""
    known = [(float(y), o, difference_of(o)) for y, o in enumerate(rows)]
    shown = []
    for y, outcome, difference in known:
        if difference is None or not math.isfinite(difference):
            continue
        colour = VERDICT_COLOURS.get(outcome.verdict, MUTED)
        if abs(difference) > reach:
            _draw_arrow(axes, y, difference, reach, colour, scale)
        else:
            shown.append((difference, y, colour, outcome))
    lines = [
        (y, max(o.interval.low, -reach), min(o.interval.high, reach), colour)
        for _, y, colour, o in shown
        if o.interval is not None
    ]
    if lines:
        y_of, low, high, colours = zip(*lines, strict=True)
        axes.hlines(y_of, low, high, colors=colours, linewidths=1.5, zorder=4)
    for judged in (True, False):
        here = [(x, y, c) for x, y, c, o in shown if (o.verdict in JUDGED) == judged]
        if here:
            x, y_of, colours = zip(*here, strict=True)
            marker, fill = ("o", colours) if judged else ("D", PAPER)
            how: dict[str, Any] = {"marker": marker, "s": 3.8**2, "linewidths": 1.0, "zorder": 5}
            axes.scatter(x, y_of, facecolors=fill, edgecolors=colours, **how)


def _draw_arrow(
    axes: Axes, y: float, difference: float, reach: float, colour: str, scale: Scale
) -> None:
    """Draw an arrow at the end of the axis towards a difference beyond it, which it names."""
    side = math.copysign(1.0, difference)
    end = side * reach * 0.97
    axes.plot(end, y, ">" if side > 0 else "<", color=colour, ms=4, clip_on=False, zorder=5)
    axes.annotate(
        scale.signed(significant(scale.value(difference), 2, sign=True)),
        (end, y),
        xytext=(-side * 5, 0),
        textcoords="offset points",
        ha="right" if side > 0 else "left",
        va="center",
        color=colour,
        fontsize=7,
    )


def _write_verdicts(axes: Axes, rows: Sequence[RowOutcome]) -> None:
    """Write the verdict at the right of each row."""
    from matplotlib.transforms import ScaledTranslation

    beside = ScaledTranslation(6 / 72, 0, axes.figure.dpi_scale_trans)
    for y, outcome in enumerate(rows):
        axes.text(
            1,
            y,
            f"{ROW_VERDICTS[outcome.verdict].symbol} {outcome.verdict}",
            transform=axes.get_yaxis_transform() + beside,
            va="center",
            color=VERDICT_COLOURS.get(outcome.verdict, MUTED),
            fontweight="bold" if outcome.verdict == "worse" else "normal",
        )


def _legend(rows: Sequence[RowOutcome], differing: bool) -> dict[str, Any]:
    """Return what the legend shows, by its text."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: dict[str, Any] = {"published": Line2D([], [], ls="", **PUBLISHED)}
    if any(not on_other_data(o) for o in rows):
        handles["measured ± s.e."] = Line2D([], [], ls="-", lw=1.1, color=SERIES[0], **MEASURED)
        if any(len(o.results) > 1 for o in rows):
            handles["single seeds"] = Line2D([], [], ls="", color=SERIES[0], **ONE_SEED)
    if differing:
        levels = sorted({o.interval.level for o in rows if o.interval})
        if levels:
            text = " and ".join(map(percent, levels)) + " interval"
            handles[text] = Line2D([], [], lw=1.5, color=MUTED)
        handles["± margin"] = Patch(color=GRID)
    if any(on_other_data(o) for o in rows):
        handles["measured on other data"] = Line2D([], [], ls="", color=MUTED, **MEASURED)
    return handles


def forest_caption(comparison: Comparison) -> str:
    """Return the caption of the picture of published against measured."""
    measured, parts = _measured(comparison), []
    if any(difference_of(o) is not None for o in measured):
        parts += ["Left: values.", "Right: measured − published; shaded: ± the margin of the row."]
    if any(on_other_data(o) for o in measured):
        parts.append("Grey: measured on other data, so no difference is drawn.")
    return " ".join(parts)


def forest_alt(comparison: Comparison) -> str:
    """Return the alternative text of the picture."""
    parts, scale = [], scale_of(comparison.spec)
    for o in _measured(comparison):
        value, measured = published_value(o), measured_text(o, scale)
        published = scale.printed(value.text) if value else "nothing"
        parts.append(f"{row_label(o)}: published {published}, measured {measured}, {o.verdict}")
    return minus(clean(f"{TITLE}. " + "; ".join(parts) + "."))
