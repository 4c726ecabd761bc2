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
    draw_lines,
    hidden_lines,
    line_plot,
    looks,
    remarks,
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


def test_a_line_under_another_is_named_and_stays_visible():
    x = np.array([1.0, 2.0, 3.0])
    lines = [
        Line("first", "", "first", "", x, np.array([1.0, 2.0, 9.0])),
        Line("second", "", "second", "", x, np.array([1.0, 2.01, 9.0])),
        Line("third", "", "third", "", x, np.array([1.0, 2.5, 9.0])),
    ]
    frame = Frame("x", "y")
    assert hidden_lines(lines, frame) == {"first": "second"}
    assert remarks(lines, frame) == " first lies under second."
    with style():
        svg, _ = line_plot(lines, frame)
        alone, _ = line_plot(lines[1:], frame)
    assert b"stroke-width: 3.4" in svg
    assert b"stroke-width: 3.4" not in alone


def test_points_that_a_logarithmic_axis_cannot_show_are_counted():
    line = Line("bias", "", "bias", "", np.array([0.0, 1.0, 2.0]), np.array([1.0, -2.0, 3.0]))
    assert remarks([line], Frame("x", "y")) == ""
    off = "off the logarithmic axis."
    assert remarks([line], Frame("x", "y", log_y=True)) == f" 1 point is at or below 0, {off}"
    both = remarks([line], Frame("x", "y", log_x=True, log_y=True))
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
    with style():
        svg, _ = line_plot(lines, Frame("x", "y"))
        few, _ = line_plot(lines[:32], Frame("x", "y"))
    assert b"line 1<" not in svg
    assert svg.count(b"stroke: #57606a; stroke-opacity: 0.6") == 33
    assert b"line 1<" in few
    assert remarks(lines, Frame("x", "y")) == (
        " 33 lines are too many to tell apart: they look alike, without errors."
    )
    assert remarks(lines[:32], Frame("x", "y")) == ""


def test_coordinates_have_two_decimals():
    x = np.linspace(0, 1, 7) ** 3
    with style():
        svg, _ = line_plot([Line("", "", "", "", x, x)], Frame("x", "y"))
    paths = re.findall(rb' d="([^"]*)"', svg)
    assert any(b"." in path for path in paths)
    assert not any(re.search(rb"\.\d{3}", path) for path in paths)
