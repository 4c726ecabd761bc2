"""Lines of numbers and points of the plane that evaluators keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwbench.numbers import significant
from hwbench.report.figures.canvas import (
    INK,
    MARKERS,
    SERIES,
    WIDTH,
    Picture,
    add_legend,
    new_figure,
    shorten,
    svg_of,
)
from hwbench.report.words import row_label
from hwbench.spec import Figure as Wanted
from hwbench.store import Result, Store
from hwbench.typography import clean, words
from hwbench.verdict.outcome import Comparison, RowOutcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Kept:
    """Arrays of one row, by name: those of its first result that has any.

    Attributes:
        row: the row's name.
        result: where the arrays come from.
        arrays: lines [n, T], or points [n, 3], in the order of the figure.
    """

    row: str
    result: Result
    arrays: dict[str, np.ndarray]


def kept_arrays(
    comparison: Comparison, wanted: Wanted, names: Sequence[str], store: Store, width: int | None
) -> list[Kept]:
    """Return the arrays of each row that has any of these names.

    Args:
        comparison: its rows.
        wanted: the figure, which names rows.
        names: of arrays.
        store: where they are.
        width: numbers in a line of an array; None for any, but at least two.
    """

    def fits(array: np.ndarray) -> bool:
        if array.ndim != 2 or not len(array) or not np.isfinite(array).all():
            return False
        return bool(array.shape[1] == width if width else array.shape[1] > 1)

    def first(outcome: RowOutcome) -> Kept | None:
        for result in outcome.results:
            stored = store.per_point(result)
            own = {name: stored[name] for name in names if name in stored and fits(stored[name])}
            if own:
                return Kept(row_label(outcome), result, own)
        return None

    rows = [first(o) for o in comparison.rows if o.row.matches(wanted.where)]
    return [row for row in rows if row is not None]


def draw_series(axes: Axes, kept: Kept, colours: dict[str, str]) -> dict[str, object]:
    """Draw lines over their numbers 1, 2, …; those of the first name on top, in ink.

    Returns:
        what the legend shows of each name.
    """
    handles: dict[str, object] = {}
    for name, array in kept.arrays.items():
        colour = colours[name]
        x = np.arange(1, array.shape[1] + 1)
        width, alpha, order = (1.3, 1.0, 4) if colour == INK else (0.7, 0.8, 3)
        lines = axes.plot(x, array.T, color=colour, lw=width, alpha=alpha, zorder=order)
        handles[name] = lines[0]
    return handles


def draw_cloud(axes: Axes, points: np.ndarray) -> None:
    """Draw points [n, 3] at x and y, with a colour and a marker for each class."""
    n = len(SERIES)
    for label in sorted({int(c) for c in points[:, 2]}):
        x, y = points[points[:, 2] == label, :2].T
        marker = MARKERS[(label + label // n) % len(MARKERS)]
        axes.plot(x, y, ls="none", marker=marker, ms=1.8, mew=0, color=SERIES[label % n])
    axes.set_aspect("equal")


def _runs(rows: Sequence[Kept]) -> str:
    runs = dict.fromkeys(f"seed {k.result.case.seed} at {k.result.case.profile}" for k in rows)
    return f"One result of each row: {', '.join(runs)}."


def series_picture(comparison: Comparison, name: str, wanted: Wanted, store: Store) -> Picture:
    """Return lines that an evaluator kept, with a panel for each row."""
    from matplotlib.ticker import MaxNLocator

    title, names = clean(wanted.title), wanted.lines or []
    rows = kept_arrays(comparison, wanted, names, store, None)
    if not rows:
        return Picture.empty(name, "figures", title, "No result has these lines yet.")
    colours = dict(zip(names, [INK, *SERIES * len(names)], strict=False))
    across = min(len(rows), 2)
    down = math.ceil(len(rows) / across)
    figure = new_figure(1.9 * down)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    handles: dict[str, object] = {}
    for i, axes in enumerate(grid.flat):
        if i >= len(rows):
            axes.set_visible(False)
            continue
        handles |= draw_series(axes, rows[i], colours)
        axes.set_title(shorten(rows[i].row, 60 // across))
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        if wanted.log_y:
            axes.set_yscale("log")
        if i + across >= len(rows):
            axes.set_xlabel(clean(wanted.x_label or "step"))
            axes.tick_params(axis="x", labelbottom=True)
        if i % across == 0:
            axes.set_ylabel(clean(wanted.y_label or ""))
    if len(handles) > 1:
        add_legend(figure, {words(name): handles[name] for name in names if name in handles})
    alt = _describe(title, rows, lambda a: f"{len(a)} from {_range(a)}")
    return Picture(name, "figures", "svg", svg_of(figure), title, _runs(rows), alt)


def scatter_picture(comparison: Comparison, name: str, wanted: Wanted, store: Store) -> Picture:
    """Return points of the plane that an evaluator kept, with a panel for each row and name."""
    title, names = clean(wanted.title), wanted.clouds or []
    rows = kept_arrays(comparison, wanted, names, store, 3)
    if not rows:
        return Picture.empty(name, "figures", title, "No result has these points yet.")
    panels = [(kept.row, cloud, a) for kept in rows for cloud, a in kept.arrays.items()]
    across = min(len(panels), 4 if len(names) != 3 else 3)
    down = math.ceil(len(panels) / across)
    figure = new_figure((WIDTH / across + 0.1) * down)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for i, axes in enumerate(grid.flat):
        if i >= len(panels):
            axes.set_visible(False)
            continue
        row, cloud, points = panels[i]
        draw_cloud(axes, points)
        heading = [shorten(row, 84 // across), words(cloud)] if len(names) > 1 else [row]
        axes.set_title("\n".join(heading))
        axes.tick_params(axis="x", labelbottom=i + across >= len(panels))
    alt = _describe(title, rows, lambda a: f"{len(a)} points of {len(set(a[:, 2]))} classes")
    caption = f"{_runs(rows)} A colour is a class."
    return Picture(name, "figures", "svg", svg_of(figure), title, caption, alt)


def _range(array: np.ndarray) -> str:
    low, high = (significant(float(v), 3) for v in (array.min(), array.max()))
    return f"{low} to {high}"


def _describe(title: str, rows: Sequence[Kept], what: Callable[[np.ndarray], str]) -> str:
    """Return the panels in words, for readers who cannot see the plot."""
    parts = [
        f"{kept.row}, {words(name)}: {what(array)}"
        for kept in rows[:12]
        for name, array in kept.arrays.items()
    ]
    return clean(f"{title}. {'; '.join(parts)}.")
