"""The picture of every judged row as a file, for a README or a talk."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hwbench.report.contents import Contents
from hwbench.report.figures.canvas import exported
from hwbench.report.figures.distances import distances_figure, tables_of
from hwbench.report.formats import put


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `overview.svg` and `overview.png`, unless no row is judged."""
    found = exported(partial(distances_figure, tables_of(contents.comparisons)))
    return [put(folder / f"overview.{suffix}", data) for suffix, data in found.items()]
