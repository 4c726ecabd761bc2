"""The pictures of a comparison: one file for each kind of figure.

Belongs here: drawing, captions, texts for readers who cannot see a picture. Does not: statistics,
verdicts, layout of a page (`formats`). `canvas` has style and frame, `lines` the plots of lines.
"""

from __future__ import annotations

import re
from typing import Any

from hwbench import vocabulary
from hwbench.report.appendix import figure_curves, shown_by_default
from hwbench.report.figures.canvas import ALONE, Picture, collected_once, rasterised, style
from hwbench.report.figures.captions import captions_picture
from hwbench.report.figures.curves import curve_picture, over_epochs
from hwbench.report.figures.forest import forest_picture
from hwbench.report.figures.images import images_picture, sample_picture
from hwbench.report.figures.lists import lists_picture
from hwbench.report.figures.plots import scatter_picture, series_picture
from hwbench.report.figures.rows import rows_picture
from hwbench.report.words import anchor
from hwbench.spec import Figure as Wanted
from hwbench.store import Store
from hwbench.verdict.outcome import Comparison


def pictures(comparison: Comparison, store: Store, **settings: Any) -> list[Picture]:
    """Return every picture of a spec in the order of the report; `settings` are Matplotlib's."""
    stem = anchor(comparison.spec.id)
    with style(**settings), collected_once():
        forest = [forest_picture(comparison, f"{stem}-published-vs-measured")]
        asked = [
            _asked_picture(comparison, f"{stem}-figure{i + 1}", wanted, store)
            for i, wanted in enumerate(comparison.spec.figures)
        ]
        samples = [
            sample_picture(outcome, f"{stem}-samples{i + 1}", store)
            for i, outcome in enumerate(comparison.rows)
        ]
        found = [*forest, *asked, *_learning_curves(comparison, stem), *samples]
    return [picture for picture in found if picture is not None]


def exported_pictures(what: tuple[Comparison, Store], *_: object) -> dict[str, bytes]:
    """Return the plots of a spec as files that stand alone, SVG and PNG, by their names.

    `Executor.map` passes more arguments, which are not used.
    """
    with rasterised() as png:
        plots = [p for p in pictures(*what, **ALONE) if p.kind == "svg" and p.data]
    svg_files = {f"{p.name}.svg": p.data for p in plots}
    return svg_files | {f"{p.name}.png": png[p.data] for p in plots}


def _asked_picture(comparison: Comparison, name: str, wanted: Wanted, store: Store) -> Picture:
    """Return a figure that the spec asks for."""
    if wanted.kind == "curve" and wanted.curve:
        return curve_picture(comparison, name, wanted.curve, wanted, "figures")
    if wanted.kind == "captions":
        return captions_picture(comparison, name, wanted, store)
    if wanted.kind == "images":
        return images_picture(comparison, name, wanted, store)
    if wanted.kind == "series":
        return series_picture(comparison, name, wanted, store)
    if wanted.kind == "scatter":
        return scatter_picture(comparison, name, wanted, store)
    if wanted.kind == "lists":
        return lists_picture(comparison, name, wanted, store)
    return rows_picture(comparison, name, wanted)


def _learning_curves(comparison: Comparison, stem: str) -> list[Picture]:
    """Return the curves on file that no figure of the spec shows."""
    results = [r for o in comparison.rows for r in o.results if over_epochs(r)]
    found = sorted({name for r in results for name in r.curves} - figure_curves(comparison.spec))
    return [
        curve_picture(
            comparison,
            "-".join([stem, "curve", *re.findall(r"\w+", curve)]),
            curve,
            None,
            "k_curve" if curve == vocabulary.K_CURVE else "curves",
        )
        for curve in filter(shown_by_default, found)
    ]
