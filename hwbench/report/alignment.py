"""Numbers padded with spaces of fixed width, so that a column of them lines up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hwbench.report.views import Grid, GridEntry, Section
from hwbench.typography import MINUS

FIGURE_SPACE = "\u2007"  # as wide as a digit
POINT_SPACE = "\u2008"  # as wide as a point
NUMBER = re.compile(rf"([≈~]?\s*[-+{MINUS}]?)(\d+)(\.\d+)?(?:( ± )(\d+)(\.\d+)?)?(\s?%)?")


def lined_up(section: Section) -> Section:
    """Return a section whose numbers line up in each column of its tables."""
    published = aligned([row.published for row in section.rows])
    measured = aligned([row.measured for row in section.rows])
    rows = [
        replace(row, published=left, measured=right)
        for row, left, right in zip(section.rows, published, measured, strict=True)
    ]
    return replace(section, rows=rows, grids=[_lined_up_grid(grid) for grid in section.grids])


def _lined_up_grid(grid: Grid) -> Grid:
    padded: dict[int, GridEntry] = {}  # by row: a row stands in one cell of the grid
    for column in zip(*(line.cells for line in grid.lines), strict=True):
        entries = [entry for cell in column for entry in cell]
        published = aligned([entry.published for entry in entries])
        measured = aligned([entry.measured for entry in entries])
        for entry, left, right in zip(entries, published, measured, strict=True):
            padded[entry.row] = GridEntry(entry.row, left, right)
    lines = [
        replace(line, cells=[[padded[entry.row] for entry in cell] for cell in line.cells])
        for line in grid.lines
    ]
    return replace(grid, lines=lines)


def aligned(column: Sequence[str]) -> list[str]:
    """Return the texts padded so that, left-aligned, decimal points and ± stand in line.

    >>> [t.replace(FIGURE_SPACE, "_") for t in aligned(["9.5 ± 0.1", "10", "—"])]
    ['_9.5 ± 0.1', '10', '—']
    """
    parts = [NUMBER.fullmatch(text) for text in column]
    found = [part for part in parts if part]
    erring = [part for part in found if part[4]]
    whole = max((len(part[1]) + len(part[2]) for part in found), default=0)
    fraction, error, error_fraction = _width(3, found), _width(5, erring), _width(6, erring)
    out = []
    for text, part in zip(column, parts, strict=True):
        if part is None:
            out.append(text)
            continue
        line = FIGURE_SPACE * (whole - len(part[1]) - len(part[2])) + part[1] + part[2]
        if part[4]:
            line += _padded(part[3] or "", fraction) + part[4]
            line += FIGURE_SPACE * (error - len(part[5])) + part[5]
            line += _padded(part[6] or "", error_fraction)
        else:
            line += part[3] or ""
        out.append(line.rstrip(FIGURE_SPACE + POINT_SPACE) + (part[7] or ""))
    return out


def _width(group: int, parts: Iterable[re.Match[str]]) -> int:
    return max((len(part[group] or "") for part in parts), default=0)


def _padded(fraction: str, width: int) -> str:
    """Return the digits after a point, with the point, padded to a width."""
    if fraction or not width:
        return fraction + FIGURE_SPACE * (width - len(fraction))
    return POINT_SPACE + FIGURE_SPACE * (width - 1)
