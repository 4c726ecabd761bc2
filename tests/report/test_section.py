"""A section as a whole: tallies and banner."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hwbench.report.section import make_section
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, below_full
from hwbench.spec import load
from hwbench.store import Store
from hwbench.verdict.table import compare
from tests.conftest import TINY

from .conftest import RUNS, Example, make_example


def test_the_example_has_every_verdict_that_a_judge_can_give(example: Example):
    assert [o.verdict for o in example.comparison.rows] == [runs.verdict for runs in RUNS]
    assert {o.verdict for o in example.comparison.rows} == set(ROW_VERDICTS)
    assert {c.verdict for c in example.comparison.claims} == set(CLAIM_VERDICTS)


def test_every_row_and_claim_is_counted_and_the_worst_comes_first(example: Example):
    section = make_section(example.comparison)
    rows, claims = example.comparison.rows, example.comparison.claims
    assert {t.verdict: t.number for t in section.tally} == Counter(o.verdict for o in rows)
    assert section.tally[0].verdict == "worse"
    assert [(t.number, t.verdict, t.at) for t in section.claim_tally] == [
        (1, "fails", ""),
        (1, "holds", ""),
        (1, "undecided", ""),
        (1, "missing", ""),
        (1, "undecided", "at quick"),
    ]
    assert [c.at for c in section.claims] == [below_full(c) for c in claims]


def test_smoke_results_raise_a_banner_of_their_own(tmp_path: Path):
    section = make_section(make_example(tmp_path, below="smoke").comparison)
    assert section.smoke
    assert section.banner.startswith("SMOKE RUN. 1 of the rows below")


def test_a_row_that_a_profile_leaves_out_is_run_at_the_next_that_has_it(folder: Path):
    path = folder / "benchmarks/tiny/table.yaml"
    row = "- at: {method: long}\n    profiles: {smoke: null, quick: null}"
    path.write_text(TINY.replace("rows:\n", f"rows:\n  {row}\n"))
    comparison = compare(load(path), Store(folder / "results"), profile="smoke")
    found = {label: w.command for w in make_section(comparison).waiting for label in w.rows}
    run = "hwbench run tiny/table --profile"
    assert found == {"long": f"{run} full", "IWAE": f"{run} smoke", "VAE": f"{run} smoke"}
