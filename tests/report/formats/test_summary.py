"""The summary of a table on one screen."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from hwbench.report.formats.summary import JUDGED, print_summary
from hwbench.report.words import ROW_VERDICTS, row_label
from hwbench.verdict.outcome import ClaimOutcome
from hwbench.verdict.pairing import Pairing, Trait
from hwbench.verdict.reasons import Differs, Tally

from ..conftest import Example


def printed(comparison, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_summary(console, comparison)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_any_table_fits_on_a_screen(example: Example, width):
    many = replace(
        example.comparison,
        rows=example.comparison.rows * 9,
        claims=example.comparison.claims * 9,
        notices=example.comparison.notices * 9,
    )
    lines = printed(many, width)
    assert len(lines) <= 40
    assert max(cell_len(line.rstrip()) for line in lines) <= width
    text = "\n".join(lines)
    assert "more rows" in text
    assert "more claims" in text
    assert "--verbose" in lines[-1]


def test_what_was_judged_comes_first_and_what_has_no_result_is_folded(example: Example):
    lines = printed(example.comparison, 140)
    rule = next(i for i, line in enumerate(lines) if line.startswith("──"))
    shown = [line.split()[-1] for line in lines[rule + 1 :] if line and "without" not in line]
    verdicts = [word for word in shown if word in {o.verdict for o in example.comparison.rows}]
    judged = [verdict in JUDGED for verdict in verdicts]
    assert judged == sorted(judged, reverse=True)
    assert any(judged)
    missing = sum(not o.results for o in example.comparison.rows)
    assert missing
    folded = [line for line in lines if "without a result" in line]
    assert sum(int(line.split()[0]) for line in folded) == missing


@pytest.mark.parametrize("width", [80, 100])
def test_numbers_and_verdicts_are_whole(example: Example, width):
    lines = printed(example.comparison, width)
    start = next(i for i, line in enumerate(lines) if line.startswith("──"))
    (head,) = [line for line in lines if line.startswith("row ")]
    assert "…" not in head
    shown = [o for o in example.comparison.rows if o.results]
    marks = {ROW_VERDICTS[o.verdict].symbol for o in shown} | {o.verdict for o in shown}
    for line in lines[start + 1 : start + 1 + len(shown)]:
        *_, verdict = line.split()
        assert verdict in marks
        assert "…" not in line[34:]


def test_names_come_before_the_words_of_verdicts(example: Example):
    """Where both do not fit, symbols stand for them, and the line of tallies has the words."""
    name = max((o for o in example.comparison.rows if o.results), key=lambda o: len(row_label(o)))
    for width, words in ((140, True), (60 + len(row_label(name)), False)):
        lines = printed(example.comparison, width)
        (tally,) = [line for line in lines if line.startswith("rows: ")]
        (line,) = [line for line in lines if line.startswith(row_label(name))]
        symbol = ROW_VERDICTS[name.verdict].symbol
        assert f"{symbol} {name.verdict}" in tally
        assert line.rstrip().endswith(f"{symbol} {name.verdict}" if words else symbol)


def test_names_that_are_cut_stay_different(example: Example):
    """At 70 columns both ends of names stand there; no column is empty."""
    lines = printed(example.comparison, 70)
    start = next(i for i, line in enumerate(lines) if line.startswith("──"))
    end = next(line for line in lines if line.startswith("row ")).index("published")
    shown = [o for o in example.comparison.rows if o.results]
    names = [line[:end] for line in lines[start + 1 : start + 1 + len(shown)]]
    assert any("…" in name for name in names)
    assert len(set(names)) == len(names)
    reduced = [replace(o, published=None, difference=None, interval=None) for o in shown]
    short = printed(replace(example.comparison, rows=tuple(reduced)), 80)
    (head,) = [line for line in short if line.startswith("row ")]
    assert "difference" not in head


def test_a_rival_comes_first_and_is_told_what_it_lacks(example: Example):
    claim = example.comparison.claims[0]
    lacks = (Differs("batch size", "100", ("20",)),)
    part = replace(claim.parts[0], verdict="missing", reasons=lacks)
    asked = claim.claim.model_copy(update={"id": "against/mine"})
    tally = (Tally((("missing", 2),)),)
    mine = ClaimOutcome(asked, (part, part), "missing", tally)
    claims = (*example.comparison.claims, mine)
    lines = printed(replace(example.comparison, claims=claims), 140)
    at = next(i for i, line in enumerate(lines) if "against/mine" in line)
    assert at < next(i for i, line in enumerate(lines) if line.startswith("row "))
    assert lines[at].endswith("Not comparable: batch size is 100 here, 20 in the table.")


def test_a_claim_names_other_data(example: Example):
    claim = example.comparison.claims[0]
    parts = [replace(p, stand_ins=(("digits.Digits", "mnist.MNIST"),)) for p in claim.parts]
    claims = (replace(claim, parts=tuple(parts)),)
    text = "\n".join(printed(replace(example.comparison, claims=claims), 140))
    assert "IWAER-C1  on other data: digits.Digits; " in text


def test_tallies_name_every_verdict(example: Example):
    text = "\n".join(printed(example.comparison, 140))
    for outcome in example.comparison.rows:
        assert outcome.verdict in text


def test_a_rival_is_shown_with_what_differs(example: Example):
    traits = (Trait("training steps", 30000.0, 10000.0, True), Trait("model: latent", "9", None))
    pairing = Pairing("me/mine", "Mine", "IWAE", traits)
    text = "\n".join(printed(replace(example.comparison, pairings=(pairing,)), 100))
    assert "Mine (me/mine) beside IWAE" in text
    (line,) = [line for line in text.splitlines() if line.startswith("training steps")]
    words = [word for word in line.split(" ") if word]
    assert words[2:] == ["unequal", "30\u202f000", "10\u202f000"]
