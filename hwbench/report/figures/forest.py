"""Published against measured, with intervals and margins."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hwbench.report.figures.canvas import (
    GRID,
    INK,
    MUTED,
    PAPER,
    SERIES,
    new_figure,
    style,
    svg_of,
    wrap,
)
from hwbench.report.layout import group_key
from hwbench.report.numbers import (
    difference_of,
    fixed,
    measured_text,
    percent,
    published_value,
    standard_error,
)
from hwbench.report.typography import MINUS, clean, minus
from hwbench.report.words import (
    ROW_VERDICTS,
    coordinate,
    is_printed,
    on_other_data,
    row_label,
    words,
)
from hwbench.verdict.outcome import Comparison, RowOutcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICT_COLOURS = {
    "agrees": "#00795a",
    "better": "#0068a8",
    "worse": "#c2410c",
    "undecided": "#9a6700",
    "calibrated": "#9a3f86",
}
JUDGED = ("agrees", "better", "worse", "undecided")


def _blocks(comparison: Comparison) -> list[tuple[str, list[RowOutcome]]]:
    """Return the rows by group, with the group's name ('' where there is one group only)."""
    key = group_key(comparison.spec)
    if key is None:
        return [("", list(comparison.rows))]
    names = dict.fromkeys(o.row.at.get(key) for o in comparison.rows)
    return [
        (panel_of(key, name), [o for o in comparison.rows if o.row.at.get(key) == name])
        for name in names
    ]


def panel_of(key: str | None, value: Any) -> str:
    """Return the name of a group; rows of another spec may lack the coordinate."""
    return "" if key is None else coordinate(key, value) if value is not None else "other"


def reach(rows: Sequence[RowOutcome]) -> float:
    """Return how far the axis of differences must go: rows that are judged are never cut off."""
    judged = [o for o in rows if o.verdict in JUDGED and difference_of(o) is not None]
    shown = judged or [o for o in rows if difference_of(o) is not None]
    widest = 0.0
    for o in shown:
        ends = [o.difference, *((o.interval.low, o.interval.high) if o.interval else ())]
        widest = max(widest, *(abs(v) for v in ends if v is not None and math.isfinite(v)))
    return widest


def _draw_values(axes: Axes, y: float, outcome: RowOutcome, metric: str) -> None:
    """Draw the published number (open) above the measured one (filled) and its seeds (dots)."""
    published = published_value(outcome)
    if published is not None:
        axes.errorbar(
            published.value,
            y - 0.17,
            xerr=published.error,
            fmt="D",
            ms=3.6,
            mfc=PAPER,
            mec=INK,
            ecolor=INK,
            mew=0.9,
            elinewidth=0.8,
            zorder=4,
        )
    if outcome.mean is None:
        return
    colour = MUTED if on_other_data(outcome) else SERIES[0]
    values = [r.metrics[metric].value for r in outcome.results if metric in r.metrics]
    if len(values) > 1:
        axes.plot(
            values,
            [y + 0.17] * len(values),
            "|",
            color=colour,
            ms=4,
            mew=0.6,
            alpha=0.6,
            zorder=2,
        )
    axes.errorbar(
        outcome.mean,
        y + 0.17,
        xerr=standard_error(outcome),
        fmt="o",
        ms=3.8,
        color=colour,
        elinewidth=1.1,
        zorder=5,
    )


def _draw_difference(
    axes: Axes, y: float, outcome: RowOutcome, margin: float | None, reach: float
) -> None:
    """Draw measured − published with its interval over the margin; outside the frame an arrow."""
    if margin is not None and outcome.published is not None:
        axes.fill_betweenx(
            [y - 0.36, y + 0.36], -margin, margin, color=GRID, alpha=0.75, lw=0, zorder=1
        )
    difference = difference_of(outcome)
    if difference is None or not math.isfinite(difference):
        return
    colour = VERDICT_COLOURS.get(outcome.verdict, MUTED)
    full = outcome.verdict in JUDGED
    if abs(difference) > reach:
        side = math.copysign(1.0, difference)
        text = fixed(difference, 1 if abs(difference) < 100 else 0, sign=True)
        axes.plot(
            side * reach * 0.97,
            y,
            ">" if side > 0 else "<",
            color=colour,
            ms=4,
            clip_on=False,
            zorder=5,
        )
        axes.annotate(
            text,
            (side * reach * 0.97, y),
            xytext=(-side * 5, 0),
            textcoords="offset points",
            ha="right" if side > 0 else "left",
            va="center",
            color=colour,
            fontsize=6.5,
        )
        return
    if outcome.interval is not None:
        low, high = max(outcome.interval.low, -reach), min(outcome.interval.high, reach)
        axes.plot([low, high], [y, y], "-", color=colour, lw=1.5, solid_capstyle="butt", zorder=4)
    axes.plot(
        difference,
        y,
        "o" if full else "D",
        ms=3.8,
        color=colour,
        mfc=colour if full else PAPER,
        zorder=5,
    )


