"""Stored curves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwbench.report.figures.canvas import style
from hwbench.report.figures.curves import average_curve, curve_lines, curve_picture, less
from hwbench.spec import Figure, Published
from hwbench.store import StoredCurve

from ..conftest import TABLE, Example, make_example


def test_average_over_seeds_is_taken_where_all_seeds_have_a_value():
    curves = [
        StoredCurve(x=[1, 2, 3], y=[1.0, 4.0, 9.0]),
        StoredCurve(x=[1, 2], y=[3.0, 4.0]),  # stopped early
    ]
    x, y, se = average_curve(curves)
    assert x.tolist() == [1, 2]
    assert y.tolist() == [2.0, 4.0]
    assert se.tolist() == pytest.approx([1.0, 0.0])  # sd of (1, 3) is √2; over √2 seeds it is 1


def test_one_seed_keeps_its_own_standard_error():
    x, y, se = average_curve([StoredCurve(x=[5, 1], y=[2.0, 1.0], se=[0.2, 0.1])])
    assert (x.tolist(), y.tolist(), se.tolist()) == ([1, 5], [1.0, 2.0], [0.1, 0.2])


def test_a_curve_no_result_has_is_said_to_be_missing(example: Example):
    wanted = Figure(title="Gradient bias", kind="curve", curve="bias")
    picture = curve_picture(example.comparison, "name", "bias", wanted, "figures")
    assert picture.data == b""
    assert picture.caption == "No result has the curve bias yet."


def test_a_negated_curve_is_turned_round_with_the_same_error(example: Example):
    wanted = Figure(title="NLL against K", kind="curve", curve="k_curve", negate=True)
    turned = curve_lines(example.comparison, "k_curve", wanted)
    plain = curve_lines(example.comparison, "k_curve", None)
    assert len(turned) == len(plain) > 0
    for a, b in zip(turned, plain, strict=True):
        assert a.y.tolist() == (-b.y).tolist()
        assert a.se.tolist() == b.se.tolist()
    assert turned[0].y[0] > turned[0].y[-1] > 0  # an NLL that falls with K


def test_the_difference_of_two_curves_is_taken_where_both_have_a_value():
    found = less(StoredCurve(x=[1, 2, 3], y=[5.0, 7.0, 9.0]), StoredCurve(x=[1, 3], y=[1.0, 2.0]))
    assert (found.x, found.y, found.se) == ([1, 3], [4.0, 7.0], [])


def test_a_figure_of_a_difference_averages_it_over_seeds(example: Example):
    wanted = Figure(title="Gap", kind="curve", curve="k_curve", minus="k_curve")
    lines = curve_lines(example.comparison, "k_curve", wanted)
    assert len(lines) == len(curve_lines(example.comparison, "k_curve", None)) > 0
    assert all((line.y == 0).all() and not line.published for line in lines)
    missing = wanted.model_copy(update={"minus": "bias"})
    assert not curve_lines(example.comparison, "k_curve", missing)


@pytest.mark.parametrize("negate", [True, False])
@pytest.mark.parametrize("metric", ["log_likelihood", "nll"])
def test_a_k_curve_has_what_was_published_at_its_ends(example: Example, metric, negate):
    """The table's number at the last K, the bound at K = 1; with the sign of the curve drawn."""
    sign = -1.0 if metric == "nll" else 1.0  # of what the table prints beside a log-likelihood
    rows = [
        replace(
            o,
            published=o.published and Published.parse(f"{sign * o.published.value} ± 0.1"),
            row=o.row.model_copy(update={"also": {"elbo": -99.5}} if i == 0 else {}),
        )
        for i, o in enumerate(example.comparison.rows)
    ]
    comparison = replace(
        example.comparison,
        rows=tuple(rows),
        spec=example.spec.model_copy(update={"metric": metric}),
    )
    wanted = Figure(title="K", kind="curve", curve="k_curve", negate=negate)
    lines = curve_lines(comparison, "k_curve", wanted)
    up = -1.0 if negate else 1.0
    assert lines[0].published == [(2000.0, up * -95.182, 0.1), (1.0, up * -99.5, None)]
    assert lines[1].published == [(2000.0, up * -94.346, 0.1)]
    assert [bool(line.published) for line in lines] == [True] * 8 + [False]  # printed nowhere
    assert all((up * line.y < 0).all() for line in lines)
    picture = curve_picture(comparison, "name", "k_curve", wanted, "figures")
    assert b"open: published" in picture.data
    assert picture.caption.endswith(
        "Open markers are published values, each at the end of its curve; "
        "those at K = 1 are variational bounds."
    )


