"""Pictures: what they draw, and that they can stand in a document."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hwbench.report.figures import forest as forest_
from hwbench.report.figures import pictures
from hwbench.report.figures.canvas import Picture, new_figure, restyled, style
from hwbench.report.figures.curves import average_curve, curve_lines, curve_picture
from hwbench.report.figures.forest import JUDGED, exported, forest_figure
from hwbench.report.figures.images import (
    UNSEEN,
    image_grid,
    images_picture,
    stored_images,
    strip_pixels,
    strips_of,
)
from hwbench.report.figures.lines import Frame, Line, draw_lines, line_plot, looks
from hwbench.report.figures.rows import row_lines, rows_picture
from hwbench.report.numbers import count, difference_of
from hwbench.report.typography import NO_BREAK
from hwbench.report.words import ROW_VERDICTS, label
from hwbench.spec import Figure, Published
from hwbench.store import StoredCurve

from .conftest import TABLE, Example, make_example


def test_average_over_seeds_is_taken_where_all_seeds_have_a_value():
    curves = [
        StoredCurve(x=[1, 2, 3], y=[1.0, 4.0, 9.0]),
        StoredCurve(x=[1, 2], y=[3.0, 4.0]),  # stopped early
    ]
    x, y, se = average_curve(curves)
    assert x.tolist() == [1, 2]
    assert y.tolist() == [2.0, 4.0]
    assert se.tolist() == pytest.approx([1.0, 0.0])  # sd of (1, 3) is √2; over √2 seeds it is 1


def test_one_seed_keeps_its_own_standard_error():
    x, y, se = average_curve([StoredCurve(x=[5, 1], y=[2.0, 1.0], se=[0.2, 0.1])])
    assert (x.tolist(), y.tolist(), se.tolist()) == ([1, 5], [1.0, 2.0], [0.1, 0.2])


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


def test_every_kind_of_picture_is_drawn(drawn: list[Picture]):
    places = [p.place for p in drawn]
    assert places.count("forest") == 1
    assert places.count("figures") == 2
    assert places.count("curves") == 1  # the validation curve is among the figures asked for
    assert places.count("k_curve") == 1
    assert places.count("samples") == 4
    assert all(p.data and p.alt for p in drawn)


def test_forest_shows_every_row_and_verdict(example: Example, drawn: list[Picture]):
    forest = drawn[0]
    text = forest.data.decode()
    for outcome in example.comparison.rows:
        assert f"{ROW_VERDICTS[outcome.verdict].symbol} {outcome.verdict}" in text
        assert f"{label(outcome.row.at)}: published" in forest.alt


def test_judged_rows_are_never_cut_off(example: Example):
    rows = [o for o in example.comparison.rows if o.verdict in JUDGED]
    reach = forest_.reach(example.comparison.rows)
    assert all(abs(end) <= reach for o in rows for end in (o.interval.low, o.interval.high))
    far = example.comparison.rows[3]  # incomparable, 3.8 nats away
    assert far.difference > reach


def test_a_stand_in_has_no_distance_from_print(example: Example):
    rows = list(example.comparison.rows)
    result = rows[1].results[0]
    case = result.case.model_copy(update={"stands_in_for": "mnist.MNIST"})
    away = replace(rows[1], results=(result.model_copy(update={"case": case}),), difference=70.3)
    assert difference_of(rows[1]) == pytest.approx(-0.668)
    assert difference_of(away) is None
    assert forest_.reach([away]) == 0
    comparison = replace(example.comparison, rows=(away,))
    with style():
        figure = forest_figure(comparison)
    assert len(figure.axes) == 1  # no panel of differences
    assert [t.get_text() for t in figure.legends[0].texts] == [
        "published",
        "measured on other data",
    ]


def test_a_curve_no_result_has_is_said_to_be_missing(example: Example):
    wanted = Figure(title="Gradient bias", kind="curve", curve="bias")
    picture = curve_picture(example.comparison, "name", "bias", wanted, "figures")
    assert picture.data == b""
    assert picture.caption == "No result has the curve bias yet."


def test_a_negated_curve_is_turned_round_with_the_same_error(example: Example):
    wanted = Figure(title="NLL against K", kind="curve", curve="k_curve", negate=True)
    turned = curve_lines(example.comparison, "k_curve", wanted)
    plain = curve_lines(example.comparison, "k_curve", None)
    assert len(turned) == len(plain) > 0
    for a, b in zip(turned, plain, strict=True):
        assert a.y.tolist() == (-b.y).tolist()
        assert a.se.tolist() == b.se.tolist()
    assert turned[0].y[0] > turned[0].y[-1] > 0  # an NLL that falls with K


@pytest.mark.parametrize("negate", [True, False])
@pytest.mark.parametrize("metric", ["log_likelihood", "nll"])
def test_a_k_curve_has_what_was_published_at_its_ends(example: Example, metric, negate):
    """The table's number at the last K, the bound at K = 1; with the sign of the curve drawn."""
    sign = -1.0 if metric == "nll" else 1.0  # of what the table prints beside a log-likelihood
    rows = [
        replace(
            o,
            published=o.published and Published.parse(f"{sign * o.published.value} ± 0.1"),
            row=o.row.model_copy(update={"also": {"elbo": -99.5}} if i == 0 else {}),
        )
        for i, o in enumerate(example.comparison.rows)
    ]
    comparison = replace(
        example.comparison,
        rows=tuple(rows),
        spec=example.spec.model_copy(update={"metric": metric}),
    )
    wanted = Figure(title="K", kind="curve", curve="k_curve", negate=negate)
    lines = curve_lines(comparison, "k_curve", wanted)
    up = -1.0 if negate else 1.0
    assert lines[0].published == [(2000.0, up * -95.182, 0.1), (1.0, up * -99.5, None)]
    assert lines[1].published == [(2000.0, up * -94.346, 0.1)]
    assert [bool(line.published) for line in lines] == [True] * 7 + [False]  # printed nowhere
    assert all((up * line.y < 0).all() for line in lines)
    picture = curve_picture(comparison, "name", "k_curve", wanted, "figures")
    assert b"open: published" in picture.data
    assert picture.caption.endswith(
        "Open markers are published numbers, each at the end of its curve; "
        "those at K = 1 are variational bounds."
    )


