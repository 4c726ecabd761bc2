"""The pictures of a report: published against measured, curves, samples.

Drawn by matplotlib's object interface (no pyplot, no global state) at one text width. Colours are
few, safe for colour-blind readers, and doubled by marker or line style; a page may recolour the SVG
for a dark scheme by replacing exactly the colours named here.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from hwbench.compare import Comparison, RowOutcome
from hwbench.report import tables
from hwbench.spec import Figure as Wanted
from hwbench.store import Result, Store, StoredCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("paper.mplstyle")
WIDTH = 6.7  # inches: the text width of an A4 page
INK, MUTED, GRID, PAPER = "#1f2328", "#57606a", "#d8dee4", "#ffffff"
SERIES = (
    "#0068a8",
    "#c2410c",
    "#00795a",
    "#9a3f86",
    "#9a6700",
    "#2a93c9",
    "#57606a",
    "#7b5bd6",
)
DASHES = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
MARKERS = "osD^vPX*"
VERDICT_COLOURS = {
    "agrees": "#00795a",
    "better": "#0068a8",
    "worse": "#c2410c",
    "undecided": "#9a6700",
    "calibrated": "#9a3f86",
}
JUDGED = ("agrees", "better", "worse", "undecided")
SAMPLES = 64  # images of a grid at most
UNSEEN = (130, 170, 210, 255)  # RGBA of a pixel that a model does not see

Kind = Literal["svg", "png"]


@dataclass(frozen=True)
class Picture:
    """One picture and what a reader who cannot see it is told.

    Attributes:
        place: the part of the section it belongs to: forest, curves, figures, k_curve, samples.
        data: SVG or PNG; empty where there is nothing to draw, and `caption` says why.
    """

    name: str
    place: str
    kind: Kind
    data: bytes
    title: str
    caption: str
    alt: str


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


# --- canvas ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def style(**settings: Any) -> Iterator[None]:
    """Draw in the report's style whatever the user's own settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            matplotlib.rc_params_from_file(STYLE, use_default_template=False)
        )
        matplotlib.rcParams.update(cast(Any, settings))
        yield


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height))


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None}
    )
    return buffer.getvalue()


def _legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    if handles:
        longest = max(map(len, labels))
        columns = max(1, min(len(labels), 5, int(105 / (longest + 6))))
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, columnspacing=1.4)


# --- published against measured -------------------------------------------------------------------


def _blocks(comparison: Comparison) -> list[tuple[str, list[RowOutcome]]]:
    """Return the rows by group, with the group's name ('' where there is one group only)."""
    key = tables.group_key(comparison.spec)
    if key is None:
        return [("", list(comparison.rows))]
    names = dict.fromkeys(o.row.at.get(key) for o in comparison.rows)
    return [
        (_panel(key, name), [o for o in comparison.rows if o.row.at.get(key) == name])
        for name in names
    ]


def _panel(key: str | None, value: Any) -> str:
    """Return the name of a group; rows of another spec may lack the coordinate."""
    return "" if key is None else tables.coordinate(key, value) if value is not None else "other"


def _wrap(text: str) -> str:
    """Break a row's label into at most three lines."""
    return "\n".join(textwrap.wrap(text, 28, max_lines=3, placeholder=" …")) or text


