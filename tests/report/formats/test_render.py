"""Whole reports: reproducible, indexed, refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwbench.report import figures, render
from hwbench.report.figures.canvas import Picture
from hwbench.report.figures.forest import exported
from hwbench.report.formats import html, pdf
from hwbench.report.section import make_section

from ..conftest import TABLE, Example, make_example
from .conftest import PAPERS, Page


def test_same_results_give_the_same_bytes(example: Example, drawn: list[Picture], reports: Path):
    section = make_section(example.comparison, PAPERS)  # and `drawn` was drawn another time
    assert (reports / "index.html").read_bytes() == html.page([section], [drawn]).encode()
    assert (reports / "report.pdf").read_bytes() == pdf.document([section], [drawn])
    for suffix, data in exported(example.comparison).items():
        file = reports / f"figures/iwaer-table1-published-vs-measured.{suffix}"
        assert file.read_bytes() == data


def test_several_specs_get_an_index(example: Example, drawn: list[Picture], tmp_path: Path):
    other = make_example(tmp_path, spec_id="other/table2", below="smoke")
    sections = [make_section(e.comparison) for e in (example, other)]
    page = Page(html.page(sections, [drawn, []]))
    assert page.wrong == []
    links = [a["href"] for a in page.all("a")]
    assert links[1:3] == ["#iwaer-table1", "#other-table2"]
    assert len(page.all("article")) == 2
    assert len(page.all("h1")) == 1
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert pdf.document(sections, [[], []]).startswith(b"%PDF-")


def test_bad_requests_write_nothing(example: Example, tmp_path: Path):
    with pytest.raises(ValueError, match="no report format 'pfd'; did you mean pdf"):
        render([example.comparison], example.store, tmp_path, ["pfd"])
    with pytest.raises(ValueError, match="at least one spec"):
        render([], example.store, tmp_path)
    assert not list(tmp_path.iterdir())


def test_importing_the_report_is_cheap():
    code = (
        "import sys, hwbench.report; "
        "print([m for m in ('matplotlib', 'jinja2', 'typst', 'rich', 'torch') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_table_of_which_nothing_is_published_is_as_measured_only(tmp_path):
    """No column of dashes, no chip in each cell that says so; the PDF is made of the same."""
    text = re.sub(r"^ +(published|source|judge_against|margin): .*\n", "", TABLE, flags=re.M)
    text = text.replace("at_least: 0.1\n      published: 0.231", "at_least: 0.1")
    found = make_example(tmp_path, text)
    files = render([found.comparison], found.store, tmp_path / "reports", ("html", "pdf"), PAPERS)
    page = Page(files[0].read_text(encoding="utf-8"))
    assert page.wrong == []
    assert page.open == []
    shown = " ".join(page.text.split())
    assert "The table: measured" in shown
    assert "As published" not in shown
    heads = [a for a in page.all("td") if a.get("data-label") in ("Published", "Difference")]
    assert heads == []
    assert [a for a in page.all("td") if a.get("data-label") == "Verdict"]
    assert files[1].read_bytes().startswith(b"%PDF")
    (forest,) = [p for p in figures.pictures(found.comparison, found.store) if p.place == "forest"]
    assert forest.title == "Measured"
    assert "unpublished" not in forest.data.decode()  # text is text in the page's SVG
