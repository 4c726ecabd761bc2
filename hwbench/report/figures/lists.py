"""Lines of text about a few test points, as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwbench.report.figures.canvas import INK, MUTED, WIDTH, Picture, new_figure, svg_of
from hwbench.report.words import row_label
from hwbench.spec import Figure as Wanted
from hwbench.store import Result, Store
from hwbench.typography import NO_BREAK, clean, words
from hwbench.verdict.outcome import Comparison, RowOutcome

LINE = 0.15  # inches of a line of text
MOST = 4  # lines of a cell
NARROW = 6  # letters; a column of at most this length is no wider than it needs to be


@dataclass(frozen=True)
class Table:
    """What one result says of a few points: columns of equally many cells, with their heads."""

    title: str
    heads: list[str]
    columns: list[list[str]]


def lines_of(array: np.ndarray) -> list[str]:
    """Return the lines in an array of bytes [n, W], UTF-8 padded with zeros.

    >>> lines_of(np.array([[104, 105, 0]], dtype=np.uint8))
    ['hi']
    """
    return [clean(bytes(row.tolist()).rstrip(b"\0").decode(errors="replace")) for row in array]


def stored_lists(
    outcome: RowOutcome, names: Sequence[str], store: Store
) -> tuple[Result, Table] | None:
    """Return the first result of a row that has these lists, and them."""
    for result in outcome.results:
        arrays = store.per_point(result)
        found = {
            name: lines_of(arrays[name])
            for name in names
            if name in arrays and arrays[name].ndim == 2 and arrays[name].dtype == np.uint8
        }
        if found and len({len(lines) for lines in found.values()}) == 1:
            heads = [words(name) for name in found]
            return result, Table(row_label(outcome), heads, list(found.values()))
    return None


def _wrapped(text: str, letters: int) -> list[str]:
    """Return a text broken after commas into at most `MOST` lines."""
    text = text.replace(" ", NO_BREAK).replace(f",{NO_BREAK}", ", ")
    return textwrap.wrap(text, letters, max_lines=MOST, placeholder=" …") or [""]


def _plot(tables: Sequence[Table]) -> bytes:
    """Return the tables one below the other."""
    widths = []
    for table in tables:
        longest = [max(map(len, (h, *c))) for h, c in zip(table.heads, table.columns, strict=True)]
        narrow = [0.09 * n + 0.25 if n <= NARROW else 0.0 for n in longest]
        wide = (WIDTH - sum(narrow)) / max(1, narrow.count(0.0))
        widths.append([w or wide for w in narrow])
    rows: list[tuple[float, list[tuple[float, str, bool]]]] = []
    y = 0.0
    for table, own in zip(tables, widths, strict=True):
        left = np.concatenate([[0.0], np.cumsum(own)])
        rows.append((y, [(0.0, table.title, True)]))
        y += 1.2
        rows.append((y, [(x, head, False) for x, head in zip(left, table.heads, strict=False)]))
        y += 1.2
        for line in zip(*table.columns, strict=True):
            broken = [_wrapped(c, int((w - 0.15) / 0.068)) for c, w in zip(line, own, strict=True)]
            rows.append((y, [(x, "\n".join(b), False) for x, b in zip(left, broken, strict=False)]))
            y += max(map(len, broken)) + 0.35
        y += 0.6
    figure = new_figure(LINE * y)
    figure.set_layout_engine("none")
    heads = {number for number, row in enumerate(rows) if row[1][0][2]}
    for number, (top, cells) in enumerate(rows):
        muted = number - 1 in heads
        for x, text, bold in cells:
            for below, part in enumerate(text.split("\n")):
                figure.text(
                    x / WIDTH,
                    1 - (top + below + 0.75) / y,
                    part,
                    va="baseline",
                    fontsize=8,
                    color=MUTED if muted else INK,
                    weight="bold" if bold else "normal",
                )
    return svg_of(figure)


def lists_picture(comparison: Comparison, name: str, wanted: Wanted, store: Store) -> Picture:
    """Return lists that an evaluator kept, a table for each row."""
    title, names = clean(wanted.title), wanted.lists or []
    rows = [o for o in comparison.rows if o.row.matches(wanted.where)]
    found = [kept for o in rows if (kept := stored_lists(o, names, store)) is not None]
    if not found:
        return Picture.empty(name, "figures", title, "No result has these lists yet.")
    runs = dict.fromkeys(f"seed {r.case.seed} at {r.case.profile}" for r, _ in found)
    caption = f"One result of each row: {', '.join(runs)}."
    texts = []
    for _, table in found:
        lines = ["; ".join(cells) for cells in zip(*table.columns, strict=True)]
        texts.append(f"{table.title} ({', '.join(table.heads)}): " + ". ".join(lines))
    return Picture(
        name,
        "figures",
        "svg",
        _plot([t for _, t in found]),
        title,
        caption,
        ". ".join([title, *texts]),
    )