def _shorten(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _difference(outcome: RowOutcome) -> float | None:
    """Return the difference to draw: none where other data were used, as it would mean nothing."""
    return None if tables.on_other_data(outcome) else outcome.difference


def _reach(rows: Sequence[RowOutcome]) -> float:
    """Return how far the axis of differences must go: rows that are judged are never cut off."""
    judged = [o for o in rows if o.verdict in JUDGED and _difference(o) is not None]
    shown = judged or [o for o in rows if _difference(o) is not None]
    reach = 0.0
    for o in shown:
        ends = [o.difference, *((o.interval.low, o.interval.high) if o.interval else ())]
        reach = max(reach, *(abs(v) for v in ends if v is not None and math.isfinite(v)))
    return reach


def _draw_values(axes: Axes, y: float, outcome: RowOutcome, metric: str) -> None:
    """Draw the published number (open) above the measured one (filled) and its seeds (dots)."""
    published = outcome.published or outcome.row.published
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
    colour = MUTED if tables.on_other_data(outcome) else SERIES[0]
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
        xerr=tables.standard_error(outcome),
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
    difference = _difference(outcome)
    if difference is None or not math.isfinite(difference):
        return
    colour = VERDICT_COLOURS.get(outcome.verdict, MUTED)
    full = outcome.verdict in JUDGED
    if abs(difference) > reach:
        side = math.copysign(1.0, difference)
        text = tables.fixed(difference, 1 if abs(difference) < 100 else 0, sign=True)
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
    key = tables.group_key(spec)
    differing = any(_difference(o) is not None for o in comparison.rows)
    sizes = [len(rows) for _, rows in blocks]
    labels = {id(o): _wrap(tables.row_label(o, [key] if key else [])) for o in comparison.rows}
    tall = max(text.count("\n") for text in labels.values())
    height = (0.25 + 0.09 * tall) * sum(sizes) + 0.5 * len(blocks) + 0.45
    figure = _figure(height)
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
        reach = 1.1 * _reach(rows)
        margins = [
            m for o in rows if (m := spec.margin(o.row)) is not None and o.published is not None
        ]
        reach = max(reach, *(1.25 * m for m in margins)) if margins else reach
        for place, outcome in enumerate(rows):
            y = float(place)
            _draw_values(left, y, outcome, spec.metric)
            if differing:
                _draw_difference(right, y, outcome, spec.margin(outcome.row), reach)
            if outcome.verdict == "unpublished" and not tables.is_printed(spec):
                continue
            meaning = tables.ROW_VERDICTS[outcome.verdict]
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
            if reach > 0:
                right.set_xlim(-reach, reach)
    unit = f" ({tables.clean(spec.unit)})" if spec.unit else ""
    grid[-1][0].set_xlabel(f"{tables.words(spec.metric)}{unit}")
    if differing:
        better = "right" if spec.better == "higher" else "left"
        grid[-1][-1].set_xlabel(f"measured {tables.MINUS} published\n(better to the {better})")
    _forest_legend(figure, comparison, differing)
    return figure


def _forest_legend(figure: Figure, comparison: Comparison, differing: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    labels: list[str] = []
    if tables.is_printed(comparison.spec):
        handles.append(Line2D([], [], ls="", marker="D", ms=3.6, mfc=PAPER, mec=INK, mew=0.9))
        labels.append("published")
    if any(o.mean is not None and not tables.on_other_data(o) for o in comparison.rows):
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
            labels.append(" and ".join(map(tables.percent, sorted(levels))) + " interval")
        handles.append(Patch(color=GRID))
        labels.append("± margin")
    if any(tables.on_other_data(o) for o in comparison.rows):
        handles.append(Line2D([], [], ls="", marker="o", ms=3.8, color=MUTED))
        labels.append("measured on other data")
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), columnspacing=1.6)


def _forest_caption(comparison: Comparison) -> str:
    parts = []
    if any(_difference(o) is not None for o in comparison.rows):
        parts += ["Left: values.", "Right: measured − published; shaded: ± the margin of the row."]
    if any(tables.on_other_data(o) for o in comparison.rows):
        parts.append("Grey: measured on other data, so that no distance is drawn.")
    return " ".join(parts)


def _forest_alt(comparison: Comparison) -> str:
    parts = []
    for o in comparison.rows:
        printed = o.published.text if o.published else "nothing"
        parts.append(
            f"{tables.row_label(o)}: published {printed}, "
            f"measured {tables.measured_text(o)}, {o.verdict}"
        )
    return tables.minus(tables.clean(f"{_forest_title(comparison)}. " + "; ".join(parts) + "."))


def _forest_title(comparison: Comparison) -> str:
    return "Published against measured" if tables.is_printed(comparison.spec) else "Measured"


def exported(comparison: Comparison) -> dict[str, bytes]:
    """Return published against measured as files that stand alone: SVG (outlined text) and PNG."""
    with style(**{"svg.fonttype": "path", "savefig.facecolor": "white"}):
        figure = forest_figure(comparison)
        if figure is None:
            return {}
        png = io.BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
        figure.set_layout_engine("none")  # what was laid out for one file serves the other
        return {"svg": _svg(figure), "png": png.getvalue()}


# --- curves ---------------------------------------------------------------------------------------


