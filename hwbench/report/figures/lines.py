"""Lines over a common axis."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hwbench.numbers import axis_text, significant
from hwbench.report.figures.canvas import (
    DASHES,
    MARKERS,
    MUTED,
    PAPER,
    SERIES,
    WIDTH,
    add_legend,
    draw_point,
    new_figure,
    shorten,
    svg_of,
)
from hwbench.typography import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPEN: dict[str, Any] = {"marker": "o", "ms": 5.5, "mfc": "none", "mew": 1.0}
HOLLOW: dict[str, Any] = {"ms": 3.4, "mfc": PAPER, "mew": 0.8}
BELOW = 2.4  # points: a line that is seen at both sides of the one above it
STROKE = 0.01  # width of a line, as a part of the height of a panel
LONGEST = 150  # characters of a caption about lines under others
DISTINCT = len(SERIES) * len(DASHES)  # names whose lines look different


@dataclass
class Line:
    """One line of a plot.

    Attributes:
        name: of the line, in the legend; '' for the only line.
        group: the panel it belongs to.
        hue: lines of one hue share a colour.
        dash: lines of one dash share a dash; '' for a line without another of its hue.
        x, y, se: its points, [n], with standard errors where they are known.
        n: how many values there are behind each point.
        published: points x, y with a standard error, None where none is known.
        profiles: that of each point; () where all are alike.
    """

    name: str
    group: str
    hue: str
    dash: str
    x: np.ndarray
    y: np.ndarray
    se: np.ndarray | None = None
    n: int = 1
    published: list[tuple[float, float, float | None]] = field(default_factory=list)
    profiles: Sequence[str] = ()

    @property
    def shortened(self) -> np.ndarray:
        """Which points come from runs below profile full, [n]."""
        return np.array([profile != "full" for profile in self.profiles], dtype=bool)


@dataclass(frozen=True)
class Frame:
    """The axes of a plot.

    Attributes:
        ticks: names along x, where x counts them and is no number.
    """

    x_label: str
    y_label: str
    log_x: bool = False
    log_y: bool = False
    ticks: Sequence[str] | None = None


@dataclass(frozen=True)
class Look:
    """What distinguishes a line: colour with marker, and dash."""

    colour: str
    marker: str
    dash: Any


def looks(lines: Sequence[Line]) -> dict[str, Look]:
    """Return a look for each name: a colour per hue and dashes within it, if there are enough."""
    hues = list(dict.fromkeys(line.hue for line in lines))
    dashes = list(dict.fromkeys(line.dash for line in lines))
    if len(hues) < 2 or len(hues) > len(SERIES) or len(dashes) > len(DASHES):
        names = list(dict.fromkeys(line.name for line in lines))
        n = len(SERIES)
        return {
            name: Look(SERIES[i % n], MARKERS[i % n], DASHES[i // n % len(DASHES)])
            for i, name in enumerate(names)
        }
    places = {line.name: (hues.index(line.hue), dashes.index(line.dash)) for line in lines}
    return {name: Look(SERIES[i], MARKERS[i], DASHES[j]) for name, (i, j) in places.items()}


def alike(lines: Sequence[Line]) -> bool:
    """Return whether a plot has more lines than looks, so that no reader could tell them apart."""
    return len({line.name for line in lines}) > DISTINCT


def mixed(lines: Sequence[Line]) -> bool:
    """Return whether a plot has points both of full and of shortened runs."""
    return len({short for line in lines for short in line.shortened.tolist()}) > 1


def broken(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Return a line's points by x, with a gap wherever the profile changes."""
    order = np.argsort(line.x, kind="stable")
    x, y = line.x[order], line.y[order]
    profiles = [line.profiles[i] for i in order] if line.profiles else []
    gaps = [i for i, (a, b) in enumerate(itertools.pairwise(profiles), 1) if a != b]
    return np.insert(x, gaps, np.nan), np.insert(y, gaps, np.nan)


def draw_alike(axes: Axes, lines: Sequence[Line]) -> dict[str, Any]:
    """Draw the lines of a panel thin and grey, and published values as open markers.

    Returns:
        what the legend shows of each line: nothing.
    """
    from matplotlib.collections import LineCollection

    paths = [np.column_stack([line.x, line.y])[np.argsort(line.x)] for line in lines]
    axes.add_collection(LineCollection(paths, colors=MUTED, linewidths=0.5, alpha=0.6, zorder=3))
    axes.autoscale_view()
    for line in lines:
        for x, y, error in line.published:
            draw_point(axes, x, y, OPEN | {"mec": MUTED}, yerr=error, elinewidth=0.8, zorder=4)
    return {}


