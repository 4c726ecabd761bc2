"""The page and the PDF: complete, self-contained, inert, reproducible."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typst

from hwbench.report import figures, render
from hwbench.report.alignment import FIGURE_SPACE
from hwbench.report.figures.canvas import Picture
from hwbench.report.figures.forest import exported
from hwbench.report.formats import html, pdf
from hwbench.report.section import make_section
from hwbench.report.typography import NARROW_SPACE
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, sentence

from .conftest import TABLE, Example, make_example

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
        if not self.open or self.open[-1] != "style":
            self.text += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def reports(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    files = render([example.comparison], example.store, folder, ("html", "pdf"), PAPERS)
    assert [f.relative_to(folder).as_posix() for f in files] == [
        "index.html",
        "report.pdf",
        "figures/iwaer-table1-published-vs-measured.svg",
        "figures/iwaer-table1-published-vs-measured.png",
    ]
    return folder


@pytest.fixture(scope="module")
def page(reports: Path) -> Page:
    return Page((reports / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
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


def test_page_nests_and_ids_are_unique(page: Page):
    assert page.wrong == []
    assert page.open == []
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in page.all("a") if (a.get("href") or "").startswith("#")}
    assert targets <= set(ids)


def test_page_fetches_nothing_and_runs_nothing(page: Page, reports: Path):
    assert not page.all("script", "iframe", "object", "embed", "link", "base", "form")
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "data", "poster", "action"):
            value = attributes.get(name)
            if value is not None and not value.startswith(("#", "data:image/png;base64,")):
                assert (tag, value) == ("a", "https://arxiv.org/abs/1509.00519")
    source = (reports / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"url\((?!#)", source)
    assert "@import" not in source
    assert page.all("meta")[3]["content"].startswith("default-src 'none'")


def test_page_is_accessible(page: Page):
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert page.all("th")
    assert all(a.get("scope") in ("col", "row", "colgroup") for a in page.all("th"))
    assert all(a.get("alt") for a in page.all("img"))
    pictures = page.all("svg")
    assert len(pictures) == 5
    assert all(a.get("role") == "img" and a.get("aria-label") for a in pictures)


def test_page_shows_every_verdict_in_words(page: Page, example: Example):
    text = " ".join(page.text.split())
    for verdict, meaning in [*ROW_VERDICTS.items(), *CLAIM_VERDICTS.items()]:
        assert f"{meaning.symbol} {verdict}" in text
        assert meaning.text in text
    for outcome in example.comparison.rows:
        assert sentence(outcome.reason) in text


def test_page_says_what_a_sceptic_asks(page: Page):
    text = " ".join(page.text.split())
    for said in (
        "As published",
        "As measured",
        "−95.182 ± 0.022",
        "−95.014 ± 0.035",
        "90 % [−0.85, −0.49]",
        "margin ± 0.18",
        "paired t test over 5 seeds, p < 0.001",
        "± is taken as the standard error over the 5 trials",
        "bounds.IWAE(k = 25)",
        "NVIDIA H200",
        "0123abc",
        "1 h 24 min",
        "from memory, confidence high",
        "score, not a likelihood",
        "A. Author. Importance weighting.",
        "Also on file: gradient_norm.",
    ):
        assert said in text.replace(NARROW_SPACE, " ").replace(FIGURE_SPACE, ""), said


def test_figures_of_the_page_follow_its_colour_scheme(reports: Path):
    source = (reports / "index.html").read_text(encoding="utf-8")
    drawings = "".join(re.findall(r"<svg.*?</svg>", source, flags=re.S))
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6}|var\([^)]*\))", drawings))
    fixed = {colour for colour in used if colour.startswith("#")}
    assert fixed <= {"#8b949e"}  # the axes' grey is legible on either ground
    style = re.search(r"<style>(.*?)</style>", source, flags=re.S)
    assert style is not None
    for colour in used - fixed:
        assert style[1].count(colour[4:-1] + ":") >= 2  # light and dark


def test_text_of_a_spec_stays_text_in_the_page(hostile: tuple[Example, Path]):
    page = Page((hostile[1] / "index.html").read_text(encoding="utf-8"))
    assert page.wrong == []
    assert not page.all("script")
    assert HOSTILE in page.text
    assert "{{ 7*7 }}" in page.text
    assert not [a for a in page.all("a") if "javascript" in (a.get("href") or "")]


def test_smoke_cannot_be_missed(hostile: tuple[Example, Path]):
    source = (hostile[1] / "index.html").read_text(encoding="utf-8")
    assert "(smoke run)</title>" in source
    assert source.index('role="alert"') < source.index("<h1")


def test_text_of_a_spec_stays_text_in_the_pdf(hostile: tuple[Example, Path], tmp_path: Path):
    found, folder = hostile
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    section = make_section(found.comparison)
    source = pdf.write_source(
        tmp_path, [section], [figures.pictures(found.comparison, found.store)]
    )
    headings = json.loads(
        typst.query(source, "heading.where(level: 1)", root=tmp_path, ignore_system_fonts=True)
    )
    assert [h["body"] for h in headings] == [{"func": "text", "text": HOSTILE}]


def test_pdf_holds_selectable_text_and_no_system_font(reports: Path):
    data = (reports / "report.pdf").read_bytes()
    streams = []
    for match in re.finditer(rb"stream\r?\n", data):
        try:
            streams.append(zlib.decompressobj().decompress(data[match.end() :]))
        except zlib.error:
            continue  # not compressed: a font or a picture
    everything = b"".join(streams) + data
    assert b"begincmap" in everything  # glyphs map back to characters
    fonts = set(re.findall(rb"/BaseFont\s*/(?:[A-Z]{6}\+)?([A-Za-z]+)", everything))
    assert fonts
    assert fonts <= {b"LibertinusSerif", b"DejaVuSansMono"}


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
    assert "The table as measured" in shown
    assert "As published" not in shown
    heads = [a for a in page.all("td") if a.get("data-label") in ("Published", "Difference")]
    assert heads == []
    assert [a for a in page.all("td") if a.get("data-label") == "Verdict"]
    assert files[1].read_bytes().startswith(b"%PDF")
    (forest,) = [p for p in figures.pictures(found.comparison, found.store) if p.place == "forest"]
    assert forest.title == "Measured"
    assert "unpublished" not in forest.data.decode()  # text is text in the page's SVG
