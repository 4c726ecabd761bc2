"""The pictures of a comparison: one file for each kind of figure.

Belongs here: drawing from the data of a comparison, with captions and alternative texts. Does not:
verdicts (`verdict`), tables (`report`), where a picture stands on a page (`report.formats`).
"""

from __future__ import annotations

from hwbench import vocabulary
from hwbench.report.appendix import shown_by_default
from hwbench.report.figures.canvas import Picture, style, svg_of
from hwbench.report.figures.curves import curve_picture, over_epochs
from hwbench.report.figures.forest import forest_alt, forest_caption, forest_figure, forest_title
from hwbench.report.figures.images import images_picture, sample_picture
from hwbench.report.figures.rows import rows_picture
from hwbench.report.words import anchor
from hwbench.store import Store
from hwbench.verdict.outcome import Comparison


def pictures(comparison: Comparison, store: Store) -> list[Picture]:
    """Return every picture of a spec in the order of the report."""
    spec = comparison.spec
    stem = anchor(spec.id)
    out: list[Picture] = []
    with style():
        forest = forest_figure(comparison)
        if forest is not None:
            alt = forest_alt(comparison)
            caption = forest_caption(comparison)
            out.append(
                Picture(
                    f"{stem}-forest",
                    "forest",
                    "svg",
                    svg_of(forest),
                    forest_title(comparison),
                    caption,
                    alt,
                )
            )
        asked = {f.curve for f in spec.figures if f.kind == "curve" and f.curve}
        results = [r for o in comparison.rows for r in o.results if over_epochs(r)]
        found = sorted({name for r in results for name in r.curves})
        for i, wanted in enumerate(spec.figures):
            name = f"{stem}-figure{i + 1}"
            if wanted.kind == "curve" and wanted.curve:
                out.append(curve_picture(comparison, name, wanted.curve, wanted, "figures"))
            elif wanted.kind == "images":
                out.append(images_picture(comparison, name, wanted, store))
            else:
                out.append(rows_picture(comparison, name, wanted))
        for i, curve in enumerate(c for c in found if c not in asked and shown_by_default(c)):
            place = "k_curve" if curve == vocabulary.K_CURVE else "curves"
            out.append(curve_picture(comparison, f"{stem}-curve{i + 1}", curve, None, place))
        for i, outcome in enumerate(comparison.rows):
            picture = sample_picture(outcome, f"{stem}-samples{i + 1}", store)
            if picture is not None:
                out.append(picture)
    return out
