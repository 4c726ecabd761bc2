"""Warnings."""

from __future__ import annotations

from dataclasses import replace

from hwbench.report.notices import merged_warnings
from hwbench.verdict.facts import Notice
from hwbench.verdict.outcome import RowOutcome

from .conftest import Example


def test_warnings_of_a_kind_are_one_with_their_rows_seeds_and_range(example: Example):
    first, *others = merged_warnings(example.comparison)
    assert "full-0.json: skipped: not a whole result file" in first
    assert others == [
        "MNIST, dynamic, IWAE: the code has changed since it ran",
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
        *(
            Notice("changed", (), (), "iwaer/table1", f"MNIST, fixed, {method}")
            for method in ("IWAE", "IWAER")
        ),
        *(Notice("stale", ("quick",), (n,), "iwaer/table1", "MNIST, fixed, IWAE") for n in (1, 4)),
        Notice("stale", ("quick",), (2,), "mine/table", "MNIST, fixed, IWAE"),
    ]
    comparison = replace(example.comparison, rows=tuple(rows), notices=tuple(notices))
    assert merged_warnings(comparison) == [
        "MNIST, fixed, IWAE; MNIST, fixed, IWAER: the code has changed since it ran",
        "MNIST, fixed, IWAE: 1 to 4 quick results are stale: the spec has changed since",
        "MNIST, fixed, IWAE: 2 quick results are stale: the spec has changed since",
        "MNIST, fixed, IWAE; MNIST, fixed, IWAER (seed 1): "
        "k̂ > 0.7 for 9 to 94% of points, C-12, log Z −14.0 to 0.001",
        "MNIST, fixed, IWAER (seed 4): another",
    ]


def test_what_every_measured_row_warns_of_names_none(example: Example):
    rows = [
        replace(o, results=tuple(r.model_copy(update={"warnings": ["no"]}) for r in o.results))
        for o in example.comparison.rows
    ]
    n = sum(bool(o.results) for o in rows)
    found = merged_warnings(replace(example.comparison, rows=tuple(rows), notices=()))
    assert found == [f"all {n} measured rows: no"]
