"""One self-contained HTML page: inline style and figures, no script, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from hwbench.report.alignment import lined_up
from hwbench.report.contents import Contents
from hwbench.report.figures.canvas import GRID, INK, MUTED, PAPER, SERIES, Picture, restyled
from hwbench.report.formats import put
from hwbench.report.texts import PLACES, TEXTS
from hwbench.report.views import Section
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, version

if TYPE_CHECKING:
    from markupsafe import Markup

FAMILY = "var(--sans)"
COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
} | {c: f"var(--s{i})" for i, c in enumerate(SERIES) if c != MUTED}


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `index.html`."""
    return [put(folder / "index.html", page(contents.sections, contents.pictures).encode())]


def drawing(picture: Picture) -> Markup:
    """Return a picture as an element of the page; the text in it is already escaped."""
    from markupsafe import Markup

    if picture.kind == "png":
        data = base64.b64encode(picture.data).decode()
        return Markup('<img class="pixels" alt="{}" src="data:image/png;base64,{}">').format(
            picture.alt, data
        )
    svg = restyled(picture.data, picture.name, FAMILY, COLOURS)
    opening = Markup('<svg role="img" aria-label="{}" ').format(picture.alt)
    return opening + Markup(svg.removeprefix("<svg "))  # nosec B704


def page(sections: Sequence[Section], pictures: Sequence[Sequence[Picture]]) -> str:
    """Return the page for some specs with their pictures; several get an index."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("hwbench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["drawing"] = drawing
    style = files("hwbench.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        sections=list(zip(map(lined_up, sections), pictures, strict=True)),
        style=Markup(style),  # nosec B704
        texts=TEXTS,
        places=PLACES,
        row_verdicts=ROW_VERDICTS,
        claim_verdicts=CLAIM_VERDICTS,
        version=version(),
    )