def _average(curves: Sequence[StoredCurve]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return x, mean and standard error over seeds, at the points that all seeds share."""
    tables_ = [dict(zip(c.x, c.y, strict=False)) for c in curves]
    shared = sorted(set.intersection(*(set(t) for t in tables_))) if tables_ else []
    x = np.array(shared, dtype=float)
    y = np.array([[t[v] for v in shared] for t in tables_], dtype=float).reshape(
        len(tables_), len(shared)
    )
    if len(curves) > 1:
        return x, y.mean(0), y.std(0, ddof=1) / math.sqrt(len(curves))
    own = curves[0].se
    se = (
        np.array([dict(zip(curves[0].x, own, strict=False)).get(v, np.nan) for v in shared])
        if own
        else None
    )
    return x, y[0], se


def _where(outcome: RowOutcome, where: Mapping[str, Any]) -> bool:
    return outcome.row.matches(where)


def _draw_lines(
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


def _line_plot(
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
    figure = _figure((2.35 if across > 1 else 2.6) * down + 0.14 * legend_lines)
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
            for k, v in _draw_lines(
                axes, here, look, marks=few or bars, bars=bars, dodge=ticks is not None
            ).items()
            if k not in handles
        }
        axes.set_title(_shorten(group))
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
        _legend(figure, marks, [_shorten(k) for k in shown])
    return _svg(figure), cut


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
    return tables.count(int(value)) if value == int(value) and abs(value) < 1e7 else f"{value:g}"


def _printed_on_curve(
    comparison: Comparison, outcome: RowOutcome, wanted: Wanted, last: float
) -> list[tuple[float, float, float | None]]:
    """Return what was published of a row as points of its K-curve: x, y and a printed ±.

    The table's number stands at the last x, the variational bound (`also: {elbo: …}`) at K = 1.
    None where other data were used, as it would mean nothing, or of a table of something else.
    """
    metric, row = comparison.spec.metric, outcome.row
    if metric not in ("log_likelihood", "nll") or tables.on_other_data(outcome):
        return []
    printed = outcome.published or row.published
    up = -1 if wanted.negate else 1  # the curve is one of log-likelihoods
    points: list[tuple[float, float, float | None]] = []
    if printed is not None:
        sign = up if metric == "log_likelihood" else -up
        points.append((last, sign * printed.value, printed.error))
    if row.also and "elbo" in row.also:
        points.append((1.0, up * row.also["elbo"], None))
    return points


def _over_epochs(result: Result) -> bool:
    """Say whether a result's curves are of learning: those of a choice are over its candidates."""
    return not any(name.startswith("chosen/") for name in result.curves)


def _curve_lines(comparison: Comparison, curve: str, wanted: Wanted | None) -> list[Line]:
    """Return a curve of every row that has it: mean and standard error over seeds.

    A K-curve that a figure asks for also has what was published of the row.
    """
    where = wanted.where if wanted else {}
    series = (wanted and wanted.series) or comparison.spec.show.columns
    group = tables.group_key(comparison.spec)
    group = None if group == series else group
    lines = []
    for o in comparison.rows:
        results = [r for r in o.results if wanted or _over_epochs(r)]
        curves = [r.curves[curve] for r in results if curve in r.curves and r.curves[curve].x]
        if not curves or not _where(o, where):
            continue
        x, y, se = _average(curves)
        if not len(x):
            continue
        y = -y if wanted and wanted.negate else y
        lead = tables.coordinate(series, o.row.at[series]) if series in o.row.at and series else ""
        rest = tables.row_label(o, [k for k in (group, series) if k])
        name = ", ".join(part for part in (lead, rest) if part)
        panel = _panel(group, o.row.at.get(group) if group else None)
        printed = []
        if wanted and curve == "k_curve":
            printed = _printed_on_curve(comparison, o, wanted, float(x[-1]))
        lines.append(Line(name, panel, lead or name, x, y, se, len(curves), printed))
    return lines


def _rows_of(comparison: Comparison, wanted: Wanted) -> list[RowOutcome]:
    return [o for o in comparison.rows if _where(o, wanted.where) and wanted.x in o.row.at]


def _row_lines(comparison: Comparison, wanted: Wanted) -> tuple[list[Line], list[str] | None]:
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
        name = ", ".join(tables.coordinate(k, o.row.at[k]) for k in named)
        panel = tables.coordinate(facet, o.row.at[facet]) if facet else ""
        measured = [r.metrics[metric].value for r in o.results if metric in r.metrics]
        mean = float(np.mean(measured)) if measured else None
        se = (
            float(np.std(measured, ddof=1) / math.sqrt(len(measured)))
            if len(measured) > 1
            else None
        )
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
    return lines, None if numeric else [_shorten(tables.clean(v), 18) for v in values]


def _describe(lines: Sequence[Line], what: str) -> str:
    """Return the ends of the lines in words, for readers who cannot see the plot."""
    ends = []
    for line in lines[:24]:
        if len(line.x):
            i = int(np.argmax(line.x))
            name = ", ".join(part for part in (line.group, line.name) if part)
            ends.append(f"{name or 'the line'} ends at {tables.significant(float(line.y[i]), 4)}")
    return tables.clean(f"{what}. " + "; ".join(ends) + ("." if ends else ""))


def _band(lines: Sequence[Line]) -> str:
    if any(line.n > 1 for line in lines):
        return "Mean over seeds; the band is ± one standard error."
    return "One seed; the band, where there is one, is ± the estimate's standard error."


def _curve_picture(
    comparison: Comparison, name: str, curve: str, wanted: Wanted | None, place: str
) -> Picture:
    title = tables.clean(wanted.title) if wanted else _curve_title(curve)
    lines = _curve_lines(comparison, curve, wanted)
    if not lines:
        return Picture(
            name,
            place,
            "svg",
            b"",
            title,
            f"No result has the curve {tables.clean(curve)} yet.",
            "",
        )
    counts = curve == "k_curve"
    unit = comparison.spec.unit
    x_label = (wanted and wanted.x_label) or ("K, samples per point" if counts else "epoch")
    y_label = (wanted and wanted.y_label) or (
        f"estimate ({unit})" if counts and unit else tables.words(curve.split("/")[-1])
    )
    data, cut = _line_plot(
        lines,
        tables.clean(x_label),
        tables.clean(y_label),
        log_x=wanted.log_x if wanted else counts,
        log_y=wanted.log_y if wanted else False,
        focus=not counts,
        legend_note=any(line.published for line in lines),
    )
    caption = _band(lines) + (" The first epochs lie outside the frame." if cut else "")
    if any(line.published for line in lines):
        caption += " Open markers are published numbers, each at the end of its curve"
        bounds = any(x == 1 for line in lines for x, _, _ in line.published)
        caption += "; those at K = 1 are variational bounds." if bounds else "."
    return Picture(name, place, "svg", data, title, caption, _describe(lines, title))


def _curve_title(curve: str) -> str:
    if curve == "k_curve":
        return "Estimate against the number of samples K"
    part, _, what = curve.partition("/")
    heading = {"train": "Training", "validation": "Validation"}.get(part, part)
    return f"{heading} {tables.words(what)}".strip()


def _measured(rows: Sequence[RowOutcome], metric: str) -> str:
    """Say what stands behind the points of a figure of rows: seeds, and samples of an estimate."""
    found = [[r.metrics[metric] for r in o.results if metric in r.metrics] for o in rows]
    if not any(found):
        return "Nothing measured yet."
    several = any(len(metrics) > 1 for metrics in found)
    caption = "Mean over seeds; bars are ± one standard error." if several else "One seed."
    ks = sorted({m.k for metrics in found for m in metrics} - {0})
    if ks:
        counts = ", ".join(map(tables.count, ks))
        caption += f" K{tables.NO_BREAK}={tables.NO_BREAK}{counts} samples per point."
    return caption


def _rows_picture(comparison: Comparison, name: str, wanted: Wanted) -> Picture:
    title = tables.clean(wanted.title)
    lines, ticks = _row_lines(comparison, wanted)
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
    data, _ = _line_plot(
        lines,
        tables.clean(wanted.x_label or tables.words(wanted.x or "")),
        tables.clean(wanted.y_label or tables.words(metric) + unit),
        log_x=wanted.log_x and ticks is None,
        log_y=wanted.log_y,
        ticks=ticks,
        bars=True,
        legend_note=marks,
    )
    caption = _measured(_rows_of(comparison, wanted), metric)
    caption += " Open markers are published numbers." if marks else ""
    return Picture(name, "figures", "svg", data, title, caption, _describe(lines, title))


# --- samples --------------------------------------------------------------------------------------


def image_grid(samples: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return up to 64 samples [n, D] as one picture, uint8 [rows, columns], 1 (or 255) being white.

    Raises:
        ValueError: D is not height × width.
    """
    if samples.ndim != 2 or samples.shape[1] != height * width or not len(samples):
        raise ValueError(f"samples {samples.shape} are not images of {height} x {width}")
    images = samples[:SAMPLES].astype(np.float64)
    if samples.dtype == np.uint8 and samples.max() > 1:
        images /= 255
    images = np.nan_to_num(np.clip(images, 0, 1)).reshape(-1, height, width)
    columns = math.ceil(math.sqrt(len(images)))
    down = math.ceil(len(images) / columns)
    gap = 1
    out = np.full((down * (height + gap) + gap, columns * (width + gap) + gap), 0.45)
    for i, image in enumerate(images):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        out[top : top + height, left : left + width] = image
    return np.round(out * 255).astype(np.uint8)


def _sampled(outcome: RowOutcome, store: Store) -> tuple[Result, np.ndarray, int, int] | None:
    for result in outcome.results:
        height, width = (result.diagnostics.get(k) for k in tables.IMAGE_SIZE)
        samples = store.per_point(result).get("samples") if height and width else None
        if samples is not None and height and width:
            return result, samples, int(height), int(width)
    return None


def _sample_picture(outcome: RowOutcome, name: str, store: Store) -> Picture | None:
    found = _sampled(outcome, store)
    if found is None:
        return None
    result, samples, height, width = found
    title = tables.row_label(outcome)
    try:
        grid = image_grid(samples, height, width)
    except ValueError as error:
        return Picture(name, "samples", "png", b"", title, f"Not drawn: {error}.", "")
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, np.repeat(grid[..., None], 3, axis=2), format="png")
    shown = min(len(samples), SAMPLES)
    caption = f"{shown} samples, seed {result.case.seed}, {result.case.profile}"
    return Picture(
        name,
        "samples",
        "png",
        buffer.getvalue(),
        title,
        caption,
        f"Grid of {shown} images sampled from {title}",
    )


# --- images of rows -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strip:
    """A line of images [n, height, width]: whole numbers from 0 (black) to 255, −1 for unseen."""

    name: str
    images: np.ndarray


def _stored_images(
    outcome: RowOutcome, names: Sequence[str], store: Store
) -> tuple[Result, dict[str, np.ndarray]] | None:
    """Return the first result of a row that has any of these images, and them, by name."""
    for result in outcome.results:
        height, width = (int(result.diagnostics.get(k) or 0) for k in tables.IMAGE_SIZE)
        arrays = store.per_point(result) if height and width else {}
        found = {
            name: arrays[name].reshape(-1, height, width)
            for name in names
            if name in arrays and arrays[name].shape[1:] == (height * width,) and len(arrays[name])
        }
        if found:
            return result, found
    return None


def _strips(
    comparison: Comparison, wanted: Wanted, store: Store
) -> tuple[list[Strip], list[Result]]:
    """Return the lines of a figure of images, and the results that they come from.

    Images that are the same in every row come first, once; the others follow row by row.
    """
    names = wanted.images or []
    rows = [o for o in comparison.rows if _where(o, wanted.where)]
    found = [(o, s) for o in rows if (s := _stored_images(o, names, store)) is not None]
    arrays = [own for _, (_, own) in found]
    shared = [
        name
        for name in names
        if all(name in own and np.array_equal(own[name], arrays[0][name]) for own in arrays)
    ]
    strips = [Strip(tables.words(name), own[name]) for own in arrays[:1] for name in shared]
    for outcome, (_, own) in found:
        rest = [name for name in own if name not in shared]
        row = tables.row_label(outcome)
        for name in rest:
            text = f"{row}, {tables.words(name)}" if len(rest) > 1 else row
            strips.append(Strip(text, own[name]))
    return strips, [result for _, (result, _) in found]


def strip_pixels(images: np.ndarray) -> np.ndarray:
    """Return a line of images [n, h, w] as RGBA [h + 1, n (w + 1), 4] with clear gaps after each.

    Pixels that are not seen, −1, have a colour that no grey one has.
    """
    n, height, width = images.shape
    out = np.zeros((n, height + 1, width + 1, 4), dtype=np.uint8)
    grey = images.clip(0, 255).astype(np.uint8)[..., None]
    out[:, :height, :width] = np.concatenate([grey] * 3 + [np.full_like(grey, 255)], -1)
    out[:, :height, :width][images < 0] = UNSEEN
    return out.transpose(1, 0, 2, 3).reshape(height + 1, -1, 4)


def _strip_plot(strips: Sequence[Strip]) -> bytes:
    """Return a plot of lines of images of one height, each with its name at the left."""
    across = [
        n * (width + 1) / (height + 1) for n, height, width in (s.images.shape for s in strips)
    ]
    left = 1.75  # inches, for the names
    cell = min(0.55, (WIDTH - left) / max(across))
    figure = _figure(cell * len(strips))
    figure.set_layout_engine("none")
    axes = figure.add_axes((left / WIDTH, 0, cell * max(across) / WIDTH, 1))
    for i, (strip, length) in enumerate(zip(strips, across, strict=True)):
        pixels = strip_pixels(strip.images)
        axes.imshow(pixels, extent=(0, length, i + 1, i), interpolation="none", aspect="auto")
    axes.set_xlim(0, max(across))
    axes.set_ylim(len(strips), 0)
    axes.set_yticks([i + 0.48 for i in range(len(strips))], [_wrap(s.name) for s in strips])
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0, pad=5)
    axes.spines[:].set_visible(False)
    return _svg(figure)


def _images_picture(comparison: Comparison, name: str, wanted: Wanted, store: Store) -> Picture:
    title = tables.clean(wanted.title)
    strips, results = _strips(comparison, wanted, store)
    if not strips:
        return Picture(name, "figures", "svg", b"", title, "No result has these images yet.", "")
    runs = dict.fromkeys(f"seed {r.case.seed} at {r.case.profile}" for r in results)
    caption = f"One result of each row: {', '.join(runs)}."
    if any((strip.images < 0).any() for strip in strips):
        caption += " What is not seen is blue."
    counts = sorted({len(strip.images) for strip in strips})
    lines = "; ".join(strip.name for strip in strips)
    alt = f"{title}. Lines of {' or '.join(map(str, counts))} images each: {lines}."
    return Picture(name, "figures", "svg", _strip_plot(strips), title, caption, alt)


# --- all pictures of a spec -----------------------------------------------------------------------


def pictures(comparison: Comparison, store: Store) -> list[Picture]:
    """Return every picture of a spec in the order of the report."""
    spec = comparison.spec
    stem = tables.anchor(spec.id)
    out: list[Picture] = []
    with style():
        forest = forest_figure(comparison)
        if forest is not None:
            alt = _forest_alt(comparison)
            caption = _forest_caption(comparison)
            out.append(
                Picture(
                    f"{stem}-forest",
                    "forest",
                    "svg",
                    _svg(forest),
                    _forest_title(comparison),
                    caption,
                    alt,
                )
            )
        asked = {f.curve for f in spec.figures if f.kind == "curve" and f.curve}
        results = [r for o in comparison.rows for r in o.results if _over_epochs(r)]
        found = sorted({name for r in results for name in r.curves})
        for i, wanted in enumerate(spec.figures):
            name = f"{stem}-figure{i + 1}"
            if wanted.kind == "curve" and wanted.curve:
                out.append(_curve_picture(comparison, name, wanted.curve, wanted, "figures"))
            elif wanted.kind == "images":
                out.append(_images_picture(comparison, name, wanted, store))
            else:
                out.append(_rows_picture(comparison, name, wanted))
        for i, curve in enumerate(
            c for c in found if c not in asked and tables.shown_by_default(c)
        ):
            place = "k_curve" if curve == "k_curve" else "curves"
            out.append(_curve_picture(comparison, f"{stem}-curve{i + 1}", curve, None, place))
        for i, outcome in enumerate(comparison.rows):
            picture = _sample_picture(outcome, f"{stem}-samples{i + 1}", store)
            if picture is not None:
                out.append(picture)
    return out


# --- SVG for a page and for typst -----------------------------------------------------------------


def restyled(svg: bytes, name: str, family: str, colours: Mapping[str, str] | None = None) -> str:
    """Return an SVG fit to stand inside a document.

    No prolog, no metadata, no style sheet that would leak; ids that no other picture has; text in
    `family`; colours replaced as given.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(
        r"\s*<defs>\s*<style type=\"text/css\">.*?</style>\s*</defs>", "", text, flags=re.S
    )
    text = text.replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}.\1"', text)
    text = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{name}.", text)
    text = re.sub(r"font-family: '[^;\"]*", f"font-family: {family}", text)
    for old, new in (colours or {}).items():
        text = text.replace(f": {old}", f": {new}")
    return text
