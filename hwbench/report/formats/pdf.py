"""One PDF, by typst: the layout is a fixed file; all text is data, which typst never parses."""

from __future__ import annotations

import datetime
import json
import tempfile
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from hwbench.report.alignment import lined_up
from hwbench.report.contents import Contents
from hwbench.report.figures.canvas import Picture, restyled
from hwbench.report.formats import put
from hwbench.report.texts import PLACES, TEXTS
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, version
from hwbench.report.workers import apart

FAMILY = "'Libertinus Serif', 'DejaVu Sans Mono'"
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)  # a PDF needs a date; ours never changes


SHORT = ("forest", "figures")  # the pictures of the short edition, by place


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `report.pdf`: index, tables, claims and figures, and an appendix if it is `full`."""
    return [put(folder / "report.pdf", document(contents))]


def data(contents: Contents) -> dict[str, Any]:
    """Return what the layout shows, as plain JSON with pictures by file name."""
    return {
        "version": version(),
        "full": contents.full,
        "overview": asdict(contents.overview),
        "distances": _entry(contents.distances) if contents.distances else None,
        "sections": [
            {**asdict(lined_up(section)), "pictures": [_entry(p) for p in drawn]}
            for section, drawn in zip(contents.sections, _shown(contents), strict=True)
        ],
        "texts": TEXTS,
        "places": PLACES,
        "row_verdicts": {k: asdict(m) for k, m in ROW_VERDICTS.items()},
        "claim_verdicts": {k: asdict(m) for k, m in CLAIM_VERDICTS.items()},
    }


def _entry(picture: Picture) -> dict[str, str]:
    return {
        "place": picture.place,
        "kind": picture.kind,
        "title": picture.title,
        "caption": picture.caption,
        "alt": picture.alt,
        "file": f"{picture.name}.{picture.kind}" if picture.data else "",
    }


def _shown(contents: Contents) -> list[list[Picture]]:
    """Return the pictures of each section; supporting ones have theirs in the full edition."""
    return [
        [p for p in drawn if contents.full or (p.place in SHORT and not section.supporting)]
        for section, drawn in zip(contents.sections, contents.pictures, strict=True)
    ]


def write_source(folder: Path, contents: Contents) -> Path:
    """Write layout, data and pictures into a folder, and return the file to compile."""
    layout = files("hwbench.report").joinpath("templates/report.typ").read_text(encoding="utf-8")
    (folder / "data.json").write_text(json.dumps(data(contents)), encoding="utf-8")
    shown = [p for drawn in _shown(contents) for p in drawn]
    for picture in (p for p in [contents.distances, *shown] if p and p.data):
        if picture.kind == "svg":
            text = restyled(picture.data, picture.name, FAMILY)
            (folder / f"{picture.name}.svg").write_text(text, encoding="utf-8")
        else:
            (folder / f"{picture.name}.png").write_bytes(picture.data)
    source = folder / "report.typ"
    source.write_text(layout, encoding="utf-8")
    return source


def document(contents: Contents) -> bytes:
    """Return the PDF; the same contents give the same bytes."""
    with tempfile.TemporaryDirectory(prefix="hwbench-report-") as name:
        source = write_source(Path(name), contents)
        return apart(typeset, source, tables=len(contents.sections))


def typeset(source: Path, *_: object) -> bytes:
    """Return a layout as PDF; `Executor.map` passes more arguments, which are not used."""
    import typst

    out = typst.compile(source, root=source.parent, ignore_system_fonts=True, timestamp=EPOCH)
    assert isinstance(out, bytes)  # one file: a PDF is not split by page
    return out
