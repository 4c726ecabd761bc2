"""Comparisons as pages: HTML, PDF and other files, tables for the terminal, JSON.

Belongs here: how facts of `verdict` are shown, as sections of views, words and numbers; `figures`
draws them and `formats` lays them out. Does not: deciding (`verdict`), running, torch. Matplotlib,
jinja2, typst and rich are imported when something is first drawn: importing this package is cheap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwbench.report.contents import Contents
from hwbench.report.formats import report_formats

if TYPE_CHECKING:
    from hwbench.store import Store
    from hwbench.verdict.outcome import Comparison


def render(
    comparisons: Sequence[Comparison],
    store: Store,
    folder: Path,
    formats: Sequence[str] = ("html", "pdf"),
    papers: Mapping[str, Any] | None = None,
    *,
    single_file: bool = False,
    full: bool = False,
) -> list[Path]:
    """Write the report of one or several specs and return the files written.

    The same comparisons, results and versions give the same bytes: nothing in a report depends on
    when it is made.

    Args:
        comparisons: one for each spec, in the order of the report.
        store: where curves and sample images come from.
        folder: receives the files of each format.
        formats: names of files in `hwbench/report/formats`.
        papers: references by paper; see `Contents`.
        single_file: whether HTML is one page.
        full: whether the PDF has an appendix.

    Raises:
        ValueError: nothing to report, or an unknown format.
        StoreError: the folder cannot be written.
    """
    from hwbench.spec import did_you_mean

    known = report_formats()
    if not comparisons:
        raise ValueError("a report needs at least one spec")
    for name in formats:
        if name not in known:
            raise ValueError(f"no report format {name!r}{did_you_mean(name, list(known))}")
    contents = Contents(comparisons, store, papers, single_file, full)
    return [path for name in formats for path in known[name](contents, folder)]
