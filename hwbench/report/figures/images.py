"""Samples and other stored images."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwbench import vocabulary
from hwbench.report.appendix import IMAGE_SIZE
from hwbench.report.figures.canvas import WIDTH, Picture, name_rows, new_figure, svg_of, wrap
from hwbench.report.words import row_label
from hwbench.spec import Figure as Wanted
from hwbench.store import Result, Store
from hwbench.typography import clean, words
from hwbench.verdict.outcome import Comparison, RowOutcome

SAMPLES = 64  # images of a grid at most
HIDDEN = (130, 170, 210, 255)  # RGBA of a hidden pixel


def image_grid(samples: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return up to 64 samples [n, D] as one picture, uint8 [rows, columns], 1 (or 255) being white.

    Raises:
        ValueError: D is not height × width.
    """
    if samples.ndim != 2 or samples.shape[1] != height * width or not len(samples):
        raise ValueError(f"samples {samples.shape} are not images of {height} x {width}")
    images = samples[:SAMPLES].astype(np.float64)
    if samples.dtype == np.uint8 and samples.max() > 1:
        images /= 255
    images = np.nan_to_num(np.clip(images, 0, 1)).reshape(-1, height, width)
    columns = math.ceil(math.sqrt(len(images)))
    down = math.ceil(len(images) / columns)
    gap = 1
    out = np.full((down * (height + gap) + gap, columns * (width + gap) + gap), 0.45)
    for i, image in enumerate(images):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        out[top : top + height, left : left + width] = image
    return np.round(out * 255).astype(np.uint8)


def _sampled(outcome: RowOutcome, store: Store) -> tuple[Result, np.ndarray, int, int] | None:
    for result in outcome.results:
        height, width = (result.diagnostics.get(k) for k in IMAGE_SIZE)
        samples = store.per_point(result).get(vocabulary.SAMPLES) if height and width else None
        if samples is not None and height and width:
            return result, samples, int(height), int(width)
    return None


def sample_picture(outcome: RowOutcome, name: str, store: Store) -> Picture | None:
    """Return the samples of a row's first seed as a grid, None where there are none."""
    found = _sampled(outcome, store)
    if found is None:
        return None
    result, samples, height, width = found
    title = row_label(outcome)
    try:
        grid = image_grid(samples, height, width)
    except ValueError as error:
        return Picture.empty(name, "samples", title, f"Not drawn: {error}.", "png")
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    levels = np.uint8(17) * (grid // 16)  # sixteen greys, from 0 to 255: half the bytes
    pixels = np.repeat(levels[..., None], 3, axis=2)
    imsave(buffer, pixels, format="png", pil_kwargs={"optimize": True})
    shown = min(len(samples), SAMPLES)
    caption = f"{shown} samples, seed {result.case.seed}, {result.case.profile}"
    alt = f"Grid of {shown} images sampled from {title}"
    return Picture(name, "samples", "png", buffer.getvalue(), title, caption, alt)


@dataclass(frozen=True)
class Strip:
    """A line of images [n, height, width]: whole numbers from 0 (black) to 255, −1 for hidden."""

    name: str
    images: np.ndarray


def stored_images(
    outcome: RowOutcome, names: Sequence[str], store: Store
) -> tuple[Result, dict[str, np.ndarray]] | None:
    """Return the first result of a row that has any of these images, and them, by name."""
    for result in outcome.results:
        height, width = (int(result.diagnostics.get(k) or 0) for k in IMAGE_SIZE)
        arrays = store.per_point(result) if height and width else {}
        found = {
            name: arrays[name].reshape(-1, height, width)
            for name in names
            if name in arrays and arrays[name].shape[1:] == (height * width,) and len(arrays[name])
        }
        if found:
            return result, found
    return None


def strips_of(
    comparison: Comparison, wanted: Wanted, store: Store
) -> tuple[list[Strip], list[Result]]:
    """Return the lines of a figure of images, and the results that they come from.

    Images that are the same in every row come first, once; the others follow row by row.
    """
    names = wanted.images or []
    rows = [o for o in comparison.rows if o.row.matches(wanted.where)]
    found = [(o, s) for o in rows if (s := stored_images(o, names, store)) is not None]
    arrays = [own for _, (_, own) in found]
    shared = [
        name
        for name in names
        if all(name in own and np.array_equal(own[name], arrays[0][name]) for own in arrays)
    ]
    strips = [Strip(words(name), own[name]) for own in arrays[:1] for name in shared]
    for outcome, (_, own) in found:
        rest = [name for name in own if name not in shared]
        row = row_label(outcome)
        for name in rest:
            text = f"{row}, {words(name)}" if len(rest) > 1 else row
            strips.append(Strip(text, own[name]))
    return strips, [result for _, (result, _) in found]


def strip_pixels(images: np.ndarray) -> np.ndarray:
    """Return a line of images [n, h, w] as RGBA [h + 1, n (w + 1), 4] with clear gaps after each.

    Hidden pixels, −1, have a colour that no grey pixel has.
    """
    n, height, width = images.shape
    out = np.zeros((n, height + 1, width + 1, 4), dtype=np.uint8)
    grey = images.clip(0, 255).astype(np.uint8)[..., None]
    out[:, :height, :width] = np.concatenate([grey] * 3 + [np.full_like(grey, 255)], -1)
    out[:, :height, :width][images < 0] = HIDDEN
    return out.transpose(1, 0, 2, 3).reshape(height + 1, -1, 4)


def strip_plot(strips: Sequence[Strip]) -> bytes:
    """Return a plot of lines of images of one height, each with its name at the left."""
    across = [
        n * (width + 1) / (height + 1) for n, height, width in (s.images.shape for s in strips)
    ]
    left = 1.75  # inches, for the names
    cell = min(0.55, (WIDTH - left) / max(across))
    figure = new_figure(cell * len(strips))
    figure.set_layout_engine("none")
    axes = figure.add_axes((left / WIDTH, 0, cell * max(across) / WIDTH, 1))
    for i, (strip, length) in enumerate(zip(strips, across, strict=True)):
        pixels = strip_pixels(strip.images)
        axes.imshow(pixels, extent=(0, length, i + 1, i), interpolation="none", aspect="auto")
    axes.set_xlim(0, max(across))
    axes.set_ylim(len(strips), 0)
    axes.set_xticks([])
    axes.grid(visible=False)
    name_rows(axes, [i + 0.48 for i in range(len(strips))], [wrap(s.name) for s in strips])
    axes.spines[:].set_visible(False)
    return svg_of(figure)


def images_picture(comparison: Comparison, name: str, wanted: Wanted, store: Store) -> Picture:
    """Return images that an evaluator kept, a strip for each row."""
    title = clean(wanted.title)
    strips, results = strips_of(comparison, wanted, store)
    if not strips:
        return Picture.empty(name, "figures", title, "No result has these images yet.")
    runs = dict.fromkeys(f"seed {r.case.seed} at {r.case.profile}" for r in results)
    caption = f"One result of each row: {', '.join(runs)}."
    if any((strip.images < 0).any() for strip in strips):
        caption += " Hidden pixels are blue."
    counts = sorted({len(strip.images) for strip in strips})
    lines = "; ".join(strip.name for strip in strips)
    alt = f"{title}. Lines of {' or '.join(map(str, counts))} images each: {lines}."
    return Picture(name, "figures", "svg", strip_plot(strips), title, caption, alt)