def draw_lines(
    axes: Axes,
    lines: Sequence[Line],
    look: Mapping[str, Look],
    *,
    marks: bool,
    bars: bool,
    dodge: bool,
    hollow: bool = False,
) -> dict[str, Any]:
    """Draw lines with bands or bars of one standard error, and published values as open markers.

    Args:
        axes: of one panel.
        lines: of this panel.
        look: of the lines of all panels, from `looks`.
        marks: whether points have markers.
        bars: whether errors are bars; bands otherwise.
        dodge: whether x has no order: points are not joined, and those of different lines stand
            beside each other, so that their bars do not overlap.
        hollow: whether points of shortened runs are hollow.

    Returns:
        what the legend shows of each line, by name.
    """
    handles = {}
    faint = 0.18 if len(lines) < 5 else 0.1
    places = {name: i - (len(look) - 1) / 2 for i, name in enumerate(look)}
    for line in lines:
        how = look[line.name]
        shift = places[line.name] * min(0.1, 0.5 / len(look)) if dodge else 0.0
        order = np.argsort(line.x, kind="stable")
        x, y = line.x[order] + shift, line.y[order]
        joined, heights = broken(line)
        stroke = _stroke(how, joined=not dodge, marks=marks)
        (handles[line.name],) = axes.plot(joined + shift, heights, zorder=3, **stroke)
        if hollow and (short := line.shortened[order]).any():
            edge = HOLLOW | {"marker": how.marker, "mec": how.colour}
            axes.plot(x[short], y[short], ls="none", zorder=3.5, **edge)
        if line.se is not None:
            se, colour = line.se[order], how.colour
            if bars:
                axes.errorbar(x, y, se, fmt="none", ecolor=colour, elinewidth=0.9, zorder=3)
            else:
                axes.fill_between(x, y - se, y + se, color=colour, alpha=faint, lw=0, zorder=2)
        opened = OPEN | {"marker": how.marker, "mec": how.colour}
        for px, py, error in line.published:
            draw_point(axes, px + shift, py, opened, yerr=error, elinewidth=0.8, zorder=4)
    return handles


def _stroke(how: Look, *, joined: bool, marks: bool) -> dict[str, Any]:
    """Return the settings of a line and of its markers."""
    line = {"color": how.colour, "ls": how.dash if joined else "none", "alpha": 0.9}
    return line | {"marker": how.marker if marks else None, "ms": 3.6, "mec": PAPER, "mew": 0.4}


def hidden_lines(axes: Axes, lines: Sequence[Line]) -> dict[str, str]:
    """Return which line of a panel lies under which: the lower one's name, and the upper one's.

    A line is hidden where both have the same x, and no y differs by the width of a stroke in the
    range that the panel shows.
    """
    axes.get_ylim()  # settles the range
    place = (axes.transScale + axes.transLimits).transform
    heights = [place(np.column_stack([line.x, line.y]))[:, 1] for line in lines]
    hidden: dict[str, str] = {}
    for (lower, a), (upper, b) in itertools.combinations(zip(lines, heights, strict=True), 2):
        if len(a) and np.array_equal(lower.x, upper.x) and np.abs(a - b).max() < STROKE:
            hidden[lower.name] = upper.name
    return hidden


def coincident(hidden: Mapping[tuple[str, str], str]) -> str:
    """Return which lines lie under others as sentences; their number, if these are too long.

    Args:
        hidden: upper lines by panel and lower line.
    """
    under: dict[tuple[str, str], list[str]] = {}
    for (panel, lower), upper in hidden.items():
        under.setdefault((panel, upper), []).append(lower)
    texts = []
    for (panel, upper), lowers in under.items():
        names = " and ".join(lowers) if len(lowers) < 3 else f"{len(lowers)} lines"
        where = f" ({panel})" if panel else ""
        texts.append(f"{names} {'lie' if lowers[1:] else 'lies'} under {upper}{where}.")
    text = " ".join(texts)
    return text if len(text) <= LONGEST else f"{len(hidden)} lines, drawn wide, lie under others."


def _remarks(
    lines: Sequence[Line], frame: Frame, hidden: Mapping[tuple[str, str], str], *, cut: bool
) -> str:
    """Return what a plot does not show as sentences for its caption; '' if it shows all."""
    below = sum(
        int(((line.x <= 0) & frame.log_x | (line.y <= 0) & frame.log_y).sum()) for line in lines
    )
    texts = ["The first epochs are off the scale."] if cut else []
    texts += [coincident(hidden)] if hidden else []
    if alike(lines):
        names = len({line.name for line in lines})
        texts.append(f"{names} lines are too many to tell apart: they look alike, without errors.")
    if below:
        points = f"{below} points are" if below > 1 else "1 point is"
        texts.append(f"{points} at or below 0, off the logarithmic axis.")
    if mixed(lines):
        texts.append("Small hollow markers are shortened runs.")
    return "".join(f" {clean(text)}" for text in texts)


