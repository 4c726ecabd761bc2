"""Every judged row of every table: its distance to the published value in units of its margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hwbench.numbers import axis_text, percent, significant
from hwbench.report.figures.canvas import (
    GRID,
    MUTED,
    PAPER,
    VERDICT_COLOURS,
    Picture,
    new_figure,
    shorten,
    style,
    svg_of,
)
from hwbench.report.measured import difference_of
from hwbench.report.words import JUDGED, row_label
from hwbench.typography import MINUS, clean, minus
from hwbench.verdict.outcome import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = {"agrees": "o", "better": "^", "worse": "v", "undecided": "s"}
HOLLOW: dict[str, Any] = {"ms": 3.8, "mfc": PAPER, "mew": 0.9}
LINEAR = 0.7  # decades that the linear part of the axis takes at each side
TITLE = "Every judged row: how far from the published value, in margins"
CAPTION = (
    "Differences and intervals are divided by the margin of the row; shaded: within ± one margin, "
    "where the scale is linear. Beyond it the scale is logarithmic."
)


@dataclass(frozen=True)
class Distance:
    """A judged row: its name, and measured − published with its interval in units of its margin.

    Attributes:
        value, low, high: positive where the measured value is the better one; all three are equal
            where there is no interval.
    """

    label: str
    verdict: str
    value: float
    low: float
    high: float

    @property
    def alone(self) -> bool:
        """Whether there is no interval: one seed does not tell how far others would be."""
        return self.low == self.high


@dataclass(frozen=True)
class Table:
    """The judged rows of a table, and the levels of the intervals of all its rows."""

    id: str
    title: str
    rows: list[Distance]
    levels: list[float]


def distances(comparison: Comparison) -> list[Distance]:
    """Return the judged rows of a spec that have a margin, in its order."""
    spec, found = comparison.spec, []
    sign = 1 if spec.better == "higher" else -1
    for outcome in comparison.rows:
        difference, margin = difference_of(outcome), spec.margin(outcome.row)
        if outcome.verdict not in JUDGED or difference is None or not margin:
            continue
        interval = outcome.interval
        ends = (interval.low, interval.high) if interval else (difference, difference)
        low, high = sorted(sign * end / margin for end in ends)
        label = row_label(outcome)
        found.append(Distance(label, outcome.verdict, sign * difference / margin, low, high))
    return found


@dataclass(frozen=True)
class Strip:
    """A row of the picture for a narrow screen: where its value and its interval are, in percent.

    Attributes:
        value: in words.
        at, low, width: the value's place, the interval's beginning and width; the whole is 100.
    """

    label: str
    verdict: str
    value: str
    at: float
    low: float
    width: float


@dataclass(frozen=True)
class Strips:
    """The picture for a narrow screen, as data: the page draws it, a text above each line.

    Attributes:
        band: the width of the band of ± one margin, which is in the middle, in percent.
        end: the last margin of the axis, in words.
        tables: the rows by the title of their table.
    """

    band: float
    end: str
    tables: dict[str, list[Strip]]


def tables_of(comparisons: Sequence[Comparison]) -> list[Table]:
    """Return what the picture shows of each spec."""
    return [
        Table(
            c.spec.id,
            c.spec.title,
            distances(c),
            sorted({o.interval.level for o in c.rows if o.interval}),
        )
        for c in comparisons
    ]


def distances_figure(every: Sequence[Table]) -> Figure | None:
    """Return the picture, a line for each row and a heading for each table; None without rows."""
    tables = [table for table in every if table.rows]
    if not tables:
        return None
    number = sum(len(table.rows) for table in tables)
    figure = new_figure(0.15 * number + 0.22 * len(tables) + 0.75)
    axes = figure.subplots()
    limit = _limit(tables)
    axes.axvspan(-1, 1, color=GRID, alpha=0.75, lw=0, zorder=0)
    axes.axvline(0, color=MUTED, lw=0.8, zorder=0.1, solid_capstyle="butt")
    y, names = 0.0, list[tuple[float, str, bool]]()
    places: list[tuple[float, Distance]] = []
    for table in tables:
        names.append((y, clean(f"{table.id}: {shorten(table.title, 92)}"), True))
        for distance in table.rows:
            y += 1
            names.append((y, shorten(distance.label, 52), False))
            places.append((y, distance))
        y += 1.45
    for verdict in JUDGED:
        _draw(axes, [(y, d) for y, d in places if d.verdict == verdict], limit)
    _set_axes(axes, names, limit)
    _add_legend(figure, tables)
    return figure


def strips_of(tables: Sequence[Table]) -> Strips | None:
    """Return the same picture for a narrow screen; None without rows."""
    found = {f"{clean(t.id)}: {clean(t.title)}": t.rows for t in tables if t.rows}
    limit = _limit(tables)

    def place(value: float) -> float:
        """Return a place of the axis, which is linear within ± one margin, in percent."""
        size = min(abs(value), limit)
        far = LINEAR * size if size < 1 else LINEAR + math.log10(size)
        return round(50 + math.copysign(50 * far / (LINEAR + math.log10(limit)), value), 1)

    def strip(row: Distance) -> Strip:
        low, high = place(row.low), place(row.high)
        value = significant(row.value, 2, sign=True)
        return Strip(row.label, row.verdict, value, place(row.value), low, round(high - low, 1))

    rows = {name: [strip(row) for row in own] for name, own in found.items()}
    band = round(place(1.0) - place(-1.0), 1)
    return Strips(band, significant(limit, 2), rows) if rows else None


def _limit(tables: Sequence[Table]) -> float:
    """Return where the axis ends, in margins."""
    return 1.25 * max(2.0, *(abs(d.value) for table in tables for d in table.rows), 0.0)


def _draw(axes: Axes, places: Sequence[tuple[float, Distance]], limit: float) -> None:
    """Draw rows of one verdict at their y: intervals, cut off at the ends of the axis, and values.

    A call for each verdict, as a call for each row takes twenty times as long.
    """
    if not places:
        return
    verdict = places[0][1].verdict
    colour, marker = VERDICT_COLOURS[verdict], MARKERS[verdict]
    y = [place for place, _ in places]
    low = [max(d.low, -limit) for _, d in places]
    high = [min(d.high, limit) for _, d in places]
    axes.hlines(y, low, high, colors=colour, linewidths=1.3, zorder=3)
    edges: dict[bool, dict[str, Any]] = {
        False: {"ms": 4.2, "mfc": colour, "mec": PAPER, "mew": 0.4},
        True: HOLLOW | {"mec": colour},
    }
    for alone, edge in edges.items():
        points = [(d.value, place) for place, d in places if d.alone == alone]
        if points:
            axes.plot(*zip(*points, strict=True), marker, zorder=4, **edge)


def _set_axes(axes: Axes, names: Sequence[tuple[float, str, bool]], limit: float) -> None:
    """Set a scale that is linear within ± one margin and logarithmic beyond, and name the rows."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("symlog", linthresh=1, linscale=LINEAR)
    axes.set_xlim(-limit, limit)
    decades = range(math.ceil(math.log10(limit)) + 1)
    steps = [m * 10.0**k for k in decades for m in (1, 3) if m * 10.0**k <= limit]
    axes.xaxis.set_major_locator(FixedLocator([-s for s in reversed(steps)] + [0.0] + steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda v, _: ("+" if v > 0 else MINUS if v < 0 else "") + axis_text(abs(v)))
    )
    axes.set_xlabel("margins from the published value (better to the right)")
    axes.set_yticks([y for y, _, _ in names], [name for _, name, _ in names])
    for step in steps:
        for side in (-step, step):
            axes.axvline(side, color=GRID, lw=0.5, zorder=0.1)
    for y, _, heading in names:
        if heading:  # on a ground of its own
            axes.axhspan(y - 0.75, y + 0.45, color=PAPER, lw=0, zorder=0.2)
    axes.set_ylim(names[-1][0] + 0.7, -0.7)
    _set_names(axes, [heading for _, _, heading in names])
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _set_names(axes: Axes, headings: Sequence[bool]) -> None:
    """Align names at the left; a heading runs on over the plot."""
    labels = axes.get_yticklabels()
    figure = cast("Figure", axes.figure)
    names = [text for text, heading in zip(labels, headings, strict=True) if not heading]
    width = max(text.get_window_extent().width for text in names) * 72 / figure.dpi
    axes.tick_params(axis="y", pad=width + 8)
    for text, heading in zip(labels, headings, strict=True):
        text.set_horizontalalignment("left")
        text.set_fontweight("bold" if heading else "normal")