def test_a_k_curve_on_other_data_or_of_another_metric_has_nothing_published(example: Example):
    wanted = Figure(title="K", kind="curve", curve="k_curve")
    rows = list(example.comparison.rows)
    result = rows[1].results[0]
    case = result.case.model_copy(update={"stands_in_for": "mnist.MNIST"})
    rows[1] = replace(rows[1], results=(result.model_copy(update={"case": case}),))
    lines = curve_lines(replace(example.comparison, rows=tuple(rows)), "k_curve", wanted)
    assert [bool(line.published) for line in lines[:3]] == [True, False, True]
    errors = replace(
        example.comparison, spec=example.spec.model_copy(update={"metric": "active_units"})
    )
    assert not any(line.published for line in curve_lines(errors, "k_curve", wanted))
    plain = curve_lines(example.comparison, "k_curve", None)
    assert not any(line.published for line in plain)
    other = Figure(title="epochs", kind="curve", curve="validation/bound")
    assert not any(line.published for line in
                   curve_lines(example.comparison, "validation/bound", other))  # fmt: skip


def test_published_points_have_the_colour_of_their_series_and_are_open(example: Example):
    from matplotlib.colors import to_hex

    wanted = Figure(title="K", kind="curve", curve="k_curve")
    (line,) = curve_lines(
        replace(example.comparison, rows=example.comparison.rows[:1]), "k_curve", wanted
    )
    with style():
        axes = new_figure(2.0).subplots()
        draw_lines(axes, [line], looks([line]), marks=True, bars=False, dodge=False)
        measured, published = axes.lines[0], axes.lines[1]
    assert published.get_xydata().tolist() == [[2000.0, -95.182]]
    assert to_hex(published.get_markeredgecolor()) == to_hex(measured.get_color())
    assert published.get_markerfacecolor() == "none"
    assert len(axes.collections) > 1  # the band, and the printed ±


def test_nothing_measured_leaves_the_published_numbers(example: Example):
    rows = [
        replace(o, results=(), profile=None, mean=None, sd=None, difference=None, interval=None)
        for o in example.comparison.rows
    ]
    found = pictures(replace(example.comparison, rows=tuple(rows), claims=()), example.store)
    assert [p.place for p in found] == ["forest", "figures", "figures"]
    assert found[1].caption == "Nothing measured yet. Open markers are published numbers."


@pytest.mark.parametrize(
    ("seeds", "metric", "caption"),
    [
        (
            5,
            None,
            "Mean over seeds; bars are ± one standard error. K = 500, 2000 samples per point.",
        ),
        (1, None, "One seed. K = 500, 2000 samples per point."),
        (5, "active_units", "Mean over seeds; bars are ± one standard error."),
        (0, None, "Nothing measured yet."),
    ],
)
def test_a_figure_of_rows_says_its_seeds_and_samples(example: Example, seeds, metric, caption):
    rows = [replace(o, results=o.results[:seeds]) for o in example.comparison.rows]
    wanted = example.spec.figures[0].model_copy(update={"metric": metric})
    picture = rows_picture(replace(example.comparison, rows=tuple(rows)), "name", wanted)
    start, *_ = picture.caption.partition(" Open markers")
    assert start.replace(NO_BREAK, " ") == caption


