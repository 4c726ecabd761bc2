"""A table in the terminal on one screen: what was found, without the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwbench.numbers import counted
from hwbench.report.formats.terminal import print_pairing, verdict_text
from hwbench.report.section import make_section
from hwbench.report.views import ClaimView, RowView, Tally, Waiting
from hwbench.report.words import is_guest, row_label
from hwbench.typography import NONE
from hwbench.verdict.outcome import Comparison
from hwbench.verdict.rival import AGAINST

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

ROWS, CLAIMS, WARNINGS = 16, 9, 3  # lines of each; with the rest, 40 lines at most
WIDE = 100  # columns in which a row's numbers fit with their errors
JUDGED = ("failed", "worse", "better", "agrees", "undecided", "calibrated")  # shown first


def print_summary(console: Console, comparison: Comparison) -> None:
    """Print what was found in at most 40 lines; the rows that were judged come first."""
    from rich.text import Text

    section = make_section(comparison)
    if section.banner:
        _line(console, Text(f" {section.banner} ", style="bold white on red"))
    _line(console, Text(section.id, style="bold") + Text(f"  {section.title} ({section.source})"))
    _line(console, Text(f"{section.measure}. {section.summary}.", style="dim"))
    for name, tally in (("rows", section.tally), ("claims", section.claim_tally)):
        if tally:
            _line(console, _tally(name, tally))
    waiting = {name for group in section.waiting for name in group.rows}
    rows = [row for row in section.rows if row.label not in waiting]
    guests = {row_label(outcome) for outcome in comparison.rows if is_guest(outcome)}
    rows.sort(key=lambda row: (row.label not in guests, row.verdict not in JUDGED))
    claims = sorted(section.claims, key=lambda claim: not claim.id.startswith(AGAINST))
    for claim in claims:
        if claim.id.startswith(AGAINST):  # what one asked for, whole
            console.print(_claim(claim))
    if rows:
        _print_rows(console, rows[:ROWS])
    _rest(console, len(rows) - ROWS, "row")
    for group in section.waiting[:WARNINGS]:
        _line(console, Text(_waiting(group), style="dim"))
    for claim in claims[:CLAIMS]:
        if not claim.id.startswith(AGAINST):
            _line(console, _claim(claim))
    _rest(console, len(section.claims) - CLAIMS, "claim")
    for pairing in comparison.pairings:
        print_pairing(console, pairing)
    for warning in section.warnings[:WARNINGS]:
        _line(console, Text("warning: ", style="yellow") + Text(warning))
    _rest(console, len(section.warnings) - WARNINGS, "warning")
    _line(console, Text("Reasons and details: --verbose", style="dim"))


def _line(console: Console, text: object) -> None:
    """Print one line, cut at the width of the terminal."""
    console.print(text, no_wrap=True, overflow="ellipsis", crop=True, soft_wrap=False)


def _rest(console: Console, number: int, noun: str) -> None:
    from rich.text import Text

    if number > 0:
        _line(console, Text(f"… and {counted(number, f'more {noun}')}", style="dim"))


def _tally(name: str, tally: Sequence[Tally]) -> object:
    from rich.text import Text

    parts = [Text(f"{t.number} ") + verdict_text(t.verdict, t.at) for t in tally]
    return Text(f"{name}: ") + Text("  ").join(parts)


def _claim(claim: ClaimView) -> Text:
    """Return a claim's verdict and why: where nothing could be tested, what each part lacks."""
    from rich.text import Text

    reasons = dict.fromkeys(part.reason.rstrip(".") for part in claim.parts if part.reason)
    said = claim.reason or claim.text
    if claim.verdict == "missing" and reasons:
        said = "; ".join(reasons) + "."
    head = verdict_text(claim.verdict, claim.at) + Text(f"  {claim.id}  ", style="bold")
    return head + Text("; ".join([*claim.stand_ins, said]))


def _waiting(group: Waiting) -> str:
    names = "; ".join(group.rows)
    return f"{counted(len(group.rows), 'row')} without a result: {group.reason} ({names})"


def _print_rows(console: Console, rows: Sequence[RowView]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    marks = [verdict_text(row.verdict) for row in rows]
    cells = [
        [
            row.judged or row.published,
            row.measured,
            "" if row.difference == NONE else row.difference,
            mark.plain,
        ]
        for row, mark in zip(rows, marks, strict=True)
    ]
    heads = ["published", "measured ± s.e.", "difference", "verdict"]
    if console.width < WIDE:  # rather than cut a verdict
        heads[1] = "measured"
        cells = [[line[0].split(" ±")[0], *line[1:]] for line in cells]
    if not any(line[2] for line in cells):
        heads, cells = [*heads[:2], heads[3]], [[*line[:2], line[3]] for line in cells]
    longest = max(len(row.label) for row in rows)
    if _room(console, heads, cells) < longest:  # the line of tallies has the words
        heads[-1] = ""
        marks = [mark[:1] for mark in marks]
        cells = [[*line[:-1], mark.plain] for line, mark in zip(cells, marks, strict=True)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    label = max(min(_room(console, heads, cells), longest), 8)
    table.add_column("row", no_wrap=True, overflow="ellipsis", width=label)
    for name, width in zip(heads, _widths(heads, cells), strict=True):
        table.add_column(name, no_wrap=True, min_width=width)
    for row, line, mark in zip(rows, cells, marks, strict=True):
        texts = map(Text, (_without_middle(row.label, label), *line[:-1]))
        table.add_row(*texts, mark)
    console.print(table)


def _widths(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(heads, *cells, strict=True)]


def _room(console: Console, heads: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """Return the columns that are left for the names of rows."""
    return console.width - sum(_widths(heads, cells)) - 3 * len(heads)


def _without_middle(text: str, width: int) -> str:
    """Return a text cut to a width; both ends stay, since rows often differ in the last word.

    >>> _without_middle("MNIST, fixed, IWAER_rec", 16)
    'MNIST…IWAER_rec'
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 3
    return f"{text[:head].rstrip(' ,')}…{text[-(width - 1 - head) :].lstrip()}"
