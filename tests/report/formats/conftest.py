"""Reports of the example, and of a spec whose texts try to be markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from hwbench.report import render

from ..conftest import TABLE, Example, make_example

PAPERS = {
    "iwaer": {"title": "Importance weighting", "authors": ["A. Author"], "arxiv": "1509.00519"}
}


HOSTILE = "<script>alert(1)</script> #panic() $x$ *b* _i_ @ref {{ 7*7 }} \"q\" 'q' & </style>"


VOID = {"meta", "img", "br", "path", "use", "rect", "link"}


class Page(HTMLParser):
    """The elements of a page, its text, and what does not nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="session")
def reports(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    files = render([example.comparison], example.store, folder, ("html", "pdf"), PAPERS)
    assert [f.relative_to(folder).as_posix() for f in files] == [
        "index.html",
        "iwaer-table1.html",
        "report.pdf",
    ]
    return folder


@pytest.fixture(scope="session")
def page(reports: Path) -> Page:
    return Page((reports / "iwaer-table1.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def first_page(reports: Path) -> Page:
    return Page((reports / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Example, Path]:
    """A spec whose title, texts and coordinates try to be markup, with a banner."""
    folder = tmp_path_factory.mktemp("hostile")
    quoted = "'" + HOSTILE.replace("'", "''") + "'"
    text = (
        TABLE.replace("title: Average test log-likelihood of IWAE and IWAER", f"title: {quoted}")
        .replace("text: Random network weights improve the test log-likelihood", f"text: {quoted}")
        .replace("method: IWAER_rec}", f"method: {quoted}}}")
        .replace("[IWAER, IWAER_rec, IWAE]", f"[IWAER, {quoted}, IWAE]")
        .replace("source: Table 1", f"source: {quoted}")
        .replace("title: Log-likelihood by method", f"title: {quoted}")
    )
    found = make_example(folder, text, "hostile/table", below="smoke")
    papers = {"hostile": {"title": HOSTILE, "url": "javascript:alert(1)"}}
    render([found.comparison], found.store, folder / "reports", ("html", "pdf"), papers)
    return found, folder / "reports"
