"""The pages in a headless Chromium, on a telephone's width, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwbench.report import render
from hwbench.store import Store
from hwbench.verdict.outcome import Comparison

from ..conftest import TABLE, Example, make_example
from .browser import CHROMIUM, Browser
from .conftest import HOSTILE

AXE = Path(__file__).parents[3] / "build/browser/node_modules/axe-core/axe.min.js"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]
PAGES = ["index.html", "iwaer-table1.html", "iwaer-rates.html", "hostile-table.html"]


@pytest.fixture(scope="module")
def pages(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, a table of this work, and one whose texts try to be markup."""
    folder = tmp_path_factory.mktemp("browsed")
    quoted = "'" + HOSTILE.replace("'", "''") + "'"
    own = TABLE.replace("source: Table 1", "source: this work")
    wild = TABLE.replace("method: IWAER_rec}", f"method: {quoted}}}").replace(
        "[IWAER, IWAER_rec, IWAE]", f"[IWAER, {quoted}, IWAE]"
    )
    found: list[Comparison] = [
        example.comparison,
        make_example(folder, own, "iwaer/rates").comparison,
        make_example(folder, wild, "hostile/table", below="smoke").comparison,
    ]
    render(found, Store(example.store.folder), folder / "reports", ["html"])
    return folder / "reports"


@pytest.fixture(scope="module")
def browser(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A browser that has visited every page."""
    found = Browser(pages, tmp_path_factory.mktemp("chromium"), AXE if AXE.is_file() else None)
    found.visit(PAGES, seconds=300)
    assert list(found.found) == PAGES
    assert not [answer["error"] for answer in found.found.values() if "error" in answer]
    return found


def test_pages_fetch_nothing_and_the_console_is_silent(browser: Browser):
    assert browser.console == ""
    assert [answer["fetched"] for answer in browser.found.values()] == [[] for _ in PAGES]


def test_nothing_is_wider_than_a_telephone(browser: Browser):
    for answer in browser.found.values():
        assert answer["width"] <= 390
        assert answer["wide"] == []


def test_what_scrolls_sideways_has_a_shade_at_its_edges(browser: Browser):
    assert [answer["shaded"] for answer in browser.found.values()] == [True for _ in PAGES]


def test_the_overview_does_not_scroll_sideways_on_a_telephone(browser: Browser):
    found = browser.found["index.html"]["overview"]
    assert found == [["scroll wide", False, False], ["strips", True, False]]


def test_rows_are_filtered_and_shown_again(browser: Browser):
    for answer in browser.found.values():
        filtered = answer["filtered"]
        assert filtered["values"] == [filtered["value"]]
        assert 0 < filtered["after"] < filtered["before"] == filtered["again"]
        assert filtered["said"].startswith(f"{filtered['after']} of ")


def test_the_link_of_a_row_opens_what_it_is_folded_into(browser: Browser):
    assert [answer["folded"] for answer in browser.found.values()] == [None, True, True, True]


@pytest.mark.skipif(
    not AXE.is_file(), reason="no axe-core here: npm install --prefix build/browser axe-core"
)
def test_axe_finds_nothing(browser: Browser):
    assert [answer["axe"] for answer in browser.found.values()] == [[] for _ in PAGES]