def _add_legend(figure: Figure, tables: Sequence[Table]) -> None:
    """Name the verdicts that occur, with their numbers, and the interval."""
    from matplotlib.lines import Line2D

    verdicts = [d.verdict for table in tables for d in table.rows]
    handles, labels = [], []
    for name in JUDGED:
        if name in verdicts:
            colour = VERDICT_COLOURS[name]
            handles.append(Line2D([], [], ls="", marker=MARKERS[name], ms=4.2, color=colour))
            labels.append(f"{verdicts.count(name)} {name}")
    if any(d.alone for table in tables for d in table.rows):
        handles.append(Line2D([], [], ls="", marker="o", mec=MUTED, **HOLLOW))
        labels.append("hollow: one seed")
    found = sorted({level for table in tables for level in table.levels})
    if found:
        handles.append(Line2D([], [], lw=1.3, color=MUTED))
        labels.append(" and ".join(map(percent, found)) + " interval")
    figure.legend(handles, labels, loc="outside upper right", ncols=len(handles), columnspacing=1.6)


def _ends(row: Distance) -> str:
    return ", ".join(significant(end, 2, sign=True) for end in (row.low, row.high))


def distances_picture(tables: Sequence[Table]) -> Picture | None:
    """Return the picture of all judged rows; None where there are none."""
    with style():
        figure = distances_figure(tables)
        if figure is None:
            return None
        data = svg_of(figure)
    rows = [
        f"{clean(table.id)} {d.label}: {d.verdict}, {significant(d.value, 2, sign=True)} "
        + ("(one seed)" if d.alone else f"[{_ends(d)}]")
        for table in tables
        for d in table.rows
    ]
    alt = minus(f"{TITLE}. {'; '.join(rows)}.")
    return Picture("distances", "overview", "svg", data, TITLE, CAPTION, alt)
