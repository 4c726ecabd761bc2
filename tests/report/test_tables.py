"""What a report says, before it is laid out."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from hwbench.report.alignment import FIGURE_SPACE, POINT_SPACE, aligned
from hwbench.report.formats.json import to_json
from hwbench.report.layout import grids
from hwbench.report.notices import merged_warnings
from hwbench.report.numbers import interval_text, p_text, with_error
from hwbench.report.protocol import common_part, protocol_fields
from hwbench.report.references import reference
from hwbench.report.rows import facts
from hwbench.report.section import make_section
from hwbench.report.typography import NARROW_SPACE, NONE
from hwbench.report.views import Reference
from hwbench.report.words import below_full
from hwbench.verdict.facts import Flag, Notice
from hwbench.verdict.outcome import Comparison, RowOutcome
from hwbench.verdict.statistics import Interval

from .conftest import TABLE, Example, make_example

PAD = FIGURE_SPACE


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-95.18234, 0.0218, "−95.182 ± 0.022"),
        (-95.18234, 0.0996, "−95.18 ± 0.10"),  # rounding the error up costs a digit
        (12.345, 1.349, "12.3 ± 1.3"),
        (1234.5, 27.4, "1234 ± 27"),
        (-95.18234, None, "−95.182"),
        (-95.18234, 0.0, "−95.182 ± 0.000"),  # equal seeds: their error is zero, and said
        (float("nan"), 0.1, NONE),
        (None, None, NONE),
    ],
)
def test_numbers_stop_at_the_second_digit_of_their_error(value, error, text):
    assert with_error(value, error) == text


def test_interval_shows_two_digits_of_its_half_width():
    assert interval_text(Interval(-0.4321, 0.0123)) == "[−0.43, +0.01]"
    assert interval_text(Interval(float("-inf"), float("inf"))) == "[−∞, ∞]"
    assert interval_text(None) == ""


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, ""),
        (0.0004, "p < 0.001"),
        (0.0123, "p = 0.012"),
        (0.5, "p = 0.50"),
        (1.0, "p = 1.00"),
    ],
)
def test_p_values(p, text):
    assert p_text(p) == text


def test_aligned_numbers_have_their_points_in_one_column():
    column = ["−95.182 ± 0.022", "−118.77", "≈85.5", "3 ± 10", "−9.5 ± 1.25", NONE]
    out = aligned(column)
    points = {text.index(".") for text in out[:3]}
    assert len(points) == 1
    assert len({text.index("±") for text in (out[0], out[3], out[4])}) == 1
    for before, after in zip(column, out, strict=True):
        assert after.replace(PAD, "").replace(POINT_SPACE, "") == before


def test_layout_follows_show_and_leaves_no_row_out(example: Example):
    (grid,) = grids(example.comparison)
    assert grid.index == ["data", "pixels"]
    assert grid.columns == ["IWAE", "IWAER", "IWAER_rec"]
    placed = [entry.row for line in grid.lines for cell in line.cells for entry in cell]
    assert sorted(placed) == list(range(len(example.spec.rows)))
    first = grid.lines[0]
    assert first.heads == ["MNIST", "fixed"]
    assert [e.published.strip(PAD) for cell in first.cells for e in cell] == [
        "−95.182 ± 0.022",
        "−94.346 ± 0.025",
        "−94.709 ± 0.025",
    ]


def test_rows_that_share_a_place_share_a_cell(tmp_path: Path):
    text = TABLE.replace("index: [data, pixels]", "index: data")
    (grid,) = grids(make_example(tmp_path, text).comparison)
    assert [len(cell) for cell in grid.lines[0].cells] == [3, 2, 1]
    section = make_section(make_example(tmp_path, text).comparison)
    assert section.rows[0].rest == "fixed"


def test_split_starts_a_table_per_value(tmp_path: Path):
    text = TABLE.replace("index: [data, pixels], columns: method", "index: pixels, split: data")
    found = grids(make_example(tmp_path, text).comparison)
    assert [g.caption for g in found] == ["MNIST", "Omniglot"]
    assert found[0].columns == ["log likelihood"]


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
    assert "1 seed" in grey.facts
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
    assert len(lost) == 3
    assert all(r.measured == NONE and len(r.reason) > 20 for r in lost)


def test_every_row_and_claim_is_counted_and_the_worst_comes_first(example: Example):
    section = make_section(example.comparison)
    rows, claims = example.comparison.rows, example.comparison.claims
    assert {t.verdict: t.number for t in section.tally} == Counter(o.verdict for o in rows)
    assert section.tally[0].verdict == "worse"
    assert [(t.number, t.verdict, t.at) for t in section.claim_tally] == [
        (1, "fails", ""),
        (1, "holds", ""),
        (1, "missing", ""),
        (1, "undecided", "at quick"),
    ]
    assert [c.at for c in section.claims] == [below_full(c) for c in claims]


def test_origin_and_source_of_published_numbers_are_said(example: Example):
    rows = make_section(example.comparison).rows
    assert rows[0].origin == "from document"
    assert rows[7].origin == "from memory, confidence high"
    assert rows[6].source == "−118.771 ± 0.035 in the original source; judged against the source"
    assert rows[9].also == ["active units: 18.40 ± 0.24 (published 18.5)"]
    assert rows[7].also == ["active units: not measured (published 19)"]


def test_protocol_says_once_what_rows_share(example: Example):
    section = make_section(example.comparison)
    fields = dict(section.protocol)
    assert fields["rule"] == "bounds.IWAE(k = 25)"
    assert fields["model"] == "vae.VAE(latent = 20, hidden = [400])"
    assert section.protocol_rows.head == ["row", "profile", "data", "pixels", "model: random"]
    by_row = {line[0]: line[1:] for line in section.protocol_rows.lines}
    both = "[generative, recognition]"
    assert by_row["MNIST, fixed, IWAER"] == ["full", "mnist.MNIST", "fixed", both]
    assert by_row["Omniglot, dynamic, IWAER (not run)"][1] == "omniglot.Omniglot"
    assert len(by_row) == len(example.spec.rows)


def test_a_stand_in_is_named_in_the_protocol(example: Example):
    case = example.comparison.rows[0].results[0].case
    away = case.model_copy(
        update={"stands_in_for": "mnist.MNIST", "data": {"use": "digits.Digits"}}
    )
    fields = protocol_fields(away)
    assert fields["standing in for"] == "mnist.MNIST"
    assert fields["pixels"] == "not applicable"


def test_stages_are_told_apart(tmp_path: Path):
    stages = """train:
    - {rule: {use: bounds.IWAE, k: 25}, epochs: 3, schedule: {anneal: 0.1}}
    - {rule: {use: bounds.IWAE, k: 50}, epochs: 9}
