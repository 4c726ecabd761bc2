"""Plots of lines."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from hwbench.numbers import count
from hwbench.report.figures.canvas import new_figure, style
from hwbench.report.figures.curves import curve_lines
from hwbench.report.figures.lines import (
    Frame,
    Line,
    broken,
    draw_lines,
    line_plot,
    looks,
)
from hwbench.spec import Figure

from ..conftest import Example


def test_published_points_have_the_colour_of_their_series_and_are_open(example: Example):
    from matplotlib.colors import to_hex

    wanted = Figure(title="K", kind="curve", curve="k_curve")
    (line,) = curve_lines(
        replace(example.comparison, rows=example.comparison.rows[:1]), "k_curve", wanted
    )
    with style():
        axes = new_figure(2.0).subplots()
        draw_lines(axes, [line], looks([line]), marks=True, bars=False, dodge=False)
        measured, published = axes.lines[0], axes.lines[1]
    assert published.get_xydata().tolist() == [[2000.0, -95.182]]
    assert to_hex(published.get_markeredgecolor()) == to_hex(measured.get_color())
    assert published.get_markerfacecolor() == "none"
    assert len(axes.collections) > 1  # the band, and the printed ±


def test_a_logarithmic_axis_has_plain_numbers():
    x = np.array([1.0, 10.0])
    line = Line("bias", "", "bias", "", x, np.array([0.03, 4000.0]))
    with style():
        svg, _ = line_plot([line], Frame("K", "norm", log_x=True, log_y=True))
    assert b"mathdefault" not in svg
    assert b">0.1<" in svg
    assert count(1000).encode() in svg


def test_a_logarithmic_axis_of_less_than_a_decade_has_several_labels():
    line = Line("bias", "", "bias", "", np.array([1.0, 100.0]), np.array([1.785, 0.7375]))
    with style():
        svg, _ = line_plot([line], Frame("K", "norm", log_x=True, log_y=True))
    assert b">1.4<" in svg


PLAIN = Frame("x", "y")


def plotted(lines: list[Line], frame: Frame = PLAIN, **how: bool) -> tuple[str, str]:
    """Return the SVG of a plot and what its caption says."""
    with style():
        svg, said = line_plot(lines, frame, **how)
    return svg.decode(), said


def line(name: str, *y: float, group: str = "") -> Line:
    return Line(name, group, name, "", np.arange(1.0, len(y) + 1), np.array(y, float))


WIDE = "stroke-width: 2.4"


def test_a_line_under_another_is_named_and_stays_visible():
    lines = [line("first", 1, 2, 9), line("second", 1, 2.01, 9), line("third", 1, 2.5, 9)]
    svg, said = plotted(lines)
    assert said == " first lies under second."
    assert WIDE in svg
    alone, said = plotted(lines[1:])
    assert said == ""
    assert WIDE not in alone


def test_lines_coincide_only_within_the_range_that_is_shown():
    """Steep beginnings are off the scale; they made lines apart look the same."""
    start = [100.0, 50.0, 10.0, 1.0]
    low = line("low", *start, *[0.0213] * 11)
    high = line("high", *start, *np.linspace(0.06, 0.023, 11))
    assert plotted([low, high], focus=True)[1] == " The first epochs are off the scale."
    assert plotted([low, high])[1] == " low lies under high."


def test_lines_with_points_off_a_logarithmic_axis_coincide_as_others_do():
    lines = [line("a", 1, 10), line("b", 1, 10), line("c", -1, 100)]
    said = plotted(lines, Frame("x", "y", log_y=True))[1]
    assert said.startswith(" a lies under b. 1 point is at or below 0")


def test_a_line_is_wide_only_in_the_panel_where_it_is_hidden():
    lines = [
        *(line("a", 1, 2, group="one"), line("b", 1, 2, group="one")),
        *(line("a", 1, 2, group="two"), line("b", 2, 1, group="two")),
    ]
    svg, said = plotted(lines)
    assert said == " a lies under b (one)."
    assert svg.count(WIDE) == 1  # the legend has the usual width


def test_many_lines_under_others_are_counted():
    """A caption of names would fill the page."""
    same = [line(f"a net with a rather long name, number {i}", 1, 2) for i in range(9)]
    assert plotted(same)[1] == f" 8 lines lie under {same[-1].name}."
    pairs = [line(f"a net with a rather long name, {i // 2}.{i % 2}", i // 2, 9) for i in range(12)]
    assert plotted(pairs)[1] == " 6 lines, drawn wide, lie under others."


def test_a_line_is_broken_where_the_profile_changes():
    mixed = Line("a", "", "a", "", np.array([2.0, 1.0, 3.0]), np.array([5.0, 4.0, 6.0]))
    mixed.profiles = ["quick", "full", "quick"]
    np.testing.assert_array_equal(broken(mixed), [[1, np.nan, 2, 3], [4, np.nan, 5, 6]])


@pytest.mark.parametrize("profiles", [("full", "quick"), ("full", "full"), ("quick", "quick")])
def test_points_of_shortened_runs_are_hollow_beside_full_ones(profiles):
    points = Line("a", "", "a", "", np.array([1.0, 2.0]), np.array([4.0, 5.0]))
    points.profiles = profiles
    svg, said = plotted([points], bars=True)
    both = len(set(profiles)) == 2
    assert (said == " Small hollow markers are shortened runs.") == both
    assert ("hollow: shortened" in svg) == both
    with style():
        axes = new_figure(2.0).subplots()
        how = {"marks": True, "bars": True, "dodge": False}
        draw_lines(axes, [points], looks([points]), hollow=both, **how)
    assert [drawn.get_xydata().tolist() for drawn in axes.lines[1:]] == [[[2.0, 5.0]]] * both


def test_points_over_names_are_not_joined_and_no_name_is_cut():
    names = ["adult", "connect4", "web (another split)"]
    points = [Line("a", "", "a", "", np.array([0.0, 1.0, 2.0]), np.array([4.0, 5.0, 6.0]))]
    svg, _ = plotted(points, Frame("data", "y", ticks=names * 3), bars=True)
    assert "\u2026" not in svg
    assert re.findall(r">(web|\(another|split\))<", svg) == ["web", "(another", "split)"] * 3
    assert not re.search(r'd="M[^"]*L[^"]*L[^"]*" clip-path[^>]*stroke: #0068a8', svg)
    words = ["a_name_without_a_space_in_it"] * 9
    svg, _ = plotted(points, Frame("data", "y", ticks=words), bars=True)
    assert svg.count(f">{words[0]}<") == 9  # whole, askew


def test_points_that_a_logarithmic_axis_cannot_show_are_counted():
    bias = Line("bias", "", "bias", "", np.array([0.0, 1.0, 2.0]), np.array([1.0, -2.0, 3.0]))
    assert plotted([bias])[1] == ""
    off = "off the logarithmic axis."
    assert plotted([bias], Frame("x", "y", log_y=True))[1] == f" 1 point is at or below 0, {off}"
    both = plotted([bias], Frame("x", "y", log_x=True, log_y=True))[1]
    assert both == f" 2 points are at or below 0, {off}"


def test_a_long_legend_makes_the_figure_taller_and_not_its_panels_smaller():
    x = np.array([1.0, 2.0])

    def height(n: int) -> float:
        lines = [
            Line(f"a line with a rather long name, number {i:02}", "", "", "", x, x)
            for i in range(n)
        ]
        with style():  # matplotlib warns, which is an error here, where nothing is left of a panel
            svg, _ = line_plot(lines, Frame("x", "y"))
        root = ElementTree.fromstring(svg)
        return float(root.attrib["height"].removesuffix("pt"))

    assert height(32) - height(16) == pytest.approx(8 * 0.14 * 72)  # two columns


def test_more_lines_than_looks_are_drawn_alike_without_a_legend():
    x = np.array([1.0, 2.0, 3.0])
    lines = [Line(f"line {i}", "", "", "", x, x + i, np.ones(3)) for i in range(33)]
    svg, said = plotted(lines)
    assert "line 1<" not in svg
    assert svg.count("stroke: #57606a; stroke-opacity: 0.6") == 33
    assert said == " 33 lines are too many to tell apart: they look alike, without errors."
    few, said = plotted(lines[:32])
    assert "line 1<" in few
    assert said == ""


def test_coordinates_have_two_decimals():
    x = np.linspace(0, 1, 7) ** 3
    with style():
        svg, _ = line_plot([Line("", "", "", "", x, x)], Frame("x", "y"))
    paths = re.findall(rb' d="([^"]*)"', svg)
    assert any(b"." in path for path in paths)
    assert not any(re.search(rb"\.\d{3}", path) for path in paths)
