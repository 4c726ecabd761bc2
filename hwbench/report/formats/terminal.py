"""Rows and claims in the terminal, each with its verdict and the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwbench.numbers import count, short
from hwbench.report.alignment import lined_up
from hwbench.report.section import make_section
from hwbench.report.views import ClaimView, RowView, Section
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, STYLES
from hwbench.typography import NONE
from hwbench.verdict.outcome import Comparison
from hwbench.verdict.pairing import Pairing, Trait

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def verdict_text(verdict: str, at: str = "") -> Text:
    """Return a verdict as symbol and word; its colour repeats them, softer below full."""
    from rich.text import Text

    meaning = {**ROW_VERDICTS, **CLAIM_VERDICTS}[verdict]
    style = "red" if at and verdict == "fails" else STYLES.get(verdict, "dim")
    return Text(f"{meaning.symbol} {verdict} {at}".rstrip(), style=style)


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print banner, rows, claims and warnings; in fewer than 110 columns as a list, not a table.

    Text is printed literally: nothing in it is read as rich's markup or as a control sequence of
    the terminal.
    """
    from rich.panel import Panel
    from rich.text import Text

    section = make_section(comparison)
    if section.banner:
        console.print(Panel(Text(section.banner, style="bold"), border_style="bold red"))
    console.print(Text(section.id, style="bold") + Text(f"  {section.title} ({section.source})"))
    console.print(Text(f"{section.measure}. {section.summary}.", style="dim"))
    if section.shared:
        facts = f"Unless noted: {', '.join(section.shared)}; ± is the standard error over seeds."
        console.print(Text(facts, style="dim"))
    console.print()
    if console.width >= 110:
        _print_table(console, lined_up(section))
    else:
        for row in section.rows:
            head = Text(row.label, style="bold")
            _entry(console, verdict_text(row.verdict), head, _row_lines(row))
    for claim in section.claims:
        head = Text(f"{claim.id}  ", style="bold") + Text(claim.text)
        _entry(console, verdict_text(claim.verdict, claim.at), head, _claim_lines(claim))
    for pairing in comparison.pairings:
        print_pairing(console, pairing)
    for warning in section.warnings:
        console.print(Text("warning: ", style="yellow") + Text(warning))


def _notes(row: RowView) -> str:
    source = "" if row.judged else row.source
    return "; ".join(t for t in dict.fromkeys([*row.own, *row.flags, source, row.note]) if t)


def _row_lines(row: RowView) -> list[str]:
    numbers = f"published {row.published}, "
    if row.judged:
        numbers += f"source {row.judged}, "
    numbers += f"measured {row.measured}"
    if row.difference != NONE:
        numbers += f", difference {_difference(row, ' ')}"
    notes = _notes(row)
    return [numbers, row.reason, *([notes] if notes else [])]


def _difference(row: RowView, between: str) -> str:
    text = f"{row.difference} {row.interval}".rstrip()
    from_source = row.judged and row.difference != NONE
    return f"{text}{between}from the source" if from_source else text


def _claim_lines(claim: ClaimView) -> list[str]:
    lines = [claim.reason] if claim.reason else []
    for p in claim.parts:
        verdict = "" if len(claim.parts) == 1 else f"{p.verdict}, "
        verdict += "" if p.counts else "not counted, "
        effect = "" if p.effect == NONE else f"{p.effect} {p.interval}".rstrip()
        reason = "" if p.reason == claim.reason else p.reason
        said = "; ".join(t for t in (effect, p.test, p.p, p.profile, p.stand_in, reason) if t)
        lines.append(f"{p.at}: {verdict}{said or 'no result'}")
    return lines


def _entry(console: Console, verdict: Text, head: Text, lines: list[str]) -> None:
    """Print a verdict with its subject, and details on indented lines below."""
    from rich.padding import Padding
    from rich.text import Text

    console.print(verdict + Text("  ") + head)
    for line in lines:
        console.print(Padding(Text(line, style="dim"), (0, 0, 0, 4), expand=False))


def print_pairing(console: Console, pairing: Pairing) -> None:
    """Print where a row of the user's own spec and its rival differ."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    console.print()
    console.print(Text(f"{pairing.row} ({pairing.spec}) beside {pairing.rival}", style="bold"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("", "mine", "theirs"):
        table.add_column(name, overflow="fold")
    for trait in pairing.traits:
        mark = Text(" unequal", style="yellow") if trait.budget else Text("")
        table.add_row(Text(trait.name) + mark, *(Text(v) for v in trait_texts(trait)))
    console.print(table)


def trait_texts(trait: Trait) -> tuple[str, str]:
    """Return both values of a trait for people."""

    def text(value: str | float | None) -> str:
        if isinstance(value, float):
            return count(round(value)) if value > 99 else short(value, 3)
        return NONE if value is None else value

    return text(trait.mine), text(trait.theirs)


def _print_table(console: Console, section: Section) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("row", overflow="fold", min_width=12)
    for name in ("published", "measured ± s.e.", "difference", "verdict"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason", overflow="fold", ratio=1)
    for r in section.rows:
        notes = _notes(r)
        table.add_row(
            Text(r.label),
            Text(f"{r.published}\nsource {r.judged}" if r.judged else r.published),
            Text(r.measured),
            Text(_difference(r, "\n")),
            verdict_text(r.verdict),
            Text(r.reason) + Text(f" ({notes})" if notes else "", style="dim"),
        )
    console.print(table)
    console.print()
