"""Whole reports: reproducible, indexed, refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwbench.report import render
from hwbench.report.contents import Contents
from hwbench.report.figures.forest import forest_figure
from hwbench.report.formats import html

from ..conftest import TABLE, Example, make_example
from .conftest import PAPERS, Page


def test_same_results_give_the_same_bytes(example: Example, reports: Path, tmp_path: Path):
    again = render([example.comparison], example.store, tmp_path, ("html", "pdf"), PAPERS)
    for path in again:
        assert path.read_bytes() == (reports / path.name).read_bytes()


@pytest.fixture(scope="module")
def several(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """Two tables of a document and one of this work, without pictures."""
    folder = tmp_path_factory.mktemp("several")
    own = TABLE.replace("source: Table 1", "source: this work")
    others = [
        make_example(folder, own, spec_id="iwaer/rates"),
        make_example(folder, spec_id="other/table2", below="smoke"),
    ]
    contents = Contents([e.comparison for e in (example, *others)], example.store, PAPERS)
    vars(contents)["pictures"] = [[], [], []]
    return contents


def test_an_index_groups_tables_by_document_and_folds_supporting_ones(several: Contents):
    documents = several.overview.documents
    assert [(d.name, d.headline, d.supporting) for d in documents] == [
        ("Importance weighting", [0], [1]),
        ("other", [2], []),
    ]
    page = Page(html.index(several))
    links = [a["href"] for a in page.all("a") if (a["href"] or "").endswith(".html")]
    tables = ["iwaer-table1.html", "iwaer-rates.html", "other-table2.html"]
    assert links == 2 * tables  # in the contents and in the list
    assert "Supporting: searches and checks that stand in no document (1)" in page.text


def test_a_table_leads_to_its_neighbours_and_to_the_index(several: Contents):
    pages = [Page(html.page(several, i)) for i in range(3)]
    ends = [
        {a["rel"]: a["href"] for a in p.all("a") if a.get("rel") in ("prev", "next")} for p in pages
    ]
    assert ends == [
        {"next": "iwaer-rates.html"},
        {"prev": "iwaer-table1.html", "next": "other-table2.html"},
        {"prev": "iwaer-rates.html"},
    ]
    assert all("index.html" in [a["href"] for a in p.all("a")] for p in pages)


def test_one_file_has_everything_and_only_links_into_itself(several: Contents):
    page = Page(html.single(several))
    assert page.wrong == []
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"] or "" for a in page.all("a")]
    assert {link[1:] for link in links if not link.startswith("http")} <= set(ids)
    assert len(page.all("article")) == 3
    assert len(page.all("h1")) == 1


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
    page = Page(files[1].read_text(encoding="utf-8"))
    assert page.wrong == []
    assert page.open == []
    shown = " ".join(page.text.split())
    assert "The table: measured" in shown
    assert "Published over" not in shown
    heads = [a for a in page.all("td") if a.get("data-label") in ("Published", "Difference")]
    assert heads == []
    assert [a for a in page.all("td") if a.get("data-label") == "Verdict"]
    assert files[2].read_bytes().startswith(b"%PDF")
    assert forest_figure(found.comparison) is None
