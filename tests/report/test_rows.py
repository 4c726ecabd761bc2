"""What a report says about a row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwbench.numbers import with_error
from hwbench.report.layout import grids
from hwbench.report.rows import facts, row_views
from hwbench.report.section import make_section
from hwbench.store import StoredCurve
from hwbench.typography import NARROW_SPACE, NONE
from hwbench.verdict.facts import Flag
from hwbench.verdict.reasons import NoMargin
from hwbench.verdict.statistics import mean_and_error

from .conftest import Example, make_example


def test_likelihoods_carry_estimator_k_seeds_points_and_pixels(example: Example):
    section = make_section(example.comparison)
    assert section.rows[1].facts == [
        "full profile",
        "5 seeds",
        "estimate",
        "K\u00a0=\u00a02000",
        f"10{NARROW_SPACE}000 test points",
        "fixed pixels",
    ]
    grey = section.rows[5]
    assert "score, not a likelihood" in grey.facts
    assert "1 of 3 seeds" in grey.facts
    assert section.rows[6].own == ["3 of 5 seeds"]


def test_what_is_annealed_tells_its_chains(example: Example):
    """Chains are no samples per point, which K counts elsewhere."""
    outcome = example.comparison.rows[1]
    annealed = [
        r.model_copy(update={"diagnostics": r.diagnostics | {"log_z": 7.0}})
        for r in outcome.results
    ]
    assert facts(replace(outcome, results=tuple(annealed)), "log_likelihood")["K"] == (
        "2000 annealing chains"
    )


def test_missing_and_failed_rows_stay_with_their_reason(example: Example):
    rows = make_section(example.comparison).rows
    lost = [r for r in rows if r.verdict in ("missing", "failed")]
    assert len(lost) == 2
    assert all(r.measured == NONE and len(r.reason) > 20 for r in lost)


def test_a_search_shows_what_it_chooses_by(example: Example):
    """The last validation of rows that have nothing published to be compared with."""
    comparison = example.comparison
    outcome = replace(next(o for o in comparison.rows if len(o.results) > 1), published=None)
    ends = (-91.0, -92.0, -93.0, -94.0, -95.0)
    outcome = replace(
        outcome,
        row=outcome.row.model_copy(update={"published": None, "source": None, "also": None}),
        results=tuple(
            r.model_copy(
                update={
                    "curves": {"validation/log_likelihood": StoredCurve(x=[1, 2], y=[-99, end])}
                }
            )
            for r, end in zip(outcome.results, ends, strict=False)
        ),
    )
    search = comparison.spec.model_copy(update={"rows": [outcome.row], "claims": []})
    alone = replace(comparison, spec=search, rows=(outcome,), claims=(), notices=())
    mean, error = mean_and_error(list(ends[: len(outcome.results)]))
    (row,) = row_views(alone)[0]
    assert row.also == [f"last validation: {with_error(mean, error)}"]
    table = replace(comparison, rows=(outcome,), claims=(), notices=())
    assert row_views(table)[0][0].also == []


def test_origin_and_source_of_published_numbers_are_said(example: Example):
    rows = make_section(example.comparison).rows
    assert rows[0].origin == "from document"
    assert rows[7].origin == "from memory, confidence high"
    assert [rows[i].origin_mark for i in (0, 7)] == ["", "from memory"]
    assert rows[6].source == "original source: −118.771 ± 0.035, compared with it"
    assert rows[9].also == ["active units: 18.40 ± 0.24 (published 18.5)"]
    assert rows[7].also == ["active units: not measured (published 19)"]


def test_a_row_on_a_stand_in_shows_no_distance_from_print(example: Example):
    rows = list(example.comparison.rows)
    assert make_section(example.comparison).rows[1].difference == "−0.668"
    case = rows[1].results[0].case.model_copy(update={"stands_in_for": "mnist.MNIST"})
    other = [r.model_copy(update={"case": case}) for r in rows[1].results]
    rows[1] = replace(rows[1], results=tuple(other))
    view = make_section(replace(example.comparison, rows=tuple(rows))).rows[1]
    assert (view.difference, view.interval, view.smallest) == (NONE, "", "")
    assert "95.014" in view.measured


def test_a_stand_in_is_named_beside_its_number_whatever_the_coordinates_are_called(
    example: Example,
):
    rows = list(example.comparison.rows)
    assert "data" in rows[1].row.at
    case = rows[1].results[0].case
    away = case.model_copy(
        update={"stands_in_for": "mnist.MNIST", "data": {**case.data, "use": "digits.Digits"}}
    )
    other = [r.model_copy(update={"case": away}) for r in rows[1].results]
    rows[1] = replace(rows[1], results=tuple(other))
    views = make_section(replace(example.comparison, rows=tuple(rows))).rows
    assert views[1].own == ["digits.Digits instead of the published data"]
    assert "instead of" not in "".join(views[0].own)


def test_a_row_set_against_the_table_says_where_it_comes_from(tmp_path: Path, example: Example):
    mine = make_example(tmp_path, spec_id="mine/table").comparison.rows[1]
    guest = replace(mine, flags=(Flag("against"),))
    comparison = replace(example.comparison, rows=(*example.comparison.rows, guest))
    section = make_section(comparison)
    assert section.rows[-1].label == "mine/table: MNIST, fixed, IWAER"
    assert len({r.anchor for r in section.rows}) == len(section.rows)
    (grid,) = grids(comparison)
    assert [e.row for e in grid.lines[0].cells[1]] == [1, 11]


def test_the_detectable_difference_is_said_once(example: Example):
    row = example.comparison.rows[6]
    (view,) = make_section(replace(example.comparison, rows=(row,))).rows
    assert view.reason.count("etectable difference") == 1
    assert view.smallest == ""
    other = replace(row, reasons=(NoMargin(),))
    (view,) = make_section(replace(example.comparison, rows=(other,))).rows
    assert "etectable" not in view.reason
    assert view.smallest != ""