def forest_figure(comparison: Comparison) -> Figure | None:
    """Return published against measured: values at the left, differences at the right."""
    blocks = _blocks(comparison)
    if not any(o.published or o.row.published or o.mean is not None for o in comparison.rows):
        return None
    spec = comparison.spec
    key = group_key(spec)
    differing = any(difference_of(o) is not None for o in comparison.rows)
    sizes = [len(rows) for _, rows in blocks]
    labels = {id(o): wrap(row_label(o, [key] if key else [])) for o in comparison.rows}
    tall = max(text.count("\n") for text in labels.values())
    height = (0.25 + 0.09 * tall) * sum(sizes) + 0.5 * len(blocks) + 0.45
    figure = new_figure(height)
    grid = figure.subplots(
        len(blocks),
        2 if differing else 1,
        squeeze=False,
        sharey="row",
        gridspec_kw={
            "height_ratios": [n + 0.4 for n in sizes],
            "width_ratios": [1.25, 1] if differing else [1],
        },
    )
    for i, (name, rows) in enumerate(blocks):
        left, right = grid[i][0], grid[i][-1]
        half = 1.1 * reach(rows)
        margins = [
            m for o in rows if (m := spec.margin(o.row)) is not None and o.published is not None
        ]
        half = max(half, *(1.25 * m for m in margins)) if margins else half
        for place, outcome in enumerate(rows):
            y = float(place)
            _draw_values(left, y, outcome, spec.metric)
            if differing:
                _draw_difference(right, y, outcome, spec.margin(outcome.row), half)
            if outcome.verdict == "unpublished" and not is_printed(spec):
                continue
            meaning = ROW_VERDICTS[outcome.verdict]
            right.annotate(
                f"{meaning.symbol} {outcome.verdict}",
                (1, y),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                color=VERDICT_COLOURS.get(outcome.verdict, MUTED),
                fontweight="bold" if outcome.verdict == "worse" else "normal",
                annotation_clip=False,
            )
        left.set_yticks(range(len(rows)), [labels[id(o)] for o in rows])
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.set_title(name)
        for axes in {left, right}:
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.locator_params(axis="x", nbins=5)
        if differing:
            right.axvline(0, color=MUTED, lw=0.8, zorder=3)
            if half > 0:
                right.set_xlim(-half, half)
    unit = f" ({clean(spec.unit)})" if spec.unit else ""
    grid[-1][0].set_xlabel(f"{words(spec.metric)}{unit}")
    if differing:
        better = "right" if spec.better == "higher" else "left"
        grid[-1][-1].set_xlabel(f"measured {MINUS} published\n(better to the {better})")
    _forest_legend(figure, comparison, differing)
    return figure


def _forest_legend(figure: Figure, comparison: Comparison, differing: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    labels: list[str] = []
    if is_printed(comparison.spec):
        handles.append(Line2D([], [], ls="", marker="D", ms=3.6, mfc=PAPER, mec=INK, mew=0.9))
        labels.append("published")
    if any(o.mean is not None and not on_other_data(o) for o in comparison.rows):
        handles.append(Line2D([], [], ls="-", lw=1.1, marker="o", ms=3.8, color=SERIES[0]))
        labels.append("measured ± s.e.")
        if any(len(o.results) > 1 for o in comparison.rows):
            handles.append(
                Line2D([], [], ls="", marker="|", ms=4, mew=0.6, color=SERIES[0], alpha=0.6)
            )
            labels.append("single seeds")
    if differing:
        levels = {o.interval.level for o in comparison.rows if o.interval}
        if levels:
            handles.append(Line2D([], [], lw=1.5, color=MUTED))
            labels.append(" and ".join(map(percent, sorted(levels))) + " interval")
        handles.append(Patch(color=GRID))
        labels.append("± margin")
    if any(on_other_data(o) for o in comparison.rows):
        handles.append(Line2D([], [], ls="", marker="o", ms=3.8, color=MUTED))
        labels.append("measured on other data")
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), columnspacing=1.6)


def forest_caption(comparison: Comparison) -> str:
    """Return the caption of the picture of published against measured."""
    parts = []
    if any(difference_of(o) is not None for o in comparison.rows):
        parts += ["Left: values.", "Right: measured − published; shaded: ± the margin of the row."]
    if any(on_other_data(o) for o in comparison.rows):
        parts.append("Grey: measured on other data, so that no distance is drawn.")
    return " ".join(parts)


def forest_alt(comparison: Comparison) -> str:
    """Return the alternative text of the picture."""
    parts = []
    for o in comparison.rows:
        printed = o.published.text if o.published else "nothing"
        parts.append(
            f"{row_label(o)}: published {printed}, measured {measured_text(o)}, {o.verdict}"
        )
    return minus(clean(f"{forest_title(comparison)}. " + "; ".join(parts) + "."))


def forest_title(comparison: Comparison) -> str:
    """Return the title of the picture."""
    return "Published against measured" if is_printed(comparison.spec) else "Measured"


def exported(comparison: Comparison) -> dict[str, bytes]:
    """Return published against measured as files that stand alone: SVG (outlined text) and PNG."""
    with style(**{"svg.fonttype": "path", "savefig.facecolor": "white"}):
        figure = forest_figure(comparison)
        if figure is None:
            return {}
        png = io.BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
        figure.set_layout_engine("none")  # what was laid out for one file serves the other
        return {"svg": svg_of(figure), "png": png.getvalue()}