def test_a_k_curve_on_other_data_or_of_another_metric_has_nothing_published(example: Example):
    wanted = Figure(title="K", kind="curve", curve="k_curve")
    rows = list(example.comparison.rows)
    result = rows[1].results[0]
    case = result.case.model_copy(update={"stands_in_for": "mnist.MNIST"})
    rows[1] = replace(rows[1], results=(result.model_copy(update={"case": case}),))
    lines = curve_lines(replace(example.comparison, rows=tuple(rows)), "k_curve", wanted)
    assert [bool(line.published) for line in lines[:3]] == [True, False, True]
    errors = replace(
        example.comparison, spec=example.spec.model_copy(update={"metric": "active_units"})
    )
    assert not any(line.published for line in curve_lines(errors, "k_curve", wanted))
    plain = curve_lines(example.comparison, "k_curve", None)
    assert not any(line.published for line in plain)
    other = Figure(title="epochs", kind="curve", curve="validation/bound")
    assert not any(line.published for line in
                   curve_lines(example.comparison, "validation/bound", other))  # fmt: skip


def test_labels_are_text_and_never_mathematics(tmp_path: Path):
    hostile = r"$\frac{" + "<b>&"
    text = TABLE.replace(
        "title: Importance bound", f"title: '{hostile}'\n    x_label: '{hostile}'\n    #"
    )
    found = make_example(tmp_path, text)
    with style():
        wanted = found.spec.figures[1]
        picture = curve_picture(found.comparison, "name", wanted.curve, wanted, "figures")
    assert r"$\frac{&lt;b&gt;&amp;" in picture.data.decode()


def test_a_choice_over_candidates_is_no_learning_curve(tmp_path: Path):
    example = make_example(tmp_path)
    row = example.comparison.rows[0]
    before = curve_lines(example.comparison, "train/objective", None)
    for result in row.results:
        result.curves["chosen/k"] = StoredCurve(x=[1.0], y=[3.0])
    after = curve_lines(example.comparison, "train/objective", None)
    assert [line.name for line in after] == [line.name for line in before][1:]
    wanted = Figure(title="Choice", kind="curve", curve="train/objective")
    asked = curve_lines(example.comparison, "train/objective", wanted)
    assert len(asked) == len(before)


def test_an_objective_that_may_be_taken_for_a_likelihood_says_what_it_is(example: Example):
    told = "That of AmortisedLearning is an estimated log joint, which is no likelihood."
    plain = curve_picture(example.comparison, "name", "train/objective", None, "curves")
    assert told not in plain.caption
    rows = list(example.comparison.rows)
    rule = {"use": "posterior_mode.PosteriorMode", "rule": {"use": "kernel.AmortisedLearning"}}
    results = []
    for result in rows[0].results:
        case = result.case.model_copy(update={"train": [{"rule": rule, "steps": 1}]})
        results.append(result.model_copy(update={"case": case}))
    rows[0] = replace(rows[0], results=tuple(results))
    comparison = replace(example.comparison, rows=tuple(rows))
    picture = curve_picture(comparison, "name", "train/objective", None, "curves")
    assert picture.caption == f"{plain.caption} {told}"
