"""Comparisons as pages: one HTML file, one PDF, tables for the terminal, JSON.

Belongs here: how facts of `verdict` are shown, as sections of views, words and numbers; `figures`
draws them and `formats` lays them out. Does not: deciding (`verdict`), running, torch. Matplotlib,
jinja2, typst and rich are imported when something is first drawn: importing this package is cheap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwbench.report import figures
from hwbench.report.figures.forest import exported
from hwbench.report.section import make_section

if TYPE_CHECKING:
    from hwbench.store import Store
    from hwbench.verdict.outcome import Comparison

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
    from hwbench.spec import did_you_mean
    from hwbench.store import write_atomically

    if not comparisons:
        raise ValueError("a report needs at least one spec")
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"no report format {name!r}{did_you_mean(name, FORMATS)}")
    sections = [make_section(c, papers) for c in comparisons]
    pictures = [figures.pictures(c, store) for c in comparisons]
    written: list[Path] = []

    def put(name: str, data: bytes) -> None:
        write_atomically(folder / name, data, overwrite=True)
        written.append(folder / name)

    if "html" in formats:
        from hwbench.report.formats import html

        put("index.html", html.page(sections, pictures).encode())
    if "pdf" in formats:
        from hwbench.report.formats import pdf

        put("report.pdf", pdf.document(sections, pictures))
    for comparison in comparisons:
        stem = f"figures/{comparison.spec.id.replace('/', '-')}-published-vs-measured"
        for suffix, data in exported(comparison).items():
            put(f"{stem}.{suffix}", data)
    return written
