"""A metric over a coordinate of the rows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hwbench.report.figures.rows import row_lines, rows_picture
from hwbench.typography import NO_BREAK

from ..conftest import TABLE, Example, make_example


@pytest.mark.parametrize(
    ("seeds", "metric", "caption"),
    [
        (
            5,
            None,
            "Mean over seeds; bars are ± one standard error. K = 500, 2000 samples per point.",
        ),
        (1, None, "One seed. K = 500, 2000 samples per point."),
        (5, "active_units", "Mean over seeds; bars are ± one standard error."),
        (0, None, "Nothing measured yet."),
    ],
)
def test_a_figure_of_rows_says_its_seeds_and_samples(example: Example, seeds, metric, caption):
    rows = [replace(o, results=o.results[:seeds]) for o in example.comparison.rows]
    wanted = example.spec.figures[0].model_copy(update={"metric": metric})
    picture = rows_picture(replace(example.comparison, rows=tuple(rows)), "name", wanted)
    start, *_ = re.split(" (?:Small hollow|Open) markers", picture.caption)
    assert start.replace(NO_BREAK, " ") == caption


def test_numeric_coordinate_and_single_group(tmp_path: Path):
    """A figure against a number, with a logarithmic axis, where no group key exists."""
    text = TABLE.replace("x: method, series: pixels", "x: method").replace(
        "index: [data, pixels], columns: method", "index: [method, pixels, data]"
    )
    found = make_example(tmp_path, text)
    lines, ticks = row_lines(found.comparison, found.spec.figures[0])
    assert ticks == ["IWAE", "IWAER", "IWAER_rec"]
    assert {line.name for line in lines} == {
        "MNIST, fixed", "MNIST, dynamic", "MNIST, grey", "Omniglot, dynamic", "Omniglot, fixed",
    }  # fmt: skip
    fixed = next(line for line in lines if line.name == "MNIST, fixed")
    assert fixed.y.tolist() == pytest.approx([-95.231, -95.014, -94.748])
    assert fixed.published == [(0.0, -95.182, 0.022), (1.0, -94.346, 0.025), (2.0, -94.709, 0.025)]
    assert fixed.se[0] == pytest.approx(0.041 / 5**0.5)
