"""The PDF: inert, with its own fonts."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import typst

from hwbench.report.contents import Contents
from hwbench.report.figures.canvas import WIDTH, Picture
from hwbench.report.figures.kept import Pictures
from hwbench.report.formats import pdf
from hwbench.spec import Spec
from hwbench.verdict.outcome import Comparison

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


def headings_of(contents: Contents, folder: Path, level: int = 2) -> list[str]:
    source = pdf.write_source(folder, contents)
    asked = f"heading.where(level: {level})"
    found = typst.query(source, asked, root=folder, ignore_system_fonts=True)
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


def test_the_short_edition_only_names_tables_without_results_and_supporting_ones(
    example: Example, tmp_path: Path
):
    def named(name: str, **changed: object) -> Comparison:
        spec = example.spec.model_copy(update={"id": name, "title": name, **changed})
        return replace(example.comparison, spec=spec)

    unrun = [replace(o, results=(), mean=None, profile=None) for o in example.comparison.rows]
    tables = [
        named("iwaer/table1"),
        replace(named("iwaer/later"), rows=tuple(unrun)),
        named("iwaer/rates", source="this work"),
    ]
    for full, expected in ((False, tables[:1]), (True, tables)):
        contents = Contents(tables, example.store, full=full)
        vars(contents)["pictures"] = [[], [], []]
        folder = tmp_path / str(full)
        folder.mkdir()
        titles = headings_of(contents, folder, level=1)[1:]
        assert titles == [table.spec.title for table in expected]


def test_text_of_plots_is_readable(example: Example, drawn: list[Picture], tmp_path: Path):
    """At least 6.5 points, where a plot has 7; the short edition set plots at half the width."""
    two = [example.comparison, replace(example.comparison, spec=renamed(example, "iwaer/two"))]
    for tables, margin in ((two, 1.7), (two[:1], 1.9)):
        contents = Contents(tables, example.store)
        plots = [p for p in drawn if p.place in pdf.SHORT]
        vars(contents)["drawn"] = Pictures(None, [plots for _ in tables])
        folder = tmp_path / str(len(tables))
        folder.mkdir()
        source = pdf.write_source(folder, contents)
        images = json.loads(
            typst.query(source, "image", root=source.parent, ignore_system_fonts=True)
        )
        assert images
        for image in images:
            width = float(image["width"].split("%")[0]) / 100 * (21 - 2 * margin) / 2.54  # inches
            assert 7 * width / WIDTH >= 6.5


def renamed(example: Example, name: str) -> Spec:
    return example.spec.model_copy(update={"id": name})


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
