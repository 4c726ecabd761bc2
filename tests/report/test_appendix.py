"""Further metrics and machines."""

from __future__ import annotations

from dataclasses import replace

from hwbench.report.section import make_section
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
