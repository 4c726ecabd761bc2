"""Pictures of published against measured as files, for a paper or a talk."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hwbench.report.contents import Contents
from hwbench.report.figures.canvas import exported
from hwbench.report.figures.forest import forest_figure
from hwbench.report.formats import put
from hwbench.report.words import anchor


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `figures/<paper>-<table>-published-vs-measured.svg` and `.png` for each spec."""
    return [
        put(folder / f"figures/{anchor(c.spec.id)}-published-vs-measured.{suffix}", data)
        for c in contents.comparisons
        for suffix, data in exported(partial(forest_figure, c)).items()
    ]
