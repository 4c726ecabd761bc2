"""The PDF: inert, with its own fonts."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import typst

from hwbench.report.contents import Contents
from hwbench.report.formats import pdf

from ..conftest import Example
from .conftest import HOSTILE


def test_text_of_a_spec_stays_text_in_the_pdf(hostile: tuple[Example, Path], tmp_path: Path):
    found, folder = hostile
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    source = pdf.write_source(tmp_path, Contents([found.comparison], found.store))
    headings = json.loads(
        typst.query(source, "heading.where(level: 1)", root=tmp_path, ignore_system_fonts=True)
    )
    assert {"func": "text", "text": HOSTILE} in [h["body"] for h in headings]


def headings_of(contents: Contents, folder: Path) -> list[str]:
    source = pdf.write_source(folder, contents)
    found = typst.query(source, "heading.where(level: 2)", root=folder, ignore_system_fonts=True)
    return [h["body"].get("text", "") for h in json.loads(found)]


def test_the_short_edition_has_no_appendix(example: Example, tmp_path: Path):
    short = Contents([example.comparison], example.store)
    full = Contents([example.comparison], example.store, full=True)
    vars(short)["pictures"] = vars(full)["pictures"] = [[]]
    appendix = {"Row by row", "Assumptions", "Protocol", "Machine and time"}
    (tmp_path / "short").mkdir()
    (tmp_path / "full").mkdir()
    assert not appendix & set(headings_of(short, tmp_path / "short"))
    assert appendix <= set(headings_of(full, tmp_path / "full"))


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
