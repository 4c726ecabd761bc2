"""hwbench check."""

from __future__ import annotations

from typing import Annotated

import typer

from hwbench.cli import console
from hwbench.cli.options import BenchmarksOption, JsonOption, Names, PluginOption
from hwbench.numbers import counted


def check(
    files: Names = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a spec file, for editors.")
    ] = False,
    benchmarks: BenchmarksOption = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate specs and build every row's model, without training.

    Examples: [bold]hwbench check[/], [bold]hwbench check my/table.yaml[/]
    """
    from hwbench.spec.files import json_schema

    if schema:
        console.print_json(json_schema())
        return
    from hwbench.build import allow_plugins
    from hwbench.check import check as check_blocks
    from hwbench.spec.files import benchmarks_folder, load_specs

    allow_plugins(plugin or [])
    specs = load_specs(files, benchmarks_folder(benchmarks), check_blocks)
    if as_json:
        found = [{"spec": s.id, "rows": len(s.rows), "claims": len(s.claims)} for s in specs]
        console.print_json(found)
        return
    for s in specs:
        console.out.print(
            f"{s.id}: {counted(len(s.rows), 'row')}, {counted(len(s.claims), 'claim')}: OK"
        )
