"""Lists of generated words: bytes to lines, lines to a table, the table to SVG and words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pydantic import ValidationError

from hwbench.report import render
from hwbench.report.figures.canvas import style
from hwbench.report.figures.lists import MOST, lines_of, lists_picture, stored_lists
from hwbench.spec import Figure

from ..conftest import Example, make_example

WANTED = Figure(
    title="Tags", kind="lists", lists=["number", "given", "generated"], where={"data": "MNIST"}
)


def as_bytes(*lines: str) -> np.ndarray:
    raw = [line.encode() for line in lines]
    return np.array([list(r.ljust(max(map(len, raw)), b"\0")) for r in raw], dtype=np.uint8)


@pytest.fixture
def listed(tmp_path: Path) -> Example:
    """The first row has lists of two points on file, with a long one and one to be escaped."""
    found = make_example(tmp_path)
    arrays = {
        "number": as_bytes("3", "17"),
        "given": as_bytes("<b>sea</b> & sky", "café"),
        "generated": as_bytes("sun, sea", ", ".join(["mountain"] * 200)),
    }
    for result in found.comparison.rows[0].results:
        found.store.path(result.case).unlink()
        found.store.write(result, arrays)
    return found


def test_lines_are_utf8_without_padding():
    assert lines_of(as_bytes("a, bé", "")) == ["a, bé", ""]


def test_lists_are_those_on_file(listed: Example):
    outcome = listed.comparison.rows[0]
    kept = stored_lists(outcome, WANTED.lists or [], listed.store)
    assert kept is not None
    _, table = kept
    assert table.heads == ["number", "given", "generated"]
    assert table.columns[1] == ["<b>sea</b> & sky", "café"]
    assert stored_lists(listed.comparison.rows[1], ["given"], listed.store) is None


def test_the_picture_is_a_table_with_words(listed: Example):
    with style():
        picture = lists_picture(listed.comparison, "lists", WANTED, listed.store)
    root = ElementTree.fromstring(picture.data)
    text = "".join(root.itertext())
    assert "café" in text
    assert "<b>sea</b> & sky" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert text.count("mountain") < 30 * MOST  # long lists are cut
    assert "3; <b>sea</b> & sky; sun, sea" in picture.alt
    assert picture.caption.startswith("One result of each row: seed 0")
    none = WANTED.model_copy(update={"where": {"data": "nothing"}})
    empty = lists_picture(listed.comparison, "lists", none, listed.store)
    assert (empty.data, empty.caption) == (b"", "No result has these lists yet.")


def test_it_stands_in_both_reports(listed: Example, tmp_path: Path):
    spec = listed.comparison.spec.model_copy(update={"figures": [WANTED]})
    comparison = replace(listed.comparison, spec=spec)
    render([comparison], listed.store, tmp_path / "reports", ["html", "pdf"], single_file=True)
    page = (tmp_path / "reports" / "index.html").read_text()
    assert "&lt;b&gt;sea&lt;/b&gt; &amp; sky" in page
    assert "<b>sea</b>" not in page
    assert (tmp_path / "reports" / "report.pdf").stat().st_size > 5000


def test_the_spec_says_what_is_missing():
    with pytest.raises(ValidationError, match="kind `lists` needs `lists`"):
        Figure(title="Tags", kind="lists")
    with pytest.raises(ValidationError, match="kind `images` has no `lists`"):
        Figure(title="Tags", kind="images", images=["a"], lists=["b"])
    with pytest.raises(ValidationError, match="kind `lists` has no `x_label`"):
        Figure(title="Tags", kind="lists", lists=["a"], x_label="x")
