"""hwbench data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from hwbench.cli import console
from hwbench.cli.console import DONE, FAILED, VERDICT
from hwbench.cli.options import JsonOption, PluginOption, Words

app = typer.Typer(help="List, verify and download data files.", no_args_is_help=True)


def print_files(records: Sequence[Any], as_json: bool) -> None:
    """Print the location and state of each file."""
    from rich.table import Table

    if as_json:
        console.print_json([r.as_dict() for r in records])
        return
    table = Table("file", "state", box=None, header_style="bold")
    table.add_column("location or source", overflow="fold")  # a truncated path is useless
    styles = {"corrupt": "red", "absent": "yellow", "verified": "green"}
    for r in records:
        where = str(r.path) if r.path else next(iter(r.file.addresses), "local only")
        table.add_row(
            r.file.name, r.state, f"{where} {r.detail}".rstrip(), style=styles.get(r.state)
        )
    console.out.print(table)


@app.command("list")
def data_list(
    words: Words = None, as_json: JsonOption = False, plugin: PluginOption = None
) -> None:
    """List data files with their state and location."""
    from hwbench.build import allow_plugins
    from hwbench.datasets import files

    allow_plugins(plugin or [])
    print_files(files.listing(words or []), as_json)


@app.command("verify")
def data_verify(
    words: Words = None, as_json: JsonOption = False, plugin: PluginOption = None
) -> None:
    """Verify the checksums of files; exit 1 if one is wrong."""
    from hwbench.build import allow_plugins
    from hwbench.datasets import files

    allow_plugins(plugin or [])
    records = files.verify(words or [])
    print_files(records, as_json)
    if any(r.state == "corrupt" for r in records):
        raise typer.Exit(VERDICT)


@app.command("fetch")
def data_fetch(words: Words = None, plugin: PluginOption = None) -> None:
    """Download missing files; exit 4 if one is unavailable.

    Example: [bold]hwbench data fetch mnist binarized_mnist[/]
    """
    from hwbench.build import allow_plugins
    from hwbench.datasets import files
    from hwbench.protocols import DataMissing

    allow_plugins(plugin or [])
    code = DONE
    for name in files.select(words or []):
        try:
            console.out.print(f"{name}: {files.fetch(name)}")
        except DataMissing as error:
            console.err.print(str(error), style="red")
            code = FAILED
    raise typer.Exit(code)
