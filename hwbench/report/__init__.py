"""Comparisons as pages: one HTML file, one PDF, tables for the terminal, JSON.

Torch-free; matplotlib, jinja2, typst and rich are imported when something is first drawn, so that
importing this package costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from hwbench.compare import Comparison
    from hwbench.store import Store

FORMATS = ("html", "pdf")


def render(
    comparisons: list[Comparison],
    store: Store,
    folder: Path,
    formats: Sequence[str] = FORMATS,
    papers: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write the report of one or several specs and return the files written.

    The same comparisons, results and versions give the same bytes: nothing in a report depends on
    when it is made.

    Args:
        comparisons: in the order wanted.
        store: where curves and sample images come from.
        folder: receives `index.html`, `report.pdf` and
            `figures/<paper>-<table>-published-vs-measured.{svg,png}`.
        formats: any of "html", "pdf".
        papers: references by paper: a text, or a mapping with authors, title, venue, year and one
            of url, doi and arxiv.

    Raises:
        ValueError: nothing to report, or an unknown format.
        StoreError: the folder cannot be written.
    """
    from hwbench.report import figures, tables
    from hwbench.spec import did_you_mean
    from hwbench.store import write_atomically

    if not comparisons:
        raise ValueError("a report needs at least one spec")
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"no report format {name!r}{did_you_mean(name, FORMATS)}")
    sections = [tables.section(c, papers) for c in comparisons]
    pictures = [figures.pictures(c, store) for c in comparisons]
    written: list[Path] = []

    def put(name: str, data: bytes) -> None:
        write_atomically(folder / name, data, overwrite=True)
        written.append(folder / name)

    if "html" in formats:
        from hwbench.report import html

        put("index.html", html.page(sections, pictures).encode())
    if "pdf" in formats:
        from hwbench.report import pdf

        put("report.pdf", pdf.document(sections, pictures))
    for comparison in comparisons:
        stem = f"figures/{comparison.spec.id.replace('/', '-')}-published-vs-measured"
        for suffix, data in figures.exported(comparison).items():
            put(f"{stem}.{suffix}", data)
    return written


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON values; what is not a number is null."""
    from hwbench.report import tables

    return tables.to_json(comparison)


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print rows, claims and warnings of a comparison as compact tables."""
    from hwbench.report import terminal

    terminal.print_comparison(console, comparison)
