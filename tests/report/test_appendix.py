"""Further metrics and machines."""

from __future__ import annotations

from dataclasses import replace

from hwbench.report.formats.json import to_json
from hwbench.report.formats.markdown import section_text
from hwbench.report.section import make_section
from hwbench.report.words import on_other_data
from hwbench.spec import Published, Quoted
from hwbench.typography import NONE

from .conftest import Example


def test_results_of_one_machine_stand_together_whatever_their_commits(example: Example):
    rows = list(example.comparison.rows)
    first, *rest = rows[0].results
    changed = first.model_copy(update={"commit": "fedcba9", "plugins": ["mine"]})
    rows[0] = replace(rows[0], results=(changed, *rest))
    (machine,) = make_section(replace(example.comparison, rows=tuple(rows))).machines
    assert dict(machine)["results"] == "39"
    assert dict(machine)["commit"] == "fedcba9 (1), 0123abc (38)"
    assert dict(machine)["plugins"] == "mine"


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


def test_quoted_values_stand_beside_the_rows_measured_at_full(example: Example):
    """Digits as published; a row counts where it stands, and counts as better by the metric."""
    spec = example.comparison.spec
    beside = {"data": "MNIST", "pixels": "fixed"}
    quoted = [
        Quoted(model="DARN", published=Published.parse("-84.10"), known="memory"),
        Quoted(model="NVIL", at=beside, published=Published.parse("-300"), note="a bound"),
    ]
    spec = spec.model_copy(update={"quoted": quoted})
    comparison = replace(example.comparison, spec=spec)
    listing = make_section(comparison).quoted
    at = ["data", "pixels"]
    assert listing.head == ["model", *at, "published", "known", "rows at full", "note"]
    full = [o for o in comparison.rows if o.profile == "full" and not on_other_data(o)]
    near = [o for o in full if o.row.matches(beside)]
    better = sum(o.mean > -84.1 for o in full)
    assert 0 < len(near) < len(full)
    assert listing.lines == [
        [
            "DARN",
            NONE,
            NONE,
            "−84.10",
            "from memory, confidence high",
            f"{better} of {len(full)} better",
            "",
        ],
        [
            "NVIL",
            "MNIST",
            "fixed",
            "−300",
            "from document",
            f"{len(near)} of {len(near)} better",
            "a bound",
        ],
    ]
    assert "NVIL" in section_text(make_section(comparison))
    assert [q["published"]["text"] for q in to_json(comparison)["quoted"]] == ["-84.10", "-300"]


def test_values_at_one_coordinate_have_a_column_for_each_of_its_values(example: Example):
    quoted = [
        Quoted(model=model, at={"data": data}, published=Published.parse(text))
        for model, data, text in [("A", "MNIST", "-90"), ("B", "MNIST", "-91.0"), ("B", "X", "-3")]
    ]
    spec = example.comparison.spec.model_copy(update={"quoted": quoted})
    full = [
        o for o in example.comparison.rows if o.profile == "full" and o.row.at["data"] == "MNIST"
    ]
    comparison = replace(example.comparison, spec=spec, rows=tuple(full))
    listing = make_section(comparison).quoted
    assert listing.head == ["model", "MNIST", "X", "known"]
    better = sum(o.mean > -90 for o in full), sum(o.mean > -91 for o in full)
    assert listing.lines == [
        ["A", f"−90 {better[0]} of {len(full)} better", NONE, "from document"],
        ["B", f"−91.0 {better[1]} of {len(full)} better", "−3", "from document"],
    ]


def test_times_of_several_machines_are_a_range_and_no_mean(example: Example):
    rows = list(example.comparison.rows)
    times = {0: (3452.0, "CPU (Xeon)"), 1: (409.0, "CPU (EPYC)"), 2: (423.0, "CPU (EPYC)")}
    results = [
        r.model_copy(
            update={
                "seconds": r.seconds | {"train": times[r.case.seed][0]},
                "machine": r.machine | {"device": times[r.case.seed][1]},
                "steps_per_second": 0.0,
            }
        )
        for r in rows[0].results
        if r.case.seed in times
    ]
    rows[0] = replace(rows[0], results=tuple(results))
    listing = make_section(replace(example.comparison, rows=tuple(rows))).timings
    by_row = {line[0]: dict(zip(listing.head, line, strict=True)) for line in listing.lines}
    first = by_row["MNIST, fixed, IWAE"]
    assert first["training"] == "6 min 49 s to 57 min 32 s"
    assert first["evaluation"] == "1 min 14 s"
    assert first["steps/s"] == NONE  # a fit has no steps
    assert set(first["processor"].split(", ")) == {"CPU (Xeon)", "CPU (EPYC)"}
    assert by_row["MNIST, fixed, IWAER"]["training"] == "1 h 24 min"
    assert "processor" not in make_section(example.comparison).timings.head