def _focus(axes: Axes, lines: Sequence[Line]) -> bool:
    """Cut off steep beginnings that would flatten the rest; return whether this was done."""
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
    lines: Sequence[Line], frame: Frame, *, focus: bool = False, bars: bool = False
) -> tuple[bytes, str]:
    """Return a plot of lines as SVG, a panel per group, and sentences on what it does not show.

    Args:
        lines: of all panels, in the order of the legend.
        frame: the axes that the panels share.
        focus: whether steep beginnings may be left out.
        bars: whether errors are bars, not bands.
    """
    groups = list(dict.fromkeys(line.group for line in lines))
    look = looks(lines)
    across = min(len(groups), 3)
    down = math.ceil(len(groups) / across)
    few = max((len(line.x) for line in lines), default=0) <= 14
    figure = new_figure((2.35 if across > 1 else 2.6) * down)
    grid = figure.subplots(down, across, squeeze=False, sharex=True)
    handles: dict[str, Any] = {}
    hidden: dict[tuple[str, str], str] = {}
    cut, same, dodge = False, alike(lines), frame.ticks is not None
    how = {"marks": few or bars, "bars": bars, "dodge": dodge, "hollow": mixed(lines)}
    for i, (group, axes) in enumerate(itertools.zip_longest(groups, grid.flat)):
        if group is None:
            axes.set_visible(False)
            continue
        here = [line for line in lines if line.group == group]
        drawn = draw_alike(axes, here) if same else draw_lines(axes, here, look, **how)
        handles |= drawn
        axes.set_title(shorten(group))
        _set_scales(axes, frame, here, WIDTH / across)
        if focus and not frame.log_y:
            cut = _focus(axes, here) or cut
        for lower, upper in ({} if same or dodge else hidden_lines(axes, here)).items():
            hidden[group, lower] = upper
            drawn[lower].set_linewidth(BELOW)
        if i + across >= len(groups):
            axes.set_xlabel(frame.x_label)
            axes.tick_params(axis="x", labelbottom=True)
        if i % across == 0:
            axes.set_ylabel(frame.y_label)
    handles |= _marker_names(lines)
    if list(handles) != [""]:
        add_legend(figure, handles)
    return svg_of(figure), _remarks(lines, frame, hidden, cut=cut)


def _marker_names(lines: Sequence[Line]) -> dict[str, Any]:
    """Return what the legend shows of markers that are not filled, by name."""
    from matplotlib.lines import Line2D

    names = {}
    if mixed(lines):
        names["hollow: shortened"] = Line2D([], [], ls="", marker="o", mec=MUTED, **HOLLOW)
    if any(line.published for line in lines):
        names["open: published"] = Line2D([], [], ls="", marker="o", ms=5, mfc="none", mec=MUTED)
    return names


def _set_scales(axes: Axes, frame: Frame, lines: Sequence[Line], width: float) -> None:
    """Set scales and ticks of one panel, `width` inches wide."""
    if frame.log_x:
        axes.set_xscale("log")
    if frame.log_y:
        axes.set_yscale("log")
        _plain_log_heights(axes, lines)
    if frame.ticks is not None:
        _name_ticks(axes, frame.ticks, width)
        axes.set_xlim(-0.45, len(frame.ticks) - 0.55)
    elif frame.log_x:
        _plain_log_ticks(axes, lines)


def _name_ticks(axes: Axes, names: Sequence[str], width: float) -> None:
    """Name the places along x: in lines as wide as there is room, else askew."""
    room = int(0.85 * width * 72 / 4.3 / len(names))  # characters: one has 4.3 points
    lines = [textwrap.wrap(name, max(room, 6), break_long_words=False) for name in names]
    longest = max(len(line) for found in lines for line in found or [""])
    axes.set_xticks(range(len(names)), ["\n".join(found) for found in lines])
    if longest > room:
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right", rotation_mode="anchor")


def _plain_log_ticks(axes: Axes, lines: Sequence[Line]) -> None:
    """Label a logarithmic x axis with counts: with all values, if they are few."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    values = sorted({float(v) for line in lines for v in line.x})
    axes.xaxis.set_minor_locator(NullLocator())
    if len(values) <= 6:
        axes.set_xticks(values)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: axis_text(v)))


def _plain_log_heights(axes: Axes, lines: Sequence[Line]) -> None:
    """Label a logarithmic y axis with plain numbers: 1, 2 and 5 of each decade, or round steps.

    Below a decade, 1, 2 and 5 may leave a single label.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    heights = [float(v) for line in lines for v in line.y if v > 0]
    wide = not heights or max(heights) >= 10 * min(heights)
    axes.yaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(6, steps=[1, 2, 5, 10])
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: axis_text(v)))
    axes.yaxis.set_minor_locator(NullLocator())


def describe_lines(lines: Sequence[Line], what: str) -> str:
    """Return the ends of the lines in words, for readers who cannot see the plot."""
    ends = []
    for line in lines[:24]:
        if len(line.x):
            i = int(np.argmax(line.x))
            name = ", ".join(part for part in (line.group, line.name) if part)
            ends.append(f"{name or 'the line'} ends at {significant(float(line.y[i]), 4)}")
    return clean(f"{what}. " + "; ".join(ends) + ("." if ends else ""))
