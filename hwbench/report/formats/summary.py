"""A table in the terminal on one screen: what was found, without the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwbench.numbers import counted
from hwbench.report.formats.terminal import print_pairing, verdict_text
from hwbench.report.section import make_section
from hwbench.report.views import RowView, Tally, Waiting
from hwbench.typography import NONE
from hwbench.verdict.outcome import Comparison

if TYPE_CHECKING:
    from rich.console import Console

ROWS, CLAIMS, WARNINGS = 16, 9, 3  # lines of each; with the rest, 40 lines at most
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
    rows.sort(key=lambda row: row.verdict not in JUDGED)
    if rows:
        _print_rows(console, rows[:ROWS])
    _rest(console, len(rows) - ROWS, "row")
    for group in section.waiting[:WARNINGS]:
        _line(console, Text(_waiting(group), style="dim"))
    for claim in section.claims[:CLAIMS]:
        head = verdict_text(claim.verdict, claim.at) + Text(f"  {claim.id}  ", style="bold")
        _line(console, head + Text(claim.reason or claim.text))
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


def _waiting(group: Waiting) -> str:
    names = "; ".join(group.rows)
    return f"{counted(len(group.rows), 'row')} without a result: {group.reason} ({names})"


def _print_rows(console: Console, rows: Sequence[RowView]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("row", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in ("published", "measured ± s.e.", "difference", "verdict"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        difference = "" if row.difference == NONE else row.difference
        cells = (row.label, row.judged or row.published, row.measured, difference)
        table.add_row(*map(Text, cells), verdict_text(row.verdict))
    console.print(table)
