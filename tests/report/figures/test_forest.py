"""Published against measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwbench.report.figures import forest as forest_
from hwbench.report.figures.canvas import Picture, exported, new_figure, style
from hwbench.report.figures.forest import forest_figure
from hwbench.report.measured import difference_of
from hwbench.report.units import scale_of
from hwbench.report.words import JUDGED, ROW_VERDICTS
from hwbench.spec import Published, label
from hwbench.typography import NARROW_SPACE
from hwbench.verdict.outcome import Comparison

from ..conftest import Example


def test_forest_shows_every_measured_row_with_its_verdict(example: Example, drawn: list[Picture]):
    forest = drawn[0]
    text = forest.data.decode()
    for outcome in example.comparison.rows:
        shown = outcome.mean is not None
        verdict = f"{ROW_VERDICTS[outcome.verdict].symbol} {outcome.verdict}"
        assert (verdict in text) == shown
        assert (f"{label(outcome.row.at)}: published" in forest.alt) == shown


def test_ticks_of_percentages_have_a_true_minus(example: Example):
    percent = example.spec.model_copy(update={"metric": "error", "better": "lower"})
    with style():
        figure = forest_figure(replace(example.comparison, spec=percent))
    assert figure is not None
    texts = [t.get_text() for axes in figure.axes for t in axes.get_xticklabels()]
    assert any(text.startswith("−") for text in texts)
    assert not [text for text in texts if "-" in text]


def in_shares(example: Example) -> Comparison:
    """Return a comparison of one row, 0.0734 measured and 0.120 published, shown in percent."""
    published = Published.parse("0.120")
    row = replace(example.comparison.rows[0], published=published, mean=0.0734, sd=3e-4)
    spec = example.spec.model_copy(update={"unit": "share of test images"})
    return replace(example.comparison, spec=spec, rows=(row,))


def arrow(comparison: Comparison, difference: float) -> str:
    """Return the label of the arrow of a difference that is off the scale."""
    row = replace(comparison.rows[0], difference=difference)
    with style():
        axes = new_figure(2).subplots()
        reach, scale = abs(difference) / 2, scale_of(comparison.spec)
        forest_._draw_differences(axes, [row], reach, scale)
    (text,) = axes.texts
    return text.get_text()


@pytest.mark.parametrize(
    ("difference", "text"), [(0.04, "+0.040"), (-3.81, "−3.8"), (152.4, "+152")]
)
def test_an_arrow_names_its_difference_to_two_digits(
    example: Example, difference: float, text: str
):
    assert arrow(example.comparison, difference) == text


@pytest.mark.parametrize(("difference", "text"), [(-0.0419, "−4.2"), (0.0004, "+0.040")])
def test_an_arrow_names_a_difference_of_shares_in_percent(
    example: Example, difference: float, text: str
):
    assert arrow(in_shares(example), difference) == f"{text}{NARROW_SPACE}%"


def test_shares_are_percentages_throughout_the_alternative_text(example: Example):
    alt = forest_.forest_alt(in_shares(example)).replace(NARROW_SPACE, " ")
    assert "published 12.0 %, measured 7.340 ± 0.013 %" in alt


def test_judged_rows_are_never_cut_off(example: Example):
    rows = [o for o in example.comparison.rows if o.verdict in JUDGED]
    reach = forest_.reach(example.comparison.rows)
    assert all(abs(end) <= reach for o in rows for end in (o.interval.low, o.interval.high))
    far = example.comparison.rows[3]  # incomparable, 3.8 nats away
    assert far.difference > reach


def test_a_stand_in_has_no_distance_from_print(example: Example):
    rows = list(example.comparison.rows)
    result = rows[1].results[0]
    case = result.case.model_copy(update={"stands_in_for": "mnist.MNIST"})
    away = replace(rows[1], results=(result.model_copy(update={"case": case}),), difference=70.3)
    assert difference_of(rows[1]) == pytest.approx(-0.668)
    assert difference_of(away) is None
    assert forest_.reach([away]) == 0
    comparison = replace(example.comparison, rows=(away,))
    with style():
        figure = forest_figure(comparison)
    assert len(figure.axes) == 1  # no panel of differences
    assert [t.get_text() for t in figure.legends[0].texts] == [
        "published",
        "measured on other data",
    ]


def test_exported_picture_stands_alone(example: Example):
    few = replace(example.comparison, rows=example.comparison.rows[:3])
    files = exported(lambda: forest_figure(few))
    assert set(files) == {"svg", "png"}
    assert files["png"].startswith(b"\x89PNG")
    assert b"<text" not in files["svg"]  # outlined: needs no font
