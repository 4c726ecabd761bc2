"""hwbench compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hwbench.cli import console
from hwbench.cli.console import DONE, VERDICT
from hwbench.cli.options import (
    RESULTS,
    AgainstOption,
    BenchmarksOption,
    JsonOption,
    Needed,
    PluginOption,
    RequireOption,
    ShownProfile,
    StoredOption,
    VerboseOption,
    profile_named,
    verdicts_named,
)


def compare(
    names: Needed,
    profile: ShownProfile = None,
    against: AgainstOption = None,
    results: StoredOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
    require: RequireOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 if the code behind a result has changed.")
    ] = False,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print verdicts on rows and claims: a summary on one screen, or all with --verbose.

    Examples: [bold]hwbench compare table1[/], [bold]hwbench compare table1 --against mine.yaml[/],
    [bold]hwbench compare table1 --require agrees,better[/]
    """
    from hwbench.cli.views import Views, json_view, summary_view, terminal, text_view
    from hwbench.spec.files import benchmarks_folder, spec_paths

    if plugin:
        from hwbench.build import allow_plugins

        allow_plugins(plugin)
    verdicts, folder = verdicts_named(require), benchmarks_folder(benchmarks)
    text = ("text", text_view) if verbose else ("summary", summary_view)
    kind, view = ("json", json_view) if as_json else (f"{text[0]} {terminal()}", text[1])
    found = []
    if verdicts or strict or against:
        found = comparisons(names, profile, results, folder, against)
        views = [view(c) for c in found]
    else:
        kept = Views(spec_paths(names, folder), results, profile_named(profile))
        views = kept.get(kind, view)
    if as_json:
        console.print_json(views)
    else:
        console.out.write("".join(views))
    code = judge(found, verdicts, strict)
    if code:
        raise typer.Exit(code)


def comparisons(
    names: Sequence[str] | None,
    profile: str | None,
    results: Path,
    folder: Path,
    against: Path | None = None,
) -> list[Any]:
    """Return the verdicts on specs, from the stored results."""
    from hwbench.sources import fingerprint
    from hwbench.spec.files import load_specs
    from hwbench.store import Store
    from hwbench.verdict.table import compare as compare_spec

    store = Store(results)
    mine = load_specs([str(against)], folder)[0] if against else None
    chosen = profile_named(profile)
    specs = load_specs(names, folder)
    return [
        compare_spec(s, store, profile=chosen, against=mine, fingerprint=fingerprint) for s in specs
    ]


def judge(found: Sequence[Any], wanted: set[str], strict: bool = False) -> int:
    """Print each row that lacks a required verdict or whose code changed; return 1 if any does."""
    from hwbench.spec import label

    code = DONE
    for c in found:
        for row in c.rows:
            name = f"{c.spec.id} {label(row.row.at)}"
            if wanted and row.verdict not in wanted:
                console.err.print(
                    f"{name}: {row.verdict}, required {' or '.join(sorted(wanted))}", style="red"
                )
                code = VERDICT
            if strict and row.has("changed"):
                console.err.print(f"{name}: its code has changed since it ran", style="red")
                code = VERDICT
        for claim in c.claims:
            old = dict.fromkeys(name for part in claim.parts for name in part.changed)
            if strict and old:
                rows = ", ".join(old)
                console.err.print(
                    f"{c.spec.id} {claim.claim.id}: the code has changed since {rows} ran",
                    style="red",
                )
                code = VERDICT
    return code
