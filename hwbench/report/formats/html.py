"""HTML that fetches nothing: an index and a page for each table, or all on one page.

Style, figures and the one script are inline; the page is complete without the script, which filters
rows. A policy in the page admits nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwbench.report.alignment import lined_up
from hwbench.report.contents import Contents
from hwbench.report.figures.canvas import GRID, INK, MUTED, PAPER, SERIES, Picture, restyled
from hwbench.report.figures.distances import strips_of, tables_of
from hwbench.report.formats import put
from hwbench.report.texts import PLACES, TEXTS
from hwbench.report.views import Section
from hwbench.report.words import CLAIM_VERDICTS, ROW_VERDICTS, version
from hwbench.typography import minus

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

FAMILY = "var(--sans)"
COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
} | {c: f"var(--s{i})" for i, c in enumerate(SERIES) if c != MUTED}


def write(contents: Contents, folder: Path) -> list[Path]:
    """Write `index.html` and `<paper>-<table>.html` for each spec, or `index.html` alone."""
    if contents.single_file:
        return [put(folder / "index.html", single(contents).encode())]
    template = _template(contents)
    written = [put(folder / "index.html", index(contents, template).encode())]
    for number, section in enumerate(contents.sections):
        text = page(contents, number, template)
        written.append(put(folder / f"{section.anchor}.html", text.encode()))
    return written


def index(contents: Contents, template: Template | None = None) -> str:
    """Return the first page: what all tables say together, and where each is."""
    return _render(template or _template(contents), **_overview(contents))


def page(contents: Contents, number: int, template: Template | None = None) -> str:
    """Return the page of one table, with links to its neighbours.

    Args:
        contents: what the report contains.
        number: of the table.
        template: the page's, compiled; None to compile it anew.
    """
    sections = contents.sections
    return _render(
        template or _template(contents),
        shown=[(lined_up(sections[number]), contents.pictures[number])],
        before=sections[number - 1] if number else None,
        after=sections[number + 1] if number + 1 < len(sections) else None,
    )


def single(contents: Contents) -> str:
    """Return one page with everything: what the index says, then each table."""
    return _render(
        _template(contents, single=True),
        shown=list(zip(map(lined_up, contents.sections), contents.pictures, strict=True)),
        **_overview(contents),
    )


def _overview(contents: Contents) -> dict[str, Any]:
    """Return what the first page shows, with its picture for a wide and for a narrow screen."""
    return {
        "overview": contents.overview,
        "distances": contents.distances,
        "strips": strips_of(tables_of(contents.comparisons)),
    }


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


def _address(section: Section, anchor: str = "", *, single: bool) -> str:
    """Return the address of a section, or of a row of it, from any page of the report."""
    if single:
        return f"#{anchor or section.anchor}"
    return f"{section.anchor}.html" + (f"#{anchor}" if anchor else "")


def marked(text: str) -> Markup:
    """Return a text of a spec, safe in HTML, with what stands between backticks as code.

    >>> print(marked("`a = -1` < -1"))
    <code>a = -1</code> &lt; −1
    """
    from markupsafe import Markup, escape

    def part(found: re.Match[str]) -> str:
        return minus(found[0]) if found[1] is None else f"<code>{found[1]}</code>"

    parts = re.sub(r"`([^`\n]+)`|[^`]+", part, str(escape(text)))
    return Markup(parts)  # nosec B704


def _template(contents: Contents, *, single: bool = False) -> Template:
    """Return the template of all pages of a report, with what they have in common."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("hwbench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates = files("hwbench.report").joinpath("templates")
    style = templates.joinpath("report.css").read_text(encoding="utf-8")
    script = templates.joinpath("report.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    environment.filters["marked"] = marked
    environment.globals |= {
        "drawing": drawing,
        "single": single,
        "address": partial(_address, single=single),
        "sections": contents.sections,
        "style": Markup(style),  # nosec B704
        "script": Markup(script),  # nosec B704
        "script_hash": base64.b64encode(digest).decode(),
        "texts": TEXTS,
        "places": PLACES,
        "row_verdicts": ROW_VERDICTS,
        "claim_verdicts": CLAIM_VERDICTS,
        "version": version(),
    }
    return environment.get_template("report.html.j2")


def _render(template: Template, **shown: Any) -> str:
    """Return a page; `shown` has what is on it."""
    absent = dict.fromkeys(("overview", "distances", "strips", "before", "after"))
    return template.render({**absent, "shown": [], **shown})
