"""Every judged row in units of its margin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwbench.report.figures.canvas import PAPER, style
from hwbench.report.figures.distances import (
    distances,
    distances_figure,
    distances_picture,
    strips_of,
    tables_of,
)
from hwbench.report.words import JUDGED

from ..conftest import Example


def test_distances_are_differences_over_margins(example: Example):
    spec = example.spec
    judged = [o for o in example.comparison.rows if o.verdict in JUDGED]
    found = distances(example.comparison)
    assert [d.verdict for d in found] == [o.verdict for o in judged]
    for distance, outcome in zip(found, judged, strict=True):
        margin = spec.margin(outcome.row)
        assert distance.value * margin == pytest.approx(outcome.difference)
        assert distance.low * margin == pytest.approx(outcome.interval.low)
        assert distance.high * margin == pytest.approx(outcome.interval.high)


def test_better_is_to_the_right_whatever_the_metric(example: Example):
    lower = example.spec.model_copy(update={"better": "lower"})
    for a, b in zip(
        distances(example.comparison),
        distances(replace(example.comparison, spec=lower)),
        strict=True,
    ):
        assert (b.value, b.low, b.high) == (-a.value, -a.high, -a.low)


def test_every_judged_row_is_within_the_axis_and_named(example: Example):
    with style():
        figure = distances_figure(tables_of([example.comparison, example.comparison]))
    assert figure is not None
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    labels = [t.get_text() for t in axes.get_yticklabels()]
    for distance in distances(example.comparison):
        assert low < distance.value < high
        assert labels.count(distance.label) == 2
    picture = distances_picture(tables_of([example.comparison]))
    assert picture is not None
    assert all(d.label in picture.alt for d in distances(example.comparison))


def test_a_row_of_one_seed_is_hollow_and_said_to_be_of_one_seed(example: Example):
    rows = [replace(o, interval=None) for o in example.comparison.rows if o.verdict in JUDGED]
    for alone in (rows, rows[:1], []):
        others = tuple(o for o in example.comparison.rows if o.row.name not in
                       {own.row.name for own in alone})  # fmt: skip
        tables = tables_of([replace(example.comparison, rows=(*alone, *others))])
        with style():
            figure = distances_figure(tables)
        assert figure is not None
        hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == PAPER]
        assert sum(len(line.get_xdata()) for line in hollow) == len(alone)
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert ("hollow: one seed" in legend) == bool(alone)
        picture = distances_picture(tables)
        assert picture is not None
        assert picture.alt.count("(one seed)") == len(alone)


def test_without_judged_rows_there_is_no_picture(example: Example):
    rows = tuple(o for o in example.comparison.rows if o.verdict not in JUDGED)
    assert distances_picture(tables_of([replace(example.comparison, rows=rows)])) is None
    assert strips_of(tables_of([replace(example.comparison, rows=rows)])) is None


def test_strips_have_the_same_rows_within_the_axis(example: Example):
    strips = strips_of(tables_of([example.comparison]))
    assert strips is not None
    ((title, rows),) = strips.tables.items()
    assert title == f"{example.spec.id}: {example.spec.title}"
    found = distances(example.comparison)
    assert [(r.label, r.verdict) for r in rows] == [(d.label, d.verdict) for d in found]
    for strip, distance in zip(rows, found, strict=True):
        assert 0 <= strip.low <= strip.at <= strip.low + strip.width + 0.1 <= 100.1
        assert (strip.at > 50) == (distance.value > 0)
        assert (abs(strip.at - 50) < strips.band / 2) == (abs(distance.value) < 1)
