"""Samples and other stored images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hwbench.report.figures import exported_pictures, pictures
from hwbench.report.figures.canvas import restyled
from hwbench.report.figures.images import (
    HIDDEN,
    image_grid,
    images_picture,
    stored_images,
    strip_pixels,
    strips_of,
)
from hwbench.spec import Figure

from ..conftest import Example, make_example

WANTED = Figure(
    title="What is filled in",
    kind="images",
    images=["original", "seen", "completion", "draw"],
    where={"data": "MNIST", "pixels": "fixed"},
)


def test_image_grid_places_pixels_exactly():
    samples = np.zeros((5, 6), dtype=np.float32)
    samples[4] = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    grid = image_grid(samples, height=2, width=3)
    assert grid.shape == (2 * 3 + 1, 3 * 4 + 1)  # three columns, two lines, gaps of one
    assert grid[4:6, 5:8].tolist() == [[0, 51, 102], [153, 204, 255]]
    assert grid[0].tolist() == [115] * 13


@pytest.mark.parametrize(("top", "white"), [(1, 255), (255, 255)])
def test_image_grid_reads_binary_and_grey_bytes(top, white):
    samples = np.array([[0, top], [top, 0]], dtype=np.uint8)
    assert image_grid(samples, 1, 2)[1, 1:3].tolist() == [0, white]


def test_image_grid_refuses_what_is_no_image():
    with pytest.raises(ValueError, match=r"\(5, 6\) are not images of 2 x 2"):
        image_grid(np.zeros((5, 6)), 2, 2)


@pytest.fixture
def completed(tmp_path: Path) -> Example:
    """Three rows with images of 28 x 28 on file; the first has one more, the third other ones."""
    found = make_example(tmp_path)
    original = np.arange(3 * 784).reshape(3, 784) % 256
    seen = np.where(np.arange(784) % 28 < 14, original, -1).astype(np.int16)
    for i, outcome in enumerate(found.comparison.rows[:3]):
        arrays = {"original": original.astype(np.uint8), "seen": seen}
        arrays["completion"] = np.full((3, 784), 10 * i, dtype=np.uint8)
        if i == 0:
            arrays["draw"] = np.full((3, 784), 255, dtype=np.uint8)
        for result in outcome.results[i:]:  # not each row has those of seed 0
            found.store.path(result.case).unlink()
            found.store.write(result, arrays)
    return found


def test_images_that_all_rows_share_stand_once(completed: Example):
    strips, results = strips_of(completed.comparison, WANTED, completed.store)
    assert [strip.name for strip in strips] == [
        "original",
        "seen",
        "MNIST, fixed, IWAE, completion",
        "MNIST, fixed, IWAE, draw",
        "MNIST, fixed, IWAER",
        "MNIST, fixed, IWAER_rec",
    ]
    assert all(strip.images.shape == (3, 28, 28) for strip in strips)
    assert [int(strip.images[0, 0, 0]) for strip in strips[2:]] == [0, 255, 10, 20]
    assert [(r.case.at["method"], r.case.seed) for r in results] == [
        ("IWAE", 0), ("IWAER", 1), ("IWAER_rec", 2)
    ]  # fmt: skip


def test_images_of_other_points_are_not_shared(completed: Example):
    last = completed.comparison.rows[2].results[2]
    completed.store.path(last.case).unlink()
    arrays = {"original": np.zeros((2, 784), dtype=np.uint8)}
    completed.store.write(last, arrays)
    strips, _ = strips_of(completed.comparison, WANTED, completed.store)
    names = [strip.name for strip in strips]
    assert "original" not in names
    assert names[-1] == "MNIST, fixed, IWAER_rec"
    assert strips[-1].images.shape == (2, 28, 28)


def test_strip_pixels_are_exact():
    images = np.array([[[0, 7], [255, -1]], [[1, 2], [3, 4]]], dtype=np.int16)
    pixels = strip_pixels(images)
    assert pixels.shape == (3, 6, 4)
    assert pixels[:2, [0, 1, 3, 4], 0].tolist() == [[0, 7, 1, 2], [255, HIDDEN[0], 3, 4]]
    assert tuple(pixels[1, 1]) == HIDDEN
    assert len(set(HIDDEN[:3])) > 1  # no grey
    assert (pixels[2, :, 3] == 0).all()  # gaps are clear
    assert (pixels[:2, [0, 1, 3, 4], 3] == 255).all()


def test_images_are_drawn_and_told(completed: Example):
    spec = completed.spec.model_copy(update={"figures": [WANTED]})
    comparison = replace(completed.comparison, spec=spec)
    picture = next(p for p in pictures(comparison, completed.store) if p.place == "figures")
    root = ElementTree.fromstring(restyled(picture.data, picture.name, "serif"))
    assert sum(element.tag.endswith("}image") for element in root.iter()) == 6
    text = "".join(root.itertext())
    assert "original" in text
    assert "IWAER_rec" in text
    assert picture.caption == (
        "One result of each row: seed 0 at full, seed 1 at full, seed 2 at full. "
        "Hidden pixels are blue."
    )
    assert picture.alt.startswith("What is filled in. Lines of 3 images each: original; seen; ")


def test_images_no_result_has_are_said_to_be_missing(example: Example):
    picture = images_picture(example.comparison, "name", WANTED, example.store)
    assert (picture.data, picture.caption) == (b"", "No result has these images yet.")


def test_arrays_of_another_size_are_no_images(completed: Example):
    result = completed.comparison.rows[0].results[0]
    completed.store.path(result.case).unlink()
    completed.store.write(result, {"original": np.zeros((2, 700), dtype=np.uint8)})
    outcome = replace(completed.comparison.rows[0], results=(result,))
    assert stored_images(outcome, ["original"], completed.store) is None


def test_images_are_exported_without_a_layout(completed: Example):
    """Matplotlib warns, which is an error here, where it would lay out what has no grid."""
    spec = completed.spec.model_copy(update={"figures": [WANTED]})
    comparison = replace(completed.comparison, spec=spec)
    found = exported_pictures((comparison, completed.store))
    assert found["iwaer-table1-figure1.png"].startswith(b"\x89PNG")
