"""The page: complete, self-contained, inert, accessible."""

from __future__ import annotations

import re
from pathlib import Path

from hwbench.report.alignment import FIGURE_SPACE
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, sentence
from hwbench.typography import NARROW_SPACE

from ..conftest import Example
from .conftest import HOSTILE, Page


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
        assert " ".join(sentence(outcome.reason).split()) in text


def test_page_says_what_a_sceptic_asks(page: Page):
    text = " ".join(page.text.split())
    for said in (
        "As published",
        "As measured",
        "−95.182 ± 0.022",
        "−95.014 ± 0.035",
        "90 % [−0.747, −0.589]",
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
        "Other recorded curves: gradient_norm.",
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
