"""Rows laid out as the published table is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hwbench.report.measured import number_texts
from hwbench.report.views import Grid, GridEntry, GridLine
from hwbench.spec import Scalar, Spec, coordinate
from hwbench.typography import clean, words
from hwbench.verdict.outcome import Comparison


def group_key(spec: Spec) -> str | None:
    """Return the coordinate that divides the rows into groups, each with its own scale.

    That is `show.split`, else the first index coordinate; None unless it has two to four values
    with several rows each.
    """
    names = list(spec.rows[0].at)
    key = spec.show.split or spec.show.rows[0]
    if key not in names or len(names) < 2:
        return None
    sizes = Counter(str(row.at.get(key)) for row in spec.rows)
    return key if 2 <= len(sizes) <= 4 and min(sizes.values()) >= 2 else None


def panel_of(key: str | None, value: Any) -> str:
    """Return the name of a group; rows of another spec may lack the coordinate."""
    return "" if key is None else coordinate(key, value) if value is not None else "other"


def placed(spec: Spec) -> list[str]:
    """Return the coordinates that the spec's `show` lays out as lines and columns."""
    return [key for key in [*spec.show.rows, spec.show.columns, spec.show.split] if key]


def grids(comparison: Comparison) -> list[Grid]:
    """Return the layout of the document as `show` gives it; rows that share a place share a cell.

    Rows of another spec that is compared with the table are included if they have its coordinates.
    """
    spec, all_rows = comparison.spec, [o.row for o in comparison.rows]
    published, measured = number_texts(comparison)
    index, split, across = spec.show.rows, spec.show.split, spec.show.columns

    def values(key: str | None, rows: Sequence[int]) -> list[Scalar | None]:
        return list(dict.fromkeys(all_rows[i].at.get(key) for i in rows)) if key else [None]

    def heads(i: int) -> tuple[Scalar | None, ...]:
        return tuple(all_rows[i].at.get(key) for key in index)

    # lines follow the first appearance of each heading, so that equal headings are adjacent
    order = [list(dict.fromkeys(row.at.get(key) for row in all_rows)) for key in index]

    def rank(place: tuple[Scalar | None, ...]) -> list[int]:
        return [seen.index(value) for seen, value in zip(order, place, strict=True)]

    every = [i for i, row in enumerate(all_rows) if all(key in row.at for key in placed(spec))]
    out = []
    for value in values(split, every):
        rows = [i for i in every if not split or all_rows[i].at.get(split) == value]
        columns = values(across, rows)
        entries: dict[tuple[Any, Any], list[GridEntry]] = {}
        for column in columns:
            here = [i for i in rows if not across or all_rows[i].at.get(across) == column]
            for i in here:
                entry = GridEntry(i, published[i], measured[i])
                entries.setdefault((heads(i), column), []).append(entry)
        lines = [
            _line(comparison, place, [entries.get((place, c), []) for c in columns])
            for place in sorted(dict.fromkeys(map(heads, rows)), key=rank)
        ]
        out.append(
            Grid(
                caption=coordinate(split, value) if split else "",
                index=[words(key) for key in index],
                across=words(across) if across else "",
                columns=[clean(c) for c in columns] if across else [words(spec.metric)],
                lines=lines,
            )
        )
    return out


def _line(
    comparison: Comparison, heads: Sequence[Scalar | None], cells: list[list[GridEntry]]
) -> GridLine:
    waiting = all(not comparison.rows[entry.row].results for cell in cells for entry in cell)
    return GridLine([clean(h) for h in heads], cells, waiting)