def test_numeric_coordinate_and_single_group(tmp_path: Path):
    """A figure against a number, with a logarithmic axis, where no group key exists."""
    text = TABLE.replace("x: method, series: pixels", "x: method").replace(
        "index: [data, pixels], columns: method", "index: [method, pixels, data]"
    )
    found = make_example(tmp_path, text)
    lines, ticks = row_lines(found.comparison, found.spec.figures[0])
    assert ticks == ["IWAE", "IWAER", "IWAER_rec"]
    assert {line.name for line in lines} == {
        "MNIST, fixed", "MNIST, dynamic", "MNIST, grey", "Omniglot, dynamic", "Omniglot, fixed",
    }  # fmt: skip
    fixed = next(line for line in lines if line.name == "MNIST, fixed")
    assert fixed.y.tolist() == pytest.approx([-95.231, -95.014, -94.748])
    assert fixed.published == [(0.0, -95.182, 0.022), (1.0, -94.346, 0.025), (2.0, -94.709, 0.025)]
    assert fixed.se[0] == pytest.approx(0.041 / 5**0.5)


def test_a_logarithmic_axis_has_plain_numbers():
    x = np.array([1.0, 10.0])
    line = Line("bias", "", "bias", x, np.array([0.03, 4000.0]))
    with style():
        svg, _ = line_plot([line], Frame("K", "norm", log_x=True, log_y=True))
    assert b"mathdefault" not in svg
    assert b">0.1<" in svg
    assert count(1000).encode() in svg


def test_a_long_legend_makes_the_figure_taller_and_not_its_panels_smaller():
    x = np.array([1.0, 2.0])

    def height(n: int) -> float:
        lines = [
            Line(f"a line with a rather long name, number {i:02}", "", "", x, x) for i in range(n)
        ]
        with style():  # matplotlib warns, which is an error here, where nothing is left of a panel
            svg, _ = line_plot(lines, Frame("x", "y"))
        root = ElementTree.fromstring(svg)
        return float(root.attrib["height"].removesuffix("pt"))

    assert height(40) - height(20) == pytest.approx(10 * 0.14 * 72)  # two columns


def test_labels_are_text_and_never_mathematics(tmp_path: Path):
    hostile = r"$\frac{" + "<b>&"
    text = TABLE.replace(
        "title: Importance bound", f"title: '{hostile}'\n    x_label: '{hostile}'\n    #"
    )
    found = make_example(tmp_path, text)
    with style():
        wanted = found.spec.figures[1]
        picture = curve_picture(found.comparison, "name", wanted.curve, wanted, "figures")
    assert r"$\frac{&lt;b&gt;&amp;" in picture.data.decode()


def test_restyled_svgs_are_well_formed_and_share_no_id(drawn: list[Picture]):
    ids: list[str] = []
    for picture in drawn:
        if picture.kind == "svg":
            text = restyled(picture.data, picture.name, "serif")
            root = ElementTree.fromstring(text)
            own = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
            ids += own
            uses = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
            assert uses
            assert uses <= set(own)
            assert "<style" not in text
            assert "<metadata" not in text
    assert len(ids) == len(set(ids))


def test_exported_picture_stands_alone(example: Example):
    files = exported(replace(example.comparison, rows=example.comparison.rows[:3]))
    assert set(files) == {"svg", "png"}
    assert files["png"].startswith(b"\x89PNG")
    assert b"<text" not in files["svg"]  # outlined: needs no font


# --- images of rows -------------------------------------------------------------------------------

WANTED = Figure(
    title="What is filled in",
    kind="images",
    images=["original", "seen", "completion", "draw"],
    where={"data": "MNIST", "pixels": "fixed"},
)


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
    assert pixels[:2, [0, 1, 3, 4], 0].tolist() == [[0, 7, 1, 2], [255, UNSEEN[0], 3, 4]]
    assert tuple(pixels[1, 1]) == UNSEEN
    assert len(set(UNSEEN[:3])) > 1  # no grey
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
        "What is not seen is blue."
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


def test_a_choice_over_candidates_is_no_learning_curve(tmp_path: Path):
    example = make_example(tmp_path)
    row = example.comparison.rows[0]
    before = curve_lines(example.comparison, "train/objective", None)
    for result in row.results:
        result.curves["chosen/k"] = StoredCurve(x=[1.0], y=[3.0])
    after = curve_lines(example.comparison, "train/objective", None)
    assert [line.name for line in after] == [line.name for line in before][1:]
    wanted = Figure(title="Choice", kind="curve", curve="train/objective")
    asked = curve_lines(example.comparison, "train/objective", wanted)
    assert len(asked) == len(before)
