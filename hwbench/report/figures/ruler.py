"""A canvas that lays figures out and has no pixels: matplotlib is imported with this file."""

from __future__ import annotations

from functools import cache

from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import RendererAgg

DPI = 100.0  # of every figure until it is saved


@cache
def _ruler() -> RendererAgg:
    return RendererAgg(1, 1, DPI)  # type: ignore[no-untyped-call]


class Ruler(FigureCanvasBase):
    """Measures texts by one renderer for all figures, which remembers the texts it has measured.

    Matplotlib would make one of the figure's size for each layout, and one for each text that is
    measured alone: hundreds of MiB for a picture of hundreds of rows.
    """

    def get_renderer(self) -> RendererAgg:
        """Return the renderer by which Matplotlib measures."""
        return _ruler()
