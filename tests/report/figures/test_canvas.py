"""SVGs that stand in a document."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hwbench.report.figures.canvas import (
    Picture,
    name_rows,
    new_figure,
    restyled,
    style,
    svg_of,
)


def test_restyled_svgs_are_well_formed_and_share_no_id(drawn: list[Picture]):
    ids: list[str] = []
    for picture in drawn:
        if picture.kind == "svg":
            text = restyled(picture.data, picture.name, "serif")
            root = ElementTree.fromstring(text)
            own = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
            ids += own
            uses = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
            assert uses
            assert uses <= set(own)
            assert "<style" not in text
            assert "<metadata" not in text
    assert len(ids) == len(set(ids))


def test_lines_of_a_name_are_texts_of_their_own():
    """Each is anchored at its end, whatever the font of who reads the SVG."""
    with style():
        figure = new_figure(1.0)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0.3, 0, 0.7, 1))
        name_rows(axes, [0.25, 0.75], ["short", "one line\nand another"])
        svg = svg_of(figure).decode()
    for line in ("short", "one line", "and another"):
        text = next(t for t in svg.split("<text")[1:] if t.split("</text>")[0].endswith(line))
        assert "text-anchor: end" in text.split(">")[0], line
