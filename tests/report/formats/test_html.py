"""The page: complete, self-contained, inert, accessible."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

from hwbench.report.alignment import FIGURE_SPACE
from hwbench.report.contents import Contents
from hwbench.report.formats import html, pdf
from hwbench.report.texts import TEXTS
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, sentence
from hwbench.typography import NARROW_SPACE, NO_BREAK

from ..conftest import Example
from .conftest import HOSTILE, Page


def ids_of(page: Page) -> list[str]:
    return [a["id"] or "" for _, a in page.elements if "id" in a]


def test_pages_nest_and_their_links_arrive(page: Page, first_page: Page):
    places = {"": [], "index.html": ids_of(first_page), "iwaer-table1.html": ids_of(page)}
    for own, shown in (("index.html", first_page), ("iwaer-table1.html", page)):
        assert shown.wrong == []
        assert shown.open == []
        assert len(places[own]) == len(set(places[own]))
        for a in shown.all("a"):
            file, _, anchor = (a["href"] or "").partition("#")
            if not file.startswith("http"):
                assert not anchor or anchor in places[file or own]


def test_pages_fetch_nothing_and_run_only_their_script(page: Page, first_page: Page, reports: Path):
    for name, shown in (("index.html", first_page), ("iwaer-table1.html", page)):
        assert not shown.all("iframe", "object", "embed", "link", "base")
        assert shown.all("script") == [{}]
        for tag, attributes in shown.elements:
            assert not [key for key in attributes if key.startswith("on")]
            for key in ("src", "href", "xlink:href", "srcset", "data", "poster", "action"):
                value = attributes.get(key) or "#"
                if value.startswith("http"):
                    assert (tag, value) == ("a", "https://arxiv.org/abs/1509.00519")
                elif tag != "a":
                    assert value.startswith(("#", "data:image/png;base64,"))
        source = (reports / name).read_text(encoding="utf-8")
        assert not re.findall(r"url\((?!#)", source)
        assert "@import" not in source
        policy = shown.all("meta")[3]["content"] or ""
        assert policy.startswith("default-src 'none'")
        (script,) = re.findall("<script>(.*?)</script>", source, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in policy


def test_the_first_page_counts_all_verdicts(first_page: Page):
    text = " ".join(first_page.text.split())
    assert (
        "Of 11 rows, 10 have a published value: 4 could be judged under the published protocol "
        "(1 agrees, 1 is better, 1 is worse, 1 is undecided), 1 ran in a shortened version, 2 ran "
        "under a different protocol, 1 chose a setting that the document leaves open, 1 failed, "
        "1 has no result yet. The other one is our own or without one: 1 was measured."
    ) in text
    assert TEXTS["about"] in text
    assert "−118.771" in text
    assert "−118.77 " not in text  # one number: the one compared with
    assert "0123abc" in text
    assert "NVIDIA H200" in text
    assert len(first_page.all("svg")) == 1


def test_rows_without_a_result_are_said_once_with_the_command_that_runs_them(page: Page):
    text = " ".join(page.text.split())
    assert (
        "2 of 11 rows have no result yet: hwbench run iwaer/table1 --profile full, "
        "hwbench run iwaer/table1 --profile full --rerun failed"
    ) in text
    assert text.count("chardata.mat is not on this machine") == 1


def test_every_measured_row_can_be_filtered_and_linked(page: Page, first_page: Page, example):
    run = [o for o in example.comparison.rows if o.results]
    rows = [a for a in page.all("tr") if "data-row" in a]
    assert [a["data-verdict"] for a in rows] == [o.verdict for o in run]
    assert [a["data-profile"] for a in rows] == [o.profile for o in run]
    assert {a["data-document"] for a in rows} == {"iwaer"}
    (body,) = [a for a in first_page.all("tbody") if "data-document" in a]
    assert body["data-document"] == "iwaer"  # the script reads the rest from the cells
    linked = [a["href"] for a in first_page.all("a") if a.get("href", "").count("--")]
    assert linked == [f"iwaer-table1.html#{a['id']}" for a in page.all("tr") if "id" in a]
    verdicts = [a["class"] for a in first_page.all("td") if a.get("class", "").startswith("v-")]
    assert verdicts == [f"v-{o.verdict}" for o in run]
    links = [a["href"] for a in page.all("a") if a.get("class") == "copy"]
    assert links == [f"#{a['id']}" for a in page.all("tr") if "id" in a]


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
        "Published over measured",
        "−95.182 ± 0.022",
        "−95.014 ± 0.035",
        "90 % [−0.747, −0.589]",
        "margin ± 0.18",
        "paired t test over 5 seeds, adjusted p < 0.001",
        "hwbench run iwaer/table1 --profile full --rows data=MNIST,pixels=fixed,method=IWAE",
        "adjusted by Holm's method",
        "“Equivalent code” means",
        "± is taken as the standard error over the 5 trials",
        "bounds.IWAE(k = 25)",
        "NVIDIA H200",
        "0123abc",
        "1 h 24 min",
        "from memory",
        "score, not a likelihood",
        "A. Author. Importance weighting.",
        "Other recorded curves: gradient_norm.",
    ):
        assert said in text.replace(NARROW_SPACE, " ").replace(NO_BREAK, " ").replace(
            FIGURE_SPACE, ""
        ), said


def test_figures_of_the_page_follow_its_colour_scheme(reports: Path):
    source = "".join(f.read_text(encoding="utf-8") for f in sorted(reports.glob("*.html")))
    drawings = "".join(re.findall(r"<svg.*?</svg>", source, flags=re.S))
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6}|var\([^)]*\))", drawings))
    fixed = {colour for colour in used if colour.startswith("#")}
    assert fixed <= {"#8b949e"}  # the axes' grey is legible on either ground
    style = re.search(r"<style>(.*?)</style>", source, flags=re.S)
    assert style is not None
    for colour in used - fixed:
        assert style[1].count(colour[4:-1] + ":") >= 2  # light and dark


def test_text_of_a_spec_stays_text_in_the_page(hostile: tuple[Example, Path]):
    for name in ("index.html", "hostile-table.html"):
        page = Page((hostile[1] / name).read_text(encoding="utf-8"))
        assert page.wrong == []
        assert page.all("script") == [{}]
        assert HOSTILE in page.text
        assert "{{ 7*7 }}" in page.text
        assert not [a for a in page.all("a") if "javascript" in (a.get("href") or "")]


def test_smoke_cannot_be_missed(hostile: tuple[Example, Path]):
    table = (hostile[1] / "hostile-table.html").read_text(encoding="utf-8")
    first = (hostile[1] / "index.html").read_text(encoding="utf-8")
    assert "(smoke run)</title>" in table
    assert "(smoke run)</title>" in first
    assert table.index('role="alert"') < table.index("<h1")
    assert first.index('role="alert"') < first.index('class="lead"')


def test_claims_of_shortened_runs_are_muted_and_name_other_data(example: Example, tmp_path: Path):
    claim = example.comparison.claims[0]
    parts = [
        replace(p, profile="quick", verdict="fails", stand_ins=(("digits.Digits", "mnist.MNIST"),))
        for p in claim.parts
    ]
    short = replace(claim, verdict="fails", parts=tuple(parts))
    comparison = replace(example.comparison, claims=(short,))
    source = html.page(Contents([comparison], example.store), 0)
    (table,) = re.findall(r'<table class="claims.*?</article>', source, flags=re.S)
    chips = re.findall(r'class="chip (v-fails[^"]*)"', table.partition("<section")[0])
    assert len(chips) == 1 + len(parts)
    assert set(chips) == {"v-fails below"}
    assert "<small>on other data: digits.Digits</small>" in table
    assert "on other data: digits.Digits" in json.dumps(
        pdf.data(Contents([comparison], example.store))
    )
