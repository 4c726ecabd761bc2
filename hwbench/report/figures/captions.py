"""Images that a model generated from captions: a line for each caption."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwbench import vocabulary
from hwbench.report.figures.canvas import Picture
from hwbench.report.figures.images import Strip, stored_images, strip_plot
from hwbench.report.words import row_label
from hwbench.spec import Figure as Wanted
from hwbench.store import Result, Store
from hwbench.typography import clean
from hwbench.verdict.outcome import Comparison


def texts_of(array: np.ndarray) -> list[str]:
    """Return the texts of bytes [n, L], which zeros pad.

    >>> texts_of(np.array([[104, 105, 0], [195, 169, 0]], dtype=np.uint8))
    ['hi', 'é']
    """
    return [bytes(row).rstrip(b"\0").decode("utf-8", "replace") for row in array.astype(np.uint8)]


def captioned_strips(
    comparison: Comparison, wanted: Wanted, store: Store
) -> tuple[list[Strip], list[Result]]:
    """Return the lines of a figure of captions, and the results that they come from.

    Where several rows have images, a line's text begins with its row.
    """
    strips: list[Strip] = []
    results: list[Result] = []
    rows = [o for o in comparison.rows if o.row.matches(wanted.where)]
    found = [(o, s) for o in rows if (s := stored_images(o, wanted.images or [], store))]
    for outcome, (result, images) in found:
        lines = list(_lines(images, store.per_point(result)))
        row = f"{row_label(outcome)}: " if len(found) > 1 else ""
        strips += [Strip(f"{row}{text}", part) for text, part in lines]
        results += [result] if lines else []
    return strips, results


def _lines(
    images: dict[str, np.ndarray], arrays: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    for name, all_lines in images.items():
        texts = arrays.get(f"{name}{vocabulary.CAPTIONS}")
        if texts is None or not len(texts) or len(all_lines) % len(texts):
            continue
        yield from zip(texts_of(texts), np.split(all_lines, len(texts)), strict=True)


def captions_picture(comparison: Comparison, name: str, wanted: Wanted, store: Store) -> Picture:
    """Return images generated from captions, a line for each caption."""
    title = clean(wanted.title)
    strips, results = captioned_strips(comparison, wanted, store)
    if not strips:
        return Picture.empty(name, "figures", title, "No result has these images yet.")
    runs = dict.fromkeys(f"seed {r.case.seed} at {r.case.profile}" for r in results)
    caption = f"One result of each row: {', '.join(runs)}."
    lines = "; ".join(f"{len(strip.images)} for “{clean(strip.name)}”" for strip in strips)
    alt = f"{title}. Lines of images: {lines}."
    return Picture(name, "figures", "svg", strip_plot(strips), title, caption, alt)
