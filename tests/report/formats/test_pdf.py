"""The PDF: inert, with its own fonts."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import typst

from hwbench.report import figures
from hwbench.report.formats import pdf
from hwbench.report.section import make_section

from ..conftest import Example
from .conftest import HOSTILE


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
