"""Lines over a common axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hwbench.report.figures.canvas import (
    DASHES,
    MARKERS,
    MUTED,
    PAPER,
    SERIES,
    add_legend,
    new_figure,
    shorten,
    svg_of,
)
from hwbench.report.numbers import count, significant
from hwbench.report.typography import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass
class Line:
    """One line of a plot: its points, with standard errors where they are known."""

    name: str
    group: str
    hue: str
    x: np.ndarray
    y: np.ndarray
    se: np.ndarray | None = None
    n: int = 1
    published: list[tuple[float, float, float | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Look:
    """How a line is told from the others: colour and marker together, and the dash."""

    colour: str
    marker: str
    dash: Any


def looks(lines: Sequence[Line]) -> dict[str, Look]:
    """Return a look for each name: a colour per hue and dashes within it, if there are enough."""
    within: dict[str, list[str]] = {}
    for line in lines:
        names = within.setdefault(line.hue, [])
        if line.name not in names:
            names.append(line.name)
    rests = list(dict.fromkeys(n.removeprefix(hue) for hue, names in within.items() for n in names))
    if len(within) < 2 or len(within) > len(SERIES) or len(rests) > len(DASHES):
        names = list(dict.fromkeys(line.name for line in lines))
        n = len(SERIES)
        return {
            name: Look(SERIES[i % n], MARKERS[i % n], DASHES[i // n % len(DASHES)])
            for i, name in enumerate(names)
        }
    return {
        name: Look(SERIES[i], MARKERS[i], DASHES[rests.index(name.removeprefix(hue))])
        for i, (hue, names) in enumerate(within.items())
        for name in names
    }


def draw_lines(
    axes: Axes,
    lines: Sequence[Line],
    look: Mapping[str, Look],
    *,
    marks: bool,
    bars: bool,
    dodge: bool,
) -> dict[str, Any]:
    """Draw lines with bands or bars of one standard error, published numbers open."""
    handles = {}
    places = {name: i - (len(look) - 1) / 2 for i, name in enumerate(look)}
    for line in lines:
        how = look[line.name]
        shift = places[line.name] * min(0.1, 0.5 / len(look)) if dodge else 0.0
        order = np.argsort(line.x, kind="stable")
        x, y = line.x[order] + shift, line.y[order]
        (drawn,) = axes.plot(
            x,
            y,
            color=how.colour,
            ls=how.dash,
            lw=0.7 if dodge else None,
            alpha=0.9,
            marker=how.marker if marks else None,
            ms=3.6,
            mec=PAPER,
            mew=0.4,
            zorder=3,
        )
        handles[line.name] = drawn
        if line.se is not None and bars:
            axes.errorbar(
                x, y, yerr=line.se[order], fmt="none", ecolor=how.colour, elinewidth=0.9, zorder=3
            )
        elif line.se is not None:
            se = line.se[order]
            axes.fill_between(
                x,
                y - se,
                y + se,
                color=how.colour,
                alpha=0.18 if len(lines) < 5 else 0.1,
                lw=0,
                zorder=2,
            )
        for px, py, error in line.published:
            axes.errorbar(
                px + shift,
                py,
                yerr=error,
                fmt=how.marker,
                ms=5.5,
                mfc="none",
                mec=how.colour,
                mew=1.0,
                ecolor=how.colour,
                elinewidth=0.8,
                zorder=4,
            )
    return handles


def _focus(axes: Axes, lines: Sequence[Line]) -> bool:
    """Leave steep beginnings out of the frame where they would flatten the rest; say if so."""
    ends = [line.y[len(line.y) // 3 :] for line in lines if len(line.y) >= 10]
    every = [line.y for line in lines if len(line.y)]
    if not ends or len(ends) < len(every):
        return False
    late, full = np.concatenate(ends), np.concatenate(every)
    late, full = late[np.isfinite(late)], full[np.isfinite(full)]
    if not late.size or np.ptp(full) < 3 * np.ptp(late) or np.ptp(late) == 0:
        return False
    pad = 0.08 * np.ptp(late)
    axes.set_ylim(late.min() - pad, late.max() + pad)
    return True


def line_plot(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    ticks: Sequence[str] | None = None,
    focus: bool = False,
    bars: bool = False,
    legend_note: bool = False,
) -> tuple[bytes, bool]:
    """Return a plot of lines, a panel per group, and whether a frame leaves early points out."""
    groups = list(dict.fromkeys(line.group for line in lines))
    look = looks(lines)
    across = min(len(groups), 3)
    down = math.ceil(len(groups) / across)
    few = max((len(line.x) for line in lines), default=0) <= 14
    legend_lines = math.ceil(len(look) / 4)
    figure = new_figure((2.35 if across > 1 else 2.6) * down + 0.14 * legend_lines)
    grid = figure.subplots(down, across, squeeze=False, sharex=True)
    handles: dict[str, Any] = {}
    cut = False
    for i, (group, axes) in enumerate(itertools.zip_longest(groups, grid.flat)):
        if group is None:
            axes.set_visible(False)
            continue
        here = [line for line in lines if line.group == group]
        handles |= {
            k: v
            for k, v in draw_lines(
                axes, here, look, marks=few or bars, bars=bars, dodge=ticks is not None
            ).items()
            if k not in handles
        }
        axes.set_title(shorten(group))
        if log_x:
            axes.set_xscale("log")
        if log_y:
            axes.set_yscale("log")
            _plain_log_heights(axes)
        if ticks is not None:
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_xlim(-0.45, len(ticks) - 0.55)
        elif log_x:
            _plain_log_ticks(axes, here)
        if focus and not log_y:
            cut = _focus(axes, here) or cut
        if i + across >= len(groups):
            axes.set_xlabel(x_label)
            axes.tick_params(axis="x", labelbottom=True)
        if i % across == 0:
            axes.set_ylabel(y_label)
    shown = list(handles)
    marks: list[Any] = [handles[k] for k in shown]
    if legend_note:
        from matplotlib.lines import Line2D

        marks.append(Line2D([], [], ls="", marker="o", ms=5, mfc="none", mec=MUTED))
        shown.append("open: published")
    if len(shown) > 1 or shown != [""]:
        add_legend(figure, marks, [shorten(k) for k in shown])
    return svg_of(figure), cut


def _plain_log_ticks(axes: Axes, lines: Sequence[Line]) -> None:
    """Label a logarithmic axis with counts, those drawn where they are few."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    values = sorted({float(v) for line in lines for v in line.x})
    axes.xaxis.set_minor_locator(NullLocator())
    if len(values) <= 6:
        axes.set_xticks(values)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _tick(v)))


def _plain_log_heights(axes: Axes) -> None:
    """Label a logarithmic y axis at 1, 2 and 5 of each decade; powers would be mathematics."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _tick(v)))
    axes.yaxis.set_minor_locator(NullLocator())


def _tick(value: float) -> str:
    return count(int(value)) if value == int(value) and abs(value) < 1e7 else f"{value:g}"


def describe_lines(lines: Sequence[Line], what: str) -> str:
    """Return the ends of the lines in words, for readers who cannot see the plot."""
    ends = []
    for line in lines[:24]:
        if len(line.x):
            i = int(np.argmax(line.x))
            name = ", ".join(part for part in (line.group, line.name) if part)
            ends.append(f"{name or 'the line'} ends at {significant(float(line.y[i]), 4)}")
    return clean(f"{what}. " + "; ".join(ends) + ("." if ends else ""))
