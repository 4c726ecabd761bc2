"""hwbench list."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    with_titles = console.out.width >= 120
    heads = ["title"] if with_titles else []
    table = Table(
        Column("spec", no_wrap=True),
        *heads,
        "rows",
        "on file",
        "verdicts",
        "claims",
        box=None,
        header_style="bold",
    )
    for spec_id, title, *rest in views.get("line", _line):
        table.add_row(spec_id, *([title] if with_titles else []), *rest)
    console.out.print(table)


def _line(comparison: Comparison) -> list[str]:
    """Return the texts of a spec's line: id, title, rows, results, verdicts and claims."""
    from hwbench.report.claims import claim_tally, row_tally
    from hwbench.spec import PROFILES

    rows = comparison.rows
    used = [p for p in reversed(PROFILES) if any(r.profile == p for r in rows)]
    tallies = [
        ", ".join(f"{t.number} {t.verdict} {t.at}".rstrip() for t in tally)
        for tally in (row_tally(comparison), claim_tally(comparison))
    ]
    on_file = f"{sum(bool(r.results) for r in rows)} {', '.join(used)}".rstrip()
    return [comparison.spec.id, comparison.spec.title, str(len(rows)), on_file, *tallies]