"""
    start, end = TABLE.index("train:"), TABLE.index("  evaluate:")
    example = make_example(tmp_path, TABLE[:start] + stages + TABLE[end:])
    fields = dict(make_section(example.comparison).protocol)
    assert fields["stage 1: epochs"] == "3"
    assert fields["stage 1: schedule"] == "{anneal: 0.1}"
    assert fields["stage 2: rule"] == "bounds.IWAE(k = 50)"


def test_only_named_blocks_have_a_common_part():
    schedules = [{"anneal": 0.1, "lr": {"0": 0.1}}, {"anneal": 0.2, "lr": {"0": 0.1}}]
    assert common_part(schedules) is None
    assert common_part([{"use": "a.A"}, {"use": "b.B"}]) is None
    assert common_part([{"use": "a.A", "k": 1}, None]) is None


def test_results_of_one_machine_stand_together_whatever_their_commits(example: Example):
    rows = list(example.comparison.rows)
    first, *rest = rows[0].results
    changed = first.model_copy(update={"commit": "fedcba9", "plugins": ["mine"]})
    rows[0] = replace(rows[0], results=(changed, *rest))
    (machine,) = make_section(replace(example.comparison, rows=tuple(rows))).machines
    assert dict(machine)["results"] == "34"
    assert dict(machine)["commit"] == "fedcba9 (1), 0123abc (33)"
    assert dict(machine)["plugins"] == "mine"


def test_warnings_of_a_kind_are_one_with_their_rows_seeds_and_range(example: Example):
    assert merged_warnings(example.comparison) == [
        "results of 2 files were skipped",
        "MNIST, dynamic, IWAE (seeds 0, 1): k̂ above 0.7 for 3 of 1000 images",
    ]

    def warn(outcome: RowOutcome, texts: list[str]) -> RowOutcome:
        said = zip(outcome.results, texts, strict=True)
        results = [r.model_copy(update={"warnings": [t] if t else []}) for r, t in said]
        return replace(outcome, results=tuple(results))

    rows = list(example.comparison.rows)
    text = "k̂ > 0.7 for {}% of points, C-12, log Z {}"
    rows[0] = warn(rows[0], [text.format(90 + i, -3.5 * i) for i in range(5)])
    rows[1] = warn(rows[1], ["", text.format(9, "1e-3"), "", "", "another"])
    rows[3] = warn(rows[3], [""] * 5)
    notices = [
        *(Notice("changed", (), (), "iwaer/table1", f"MNIST/fixed/{m}") for m in ("IWAE", "IWAER")),
        *(Notice("stale", ("quick",), (n,), "iwaer/table1", "MNIST/fixed/IWAE") for n in (1, 4)),
        Notice("stale", ("quick",), (2,), "mine/table", "MNIST/fixed/IWAE"),
    ]
    comparison = replace(example.comparison, rows=tuple(rows), notices=tuple(notices))
    assert merged_warnings(comparison) == [
        "MNIST, fixed, IWAE; MNIST, fixed, IWAER: the code has changed since it ran",
        "MNIST, fixed, IWAE: 1 to 4 quick results are stale: the spec has changed since",
        "MNIST/fixed/IWAE: 2 quick results are stale: the spec has changed since",
        "MNIST, fixed, IWAE; MNIST, fixed, IWAER (seed 1): "
        "k̂ > 0.7 for 9 to 94% of points, C-12, log Z -14.0 to 0.001",
        "MNIST, fixed, IWAER (seed 4): another",
    ]


def test_a_row_on_a_stand_in_shows_no_distance_from_print(example: Example):
    rows = list(example.comparison.rows)
    assert make_section(example.comparison).rows[1].difference == "−0.67"
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


def test_other_numbers_stand_in_a_table_of_their_own_unless_they_only_turn_the_sign(
    example: Example,
):
    rows = list(example.comparison.rows)
    results = []
    for seed, result in enumerate(rows[1].results):
        likelihood = result.metrics["log_likelihood"]
        more = {
            "nll": likelihood.model_copy(update={"value": -likelihood.value}),
            "log_likelihood_mean_weights": likelihood.model_copy(update={"value": -90.0 - seed}),
        }
        results.append(result.model_copy(update={"metrics": {**result.metrics, **more}}))
    rows[1] = replace(rows[1], results=tuple(results))
    found = make_section(replace(example.comparison, rows=tuple(rows))).others
    assert found.head == ["row", "active units", "log likelihood mean weights"]
    by_row = {line[0]: line[1:] for line in found.lines}
    assert by_row["MNIST, fixed, IWAER"] == ["18.40 ± 0.24", "−92.00 ± 0.71"]
    assert by_row["MNIST, fixed, IWAE"] == ["18.40 ± 0.24", NONE]
    assert len(by_row) == sum(bool(o.results) for o in rows)


def test_what_every_measured_row_warns_of_names_none(example: Example):
    rows = [
        replace(o, results=tuple(r.model_copy(update={"warnings": ["no"]}) for r in o.results))
        for o in example.comparison.rows
    ]
    n = sum(bool(o.results) for o in rows)
    found = merged_warnings(replace(example.comparison, rows=tuple(rows), notices=()))
    assert found == [f"all {n} measured rows: no"]


def test_smoke_results_raise_a_banner_of_their_own(tmp_path: Path):
    section = make_section(make_example(tmp_path, below="smoke").comparison)
    assert section.smoke
    assert section.banner.startswith("SMOKE RUN. 1 of the rows below")


def test_a_row_set_against_the_table_says_where_it_comes_from(tmp_path: Path, example: Example):
    mine = make_example(tmp_path, spec_id="mine/table").comparison.rows[1]
    guest = replace(mine, flags=(Flag("against"),))
    comparison = replace(example.comparison, rows=(*example.comparison.rows, guest))
    section = make_section(comparison)
    assert section.rows[-1].label == "mine/table: MNIST, fixed, IWAER"
    assert len({r.anchor for r in section.rows}) == len(section.rows)
    (grid,) = grids(comparison)
    assert [e.row for e in grid.lines[0].cells[1]] == [1, 11]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://arxiv.org/abs/1509.00519", True),
        ("javascript:alert(1)", False),
        ('https://x.org/" onclick="alert(1)', False),
        ("data:text/html,x", False),
    ],
)
def test_only_web_addresses_become_links(example: Example, url, kept):
    papers = {"iwaer": {"title": "T", "authors": ["A B", "C D"], "url": url}}
    found = reference(papers, example.spec)
    assert found == Reference("A B and C D. T.", url if kept else "")


def test_a_table_is_cited_by_the_paper_its_source_names(example: Example):
    papers = {
        "iwaer": {"title": "T", "authors": ["A. One"]},
        "iwae": {"title": "U", "authors": ["B. Two", "C. Three"], "year": 2016, "arxiv": "1509.1"},
    }
    assert reference(papers, example.spec) == Reference("A. One. T.")
    spec = example.spec.model_copy(update={"source": "Two & Three (2016), Table 1"})
    expected = Reference("B. Two and C. Three. U. 2016.", "https://arxiv.org/abs/1509.1")
    assert reference(papers, spec) == expected
    assert reference({"iwaer": "A (2015). T."}, spec) == Reference("A (2015). T.")
    assert reference(None, spec) is None


def test_json_is_plain_and_complete(example: Example):
    rows = list(example.comparison.rows)
    rows[0] = replace(rows[0], difference=float("nan"))
    comparison: Comparison = replace(example.comparison, rows=tuple(rows))
    out = json.loads(json.dumps(to_json(comparison), allow_nan=False))
    assert [r["verdict"] for r in out["rows"]] == [o.verdict for o in rows]
    assert out["rows"][0]["difference"] is None
    assert out["rows"][1]["mean"] == pytest.approx(-95.014)
    assert out["rows"][1]["se"] == pytest.approx(0.078 / 5**0.5)
    assert out["rows"][1]["interval"]["level"] == 0.9
    assert [c["verdict"] for c in out["claims"]] == [c.verdict for c in comparison.claims]
    assert out["claims"][0]["parts"][1]["p"] == 0.14
