"""Verdicts in the terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from hwbench.report.formats.terminal import print_comparison
from hwbench.report.words import ROW_VERDICTS, below_full, sentence
from hwbench.spec import label

from ..conftest import Example


def printed(comparison, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_comparison(console, comparison)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_rows_claims_reasons_and_warnings_are_printed_at_any_width(example: Example, width):
    text = " ".join(printed(example.comparison, width).split())
    if width < 110:
        for outcome in example.comparison.rows:
            symbol = ROW_VERDICTS[outcome.verdict].symbol
            assert f"{symbol} {outcome.verdict} {label(outcome.row.at)}" in text
            assert " ".join(sentence(outcome.reason).split()) in text
    assert text.count("missing") >= 3
    for claim in example.comparison.claims:
        verdict = f"{claim.verdict} {below_full(claim)}".rstrip()
        assert f"{verdict} {claim.claim.id} {claim.claim.text}" in text
    assert "skipped: not a whole result file" in text
    assert "difference" in text


def test_no_line_is_wider_than_the_terminal(example: Example):
    for width in (60, 80, 140):
        lines = printed(example.comparison, width).splitlines()
        assert max(cell_len(line.rstrip()) for line in lines) <= width


def test_numbers_are_never_cut(example: Example):
    text = printed(example.comparison, 140)
    assert "…" not in text
    assert "−95.182 ± 0.022" in text


def test_text_is_neither_markup_nor_a_control_sequence(example: Example):
    hostile = "[red]x[/red] \x1b[2J [/nothing]"
    spec = example.spec.model_copy(update={"title": hostile})
    text = printed(replace(example.comparison, spec=spec, banner=hostile), 100)
    assert "[red]x[/red]" in text
    assert "\x1b" not in text


def test_a_row_judged_against_its_source_shows_the_source_and_its_note(example: Example):
    """Omniglot, IWAE: the document rounds what its source prints; judged against the source."""
    narrow = " ".join(printed(example.comparison, 80).split())
    numbers = "published −118.77, source −118.771 ± 0.035, measured −118.840"
    assert numbers in narrow
    after = narrow.split(numbers)[1].split("Omniglot")[0]
    assert "difference −0.07" in after
    assert "] from the source" in after
    assert narrow.count("from the source") == 1  # the others are judged against print
    wide = printed(example.comparison, 160)
    assert wide.count("source −118.771 ± 0.035") == wide.count("from the source") == 1
    for text in (narrow, wide):
        assert "printed in bold" in text  # the note of a row


def test_a_source_that_does_not_judge_is_told_as_such(example: Example):
    rows = [
        row.model_copy(update={"judge_against": "document"}) if row.source else row
        for row in example.spec.rows
    ]
    spec = example.spec.model_copy(update={"rows": rows})
    outcomes = [replace(o, row=row) for o, row in zip(example.comparison.rows, rows, strict=False)]
    text = printed(replace(example.comparison, spec=spec, rows=tuple(outcomes)), 80)
    text = " ".join(text.split())
    assert "original source: " in text
    assert "from the source" not in text
