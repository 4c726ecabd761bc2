"""hwbench list."""

from __future__ import annotations

import json

from hwbench.cli import console
from hwbench.cli.options import RESULTS, BenchmarksOption, JsonOption, Names, ResultsOption


def list_(
    names: Names = None,
    results: ResultsOption = RESULTS,
    benchmarks: BenchmarksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Specs, their rows, what is on file, and the verdicts."""
    from rich.table import Column, Table

    from hwbench.report.claims import claim_tally, row_tally
    from hwbench.sources import fingerprint
    from hwbench.spec import PROFILES
    from hwbench.spec.files import benchmarks_folder, load_specs
    from hwbench.store import Store
    from hwbench.verdict.table import compare

    store = Store(results)
    found = [
        compare(s, store, fingerprint=fingerprint)
        for s in load_specs(names, benchmarks_folder(benchmarks))
    ]
    if as_json:
        from hwbench.report.formats.json import to_json

        console.out.print_json(json.dumps([to_json(c) for c in found]))
        return
    titles = ["title"] if console.out.width >= 120 else []
    heads: list[Column | str] = [
        Column("spec", no_wrap=True),
        *titles,
        "rows",
        "on file",
        "verdicts",
        "claims",
    ]
    table = Table(*heads, box=None, header_style="bold")
    for c in found:
        used = [p for p in reversed(PROFILES) if any(r.profile == p for r in c.rows)]
        table.add_row(
            c.spec.id,
            *([c.spec.title] if titles else []),
            str(len(c.rows)),
            f"{sum(bool(r.results) for r in c.rows)} {', '.join(used)}".rstrip(),
            *(
                ", ".join(f"{t.number} {t.verdict} {t.at}".rstrip() for t in tally)
                for tally in (row_tally(c), claim_tally(c))
            ),
        )
    console.out.print(table)
