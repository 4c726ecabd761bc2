"""hwbench list rules, models, …: what specs may `use`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from hwbench.cli import console

SHELF_KINDS = {
    "datasets": ("data",),
    "models": ("model",),
    "rules": ("rule", "fit"),
    "optimizers": ("optimizer",),
    "evaluators": ("evaluate",),
}


def print_shelf(name: str, plugins: Sequence[str], as_json: bool) -> None:
    """Print each class of a shelf and of plugins, with the first line of its docstring."""
    from rich.table import Table

    with console.waiting("loading"):
        from hwbench.build import allow_plugins, catalogue

        allow_plugins(plugins)
        found = {use: cls for kind in SHELF_KINDS[name] for use, cls in catalogue(kind).items()}
    lines = [
        {"use": use, "about": (inspect.getdoc(cls) or "").partition("\n")[0]}
        for use, cls in sorted(found.items())
    ]
    if as_json:
        console.print_json(lines)
        return
    table = Table("use", "about", box=None, header_style="bold")
    for line in lines:
        table.add_row(line["use"], line["about"])
    console.out.print(table)
