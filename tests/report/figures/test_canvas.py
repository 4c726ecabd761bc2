"""SVGs that stand in a document."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hwbench.report.figures.canvas import Picture, restyled


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
