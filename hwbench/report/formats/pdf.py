"""One PDF, by typst: the layout is a fixed file; all text is data, which typst never parses."""

from __future__ import annotations

import datetime
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from hwbench.report.alignment import lined_up
from hwbench.report.contents import Contents
from hwbench.report.figures.canvas import Picture, restyled
from hwbench.report.formats import put
from hwbench.report.texts import PLACES, TEXTS
from hwbench.report.views import Section
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, version

FAMILY = "'Libertinus Serif', 'DejaVu Sans Mono'"
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)  # a PDF needs a date; ours never changes


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `report.pdf`."""
    return [put(folder / "report.pdf", document(contents.sections, contents.pictures))]


def data(sections: Sequence[Section], pictures: Sequence[Sequence[Picture]]) -> dict[str, Any]:
    """Return what the layout shows, as plain JSON with pictures by file name."""
    return {
        "version": version(),
        "sections": [
            {
                **asdict(lined_up(section)),
                "pictures": [
                    {
                        "place": p.place,
                        "kind": p.kind,
                        "title": p.title,
                        "caption": p.caption,
                        "alt": p.alt,
                        "file": f"{p.name}.{p.kind}" if p.data else "",
                    }
                    for p in drawn
                ],
            }
            for section, drawn in zip(sections, pictures, strict=True)
        ],
        "texts": TEXTS,
        "places": PLACES,
        "row_verdicts": {k: asdict(m) for k, m in ROW_VERDICTS.items()},
        "claim_verdicts": {k: asdict(m) for k, m in CLAIM_VERDICTS.items()},
    }


def write_source(
    folder: Path,
    sections: Sequence[Section],
    pictures: Sequence[Sequence[Picture]],
) -> Path:
    """Write layout, data and pictures into a folder, and return the file to compile."""
    layout = files("hwbench.report").joinpath("templates/report.typ").read_text(encoding="utf-8")
    (folder / "data.json").write_text(json.dumps(data(sections, pictures)), encoding="utf-8")
    for picture in (p for drawn in pictures for p in drawn if p.data):
        if picture.kind == "svg":
            text = restyled(picture.data, picture.name, FAMILY)
            (folder / f"{picture.name}.svg").write_text(text, encoding="utf-8")
        else:
            (folder / f"{picture.name}.png").write_bytes(picture.data)
    source = folder / "report.typ"
    source.write_text(layout, encoding="utf-8")
    return source


def document(sections: Sequence[Section], pictures: Sequence[Sequence[Picture]]) -> bytes:
    """Return the PDF for some specs with their pictures; the same input gives the same bytes."""
    import typst

    with tempfile.TemporaryDirectory(prefix="hwbench-report-") as name:
        folder = Path(name)
        source = write_source(folder, sections, pictures)
        out = typst.compile(source, root=folder, ignore_system_fonts=True, timestamp=EPOCH)
    assert isinstance(out, bytes)  # one file: a PDF is not split by page
    return out
