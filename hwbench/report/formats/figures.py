"""The plots of every page as files, for a paper or a talk."""

from __future__ import annotations

from pathlib import Path

from hwbench.report.contents import Contents
from hwbench.report.figures import exported_pictures
from hwbench.report.formats import put
from hwbench.report.workers import mapped


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `figures/<paper>-<table>-<figure>.svg` and `.png` for each plot of each page.

    `<figure>` is `published-vs-measured`, `figure<n>` in the order of the spec, or `curve-<name>`.
    """
    drawn = mapped(exported_pictures, [(c, contents.store) for c in contents.comparisons])
    return [
        put(folder / f"figures/{name}", data) for files in drawn for name, data in files.items()
    ]
