"""Lines of numbers and points that evaluators keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hwbench.report.figures import pictures
from hwbench.report.figures.canvas import new_figure, restyled, style
from hwbench.report.figures.plots import (
    draw_cloud,
    kept_arrays,
    scatter_picture,
    series_picture,
)
from hwbench.spec import Figure

from ..conftest import Example, make_example

WHERE = {"data": "MNIST", "pixels": "fixed"}
SERIES = Figure(title="Real and simulated", kind="series", lines=["real", "drawn"], where=WHERE)
SCATTER = Figure(title="Two arms", kind="scatter", clouds=["points"], where=WHERE)


@pytest.fixture(scope="module")
def plotted(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """Three rows with lines and points on file; the third has them from its second seed."""
    found = make_example(tmp_path_factory.mktemp("plots"))
    for i, outcome in enumerate(found.comparison.rows[:3]):
        arrays = {
            "real": np.linspace(0, 3, 8, dtype=np.float32)[None],
            "drawn": np.full((2, 8), i + 1.5, dtype=np.float32),
            "points": np.array([[0, 0, 0], [1, 2, 1], [1, 3, 1]], dtype=np.float32),
        }
        for result in outcome.results[i // 2 :]:
            found.store.path(result.case).unlink()
            found.store.write(result, arrays)
    return found


def drawn(plotted: Example, figure: Figure) -> tuple[ElementTree.Element, str, str]:
    """Return the SVG as the report shows it, its caption and its text."""
    spec = plotted.spec.model_copy(update={"figures": [figure]})
    comparison = replace(plotted.comparison, spec=spec)
    picture = next(p for p in pictures(comparison, plotted.store) if p.place == "figures")
    root = ElementTree.fromstring(restyled(picture.data, picture.name, "serif"))
    return root, picture.caption, picture.alt


def test_each_row_has_a_panel_with_all_lines_of_the_names(plotted: Example):
    root, caption, alt = drawn(plotted, SERIES)
    text = "".join(root.itertext())
    assert all(f"MNIST, fixed, {name}" in text for name in ("IWAE", "IWAER", "IWAER_rec"))
    assert {"real", "drawn"} <= set(root.itertext())
    assert caption == "One result of each row: seed 0 at full, seed 1 at full."
    assert alt.startswith("Real and simulated. MNIST, fixed, IWAE, real: 1 from ")
    assert "MNIST, fixed, IWAER, drawn: 2 from 2.50 to 2.50" in alt


def test_a_single_name_has_no_legend(plotted: Example):
    root, _, _ = drawn(plotted, SERIES.model_copy(update={"lines": ["real"]}))
    assert "MNIST, fixed, IWAE" in set(root.itertext())
    assert "real" not in set(root.itertext())


def test_points_are_coloured_by_class(plotted: Example):
    _, caption, alt = drawn(plotted, SCATTER)
    assert caption.endswith("A colour is a class.")
    assert "MNIST, fixed, IWAE, points: 3 points of 2 classes" in alt
    with style():
        axes = new_figure(1.0).subplots()
        draw_cloud(axes, np.array([[0, 0, 0], [1, 2, 1], [1, 3, 1]], dtype=float))
    first, second = axes.lines
    assert first.get_color() != second.get_color()
    np.testing.assert_array_equal(second.get_xydata(), [[1, 2], [1, 3]])


def test_arrays_of_another_form_are_not_drawn(plotted: Example):
    """Neither lines as points, nor points without a class."""
    assert kept_arrays(plotted.comparison, SCATTER, ["real"], plotted.store, 3) == []
    assert len(kept_arrays(plotted.comparison, SERIES, ["points"], plotted.store, None)) == 3


def test_what_no_result_has_is_said_to_be_missing(tmp_path: Path):
    example = make_example(tmp_path)
    for picture, wanted, what in (
        (series_picture, SERIES, "lines"),
        (scatter_picture, SCATTER, "points"),
    ):
        found = picture(example.comparison, "name", wanted, example.store)
        assert (found.data, found.caption) == (b"", f"No result has these {what} yet.")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "series"}, "a figure of kind `series` needs `lines`"),
        ({"kind": "scatter", "lines": ["a"]}, "a figure of kind `scatter` needs `clouds`"),
        ({"kind": "series", "lines": ["a"], "clouds": ["b"]}, "kind `series` has no `clouds`"),
        ({"kind": "scatter", "clouds": ["b"], "x_label": "x"}, "kind `scatter` has no `x_label`"),
        ({"kind": "curve", "curve": "c", "lines": ["a"]}, "kind `curve` has no `lines`"),
    ],
)
def test_figures_that_lack_or_mix_what_they_show_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Figure(title="t", **fields)
