"""hwbench list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwbench.cli import console
from hwbench.cli.options import (
    RESULTS,
    BenchmarksOption,
    JsonOption,
    Names,
    PluginOption,
    StoredOption,
)
from hwbench.cli.shelves import SHELF_KINDS, print_shelf

if TYPE_CHECKING:
    from rich.text import Text

    from hwbench.verdict.outcome import Comparison


def list_(
    names: Names = None,
    results: StoredOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """List specs with their rows, results and verdicts; or a shelf: what specs may use.

    Examples: [bold]hwbench list[/], [bold]hwbench list rules[/],
    [bold]hwbench list models --plugin mypackage[/]
    """
    if names and names[0] in SHELF_KINDS and len(names) == 1:
        print_shelf(names[0], plugin or [], as_json)
        return
    from rich.table import Column, Table

    from hwbench.cli.views import Views, json_view
    from hwbench.spec.files import benchmarks_folder, spec_paths

    views = Views(spec_paths(names, benchmarks_folder(benchmarks)), results)
    if as_json:
        console.print_json(views.get("json", json_view))
        return
    wide = console.out.width >= 120
    heads = ["spec", *(["title"] if wide else []), "rows", "on file", "verdicts", "claims"]
    columns = [Column(head, no_wrap=not wide or head == "spec") for head in heads]
    table = Table(*columns, box=None, header_style="bold", padding=(0, 2 if wide else 1, 0, 0))
    found = views.get("tallies", _line)
    for spec_id, title, rows, on_file, *tallies in found:
        shown = map(_words if wide else _symbols, tallies)
        table.add_row(spec_id, *([title] if wide else []), rows, on_file, *shown)
    console.out.print(table)
    if not wide:
        console.out.print(_legend(found), style="dim")


def _words(tally: Sequence[Mapping[str, Any]]) -> Text:
    """Return verdicts with their numbers, in words."""
    from rich.text import Text

    return Text(", ".join(f"{t['number']} {t['verdict']} {t['at']}".rstrip() for t in tally))


def _symbols(tally: Sequence[Mapping[str, Any]]) -> Text:
    """Return verdicts with their numbers as symbols, those below full in brackets."""
    from rich.text import Text

    def joined(below: bool) -> Text:
        here = [t for t in tally if bool(t["at"]) == below]
        return Text(" ").join(Text(f"{t['symbol']}{t['number']}", style=t["style"]) for t in here)

    full, below = joined(False), joined(True)
    if not below:
        return full
    return full + Text(" (" if full else "(") + below + Text(")")


def _legend(found: Sequence[Sequence[Any]]) -> str:
    """Return the names of the symbols that occur."""
    parts = []
    for place in (-2, -1):
        used = {(t["rank"], t["symbol"], t["verdict"]) for line in found for t in line[place]}
        parts.append(" ".join(f"{symbol} {verdict}" for _, symbol, verdict in sorted(used)))
    rows, claims = parts
    below = any(t["at"] for line in found for t in line[-1])
    told = f"; claims: {claims}" if claims else ""
    return f"verdicts: {rows}{told}{', in brackets from shortened runs' if below else ''}"


def _line(comparison: Comparison) -> list[Any]:
    """Return a spec's id, title, rows, results, and its tallies of verdicts and claims."""
    from hwbench.report.claims import claim_tally, row_tally
    from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, STYLES
    from hwbench.spec import PROFILES

    rows = comparison.rows
    used = [p for p in reversed(PROFILES) if any(r.profile == p for r in rows)]
    tallies = [
        [
            {
                "verdict": t.verdict,
                "number": t.number,
                "at": t.at,
                "symbol": meanings[t.verdict].symbol,
                "style": STYLES.get(t.verdict, ""),
                "rank": list(meanings).index(t.verdict),
            }
            for t in tally
        ]
        for tally, meanings in (
            (row_tally(comparison), ROW_VERDICTS),
            (claim_tally(comparison), CLAIM_VERDICTS),
        )
    ]
    on_file = f"{sum(bool(r.results) for r in rows)} {', '.join(used)}".rstrip()
    return [comparison.spec.id, comparison.spec.title, str(len(rows)), on_file, *tallies]
