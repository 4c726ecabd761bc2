"""What a report contains: comparisons, and the sections and pictures made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hwbench.report.figures.kept import Pictures, kept_pictures
from hwbench.report.overview import make_overview
from hwbench.report.section import make_section

if TYPE_CHECKING:
    from hwbench.report.figures.canvas import Picture
    from hwbench.report.views import Overview, Section
    from hwbench.store import Store
    from hwbench.verdict.outcome import Comparison


@dataclass(frozen=True)
class Contents:
    """The input of every format. Pictures are drawn only for formats that use them.

    Attributes:
        comparisons: one for each spec, in the order of the report.
        store: where curves and sample images come from.
        papers: references by paper: a text, or a mapping with authors, title, venue, year and one
            of url, doi and arxiv.
        single_file: whether HTML is one page instead of an index and a page for each spec.
        full: whether the PDF has what the pages fold away.
    """

    comparisons: Sequence[Comparison]
    store: Store
    papers: Mapping[str, Any] | None = None
    single_file: bool = False
    full: bool = False

    @cached_property
    def sections(self) -> list[Section]:
        """Return the text of the report: one section for each comparison."""
        return [make_section(comparison, self.papers) for comparison in self.comparisons]

    @cached_property
    def overview(self) -> Overview:
        """Return what all sections say together."""
        return make_overview(self.comparisons, self.sections, self.papers)

    @cached_property
    def drawn(self) -> Pictures:
        """Return all pictures."""
        return kept_pictures(self.comparisons, self.store)

    @property
    def distances(self) -> Picture | None:
        """Return the picture of all judged rows; None where there are none."""
        return self.drawn.distances

    @property
    def pictures(self) -> list[list[Picture]]:
        """Return the pictures of each section."""
        return self.drawn.sections
