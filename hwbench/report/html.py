"""One self-contained HTML page: inline style and figures, no script, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from hwbench.report import figures, tables

if TYPE_CHECKING:
    from markupsafe import Markup

FAMILY = "var(--sans)"
COLOURS = {
    figures.INK: "var(--ink)",
    figures.MUTED: "var(--muted)",
    figures.GRID: "var(--grid)",
    figures.PAPER: "var(--paper)",
} | {c: f"var(--s{i})" for i, c in enumerate(figures.SERIES) if c != figures.MUTED}


def drawing(picture: figures.Picture) -> Markup:
    """Return a picture as an element of the page; its text is escaped where it was drawn."""
    from markupsafe import Markup

    if picture.kind == "png":
        data = base64.b64encode(picture.data).decode()
        return Markup('<img class="pixels" alt="{}" src="data:image/png;base64,{}">').format(
            picture.alt, data
        )
    svg = figures.restyled(picture.data, picture.name, FAMILY, COLOURS)
    opening = Markup('<svg role="img" aria-label="{}" ').format(picture.alt)
    return opening + Markup(svg.removeprefix("<svg "))


def page(sections: Sequence[tables.Section], pictures: Sequence[Sequence[figures.Picture]]) -> str:
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
        sections=list(zip(sections, pictures, strict=True)),
        style=Markup(style),
        row_verdicts=tables.ROW_VERDICTS,
        claim_verdicts=tables.CLAIM_VERDICTS,
        version=tables.version(),
    )
